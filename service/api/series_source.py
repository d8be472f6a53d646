"""Finds a request's series: in its body, or in an upload."""

from collections.abc import Mapping
from typing import Any

from service.datasets.store import DatasetStore
from service.datasets.upload_limits import MOST_READ_WHOLE
from service.domain.panel import Panel
from service.errors import InvalidRequest


def check_source(given: Mapping[str, Any]) -> None:
    """Refuses a body that does not have exactly one of `series` and `dataset`; beside one of them null is none.

    Args:
        given: the fields of the body.

    Raises:
        InvalidRequest: it has none of them, or both.
    """
    named = [name for name in ("series", "dataset") if name in given]
    if len(named) == 2:
        named = [name for name in named if given[name] is not None]
    if not named:
        raise InvalidRequest.at(
            "/series", "missing_field", "The field 'series' is missing: add it, or `dataset`, the id of an upload."
        )
    if len(named) == 2:
        raise InvalidRequest.at(
            "/dataset",
            "conflicting_fields",
            "Expected either `series` or `dataset`, got both: leave one of them out.",
        )


def load_dataset(datasets: DatasetStore, dataset_id: str) -> Panel:
    """The series of an upload, for what is computed from all of them in memory. Blocks.

    Raises:
        InvalidRequest: there are too many points for that.
        DatasetNotFound, DatasetDamaged.
    """
    n_points = datasets.outline(dataset_id).n_points
    if n_points > MOST_READ_WHOLE:
        raise InvalidRequest.at(
            "/dataset",
            "too_many_points",
            f"The data set holds {n_points} points: expected at most {MOST_READ_WHOLE}. POST /forecast forecasts "
            'larger ones in a job, with `"output": "dataset"`; else upload some of the series apart.',
        )
    return datasets.load(dataset_id)
