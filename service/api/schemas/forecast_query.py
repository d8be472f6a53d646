"""The options of POST /forecast in the address, where the body is a table."""

from collections.abc import Sequence
from typing import Any

from service.api.schemas.datasets import FileQuery
from service.api.schemas.forecast import ForecastBody
from service.domain.json_flaws import escape, unknown_field
from service.errors import Flaw, InvalidRequest

# The body itself holds them.
_NOT_ASKED = ("series", "dataset", "output")
NAMES = tuple(name for name in ForecastBody.model_fields if name not in _NOT_ASKED)
LISTS = ("level", "quantiles")
WHOLE = ("horizon", "season", "version")
YES_OR_NO = {"true": True, "false": False}
FLAGS = ("all_steps", "explain", "fitted", "non_negative")


def read_fields(given: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Fields of a ForecastBody as its JSON would give them; what is no number or flag stays text, which it refuses.

    Args:
        given: names and values; lists are repeated, or have commas between their numbers.

    Raises:
        InvalidRequest: an unknown name, or one given twice.
    """
    found: dict[str, Any] = {}
    flaws = []
    for name, text in given:
        pointer = f"/{escape(name)}"
        if name not in NAMES:
            known = [*NAMES, *FileQuery.names()]
            flaws.append(unknown_field(name, pointer, known))
        elif name in LISTS:
            found[name] = [*found.get(name, ()), *(_read_number(part.strip()) for part in text.split(","))]
        elif name in found:
            flaws.append(Flaw(pointer, "conflicting_fields", f"{name} stands twice in the address: say it once."))
        elif name in WHOLE:
            found[name] = int(text) if text.removeprefix("-").isascii() and _is_whole(text) else text
        else:
            found[name] = YES_OR_NO.get(text.lower(), text) if name in FLAGS else text
    if flaws:
        raise InvalidRequest(flaws)
    return found


def describe_parameters() -> list[dict[str, Any]]:
    """The parameters for the schema."""
    parameters = []
    properties = ForecastBody.model_json_schema()["properties"]
    for name in NAMES:
        schema = {key: value for key, value in properties[name].items() if key not in ("title", "description")}
        described = f"{properties[name].get('description', name)}. For a body that is a table"
        parameters.append({"name": name, "in": "query", "required": False, "description": described, "schema": schema})
    for name, described in FileQuery.descriptions().items():
        text = f"{described}. For a body that is a table"
        schema = {"anyOf": [{"type": "string"}, {"type": "null"}]}
        parameters.append({"name": name, "in": "query", "required": False, "description": text, "schema": schema})
    return parameters


def _is_whole(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isdigit() and len(digits) <= 18


def _read_number(text: str) -> float | str:
    # JSON knows neither infinity nor underscores.
    try:
        number = float(text)
    except ValueError:
        return text
    return number if abs(number) < 1e300 and "_" not in text else text
