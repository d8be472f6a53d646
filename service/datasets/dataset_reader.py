"""Reads uploads: facts, lists, and values as they were when they were chosen."""

import contextlib
import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from service.datasets.dataset import Dataset
from service.datasets.dataset_folder import PLACE, DatasetFolder
from service.datasets.dataset_ids import cut_page, is_upload, missing, name_inline
from service.datasets.panel_files import (
    DAMAGES,
    FACTS,
    FileIdentity,
    Outline,
    cut_blocks,
    load_blocks,
    load_facts,
    load_outline,
    load_panel,
    load_series,
)
from service.datasets.quota import INLINE
from service.domain.panel import Panel
from service.errors import (
    DatasetNotFound,
)
from service.storage.disk_errors import make_storage_error
from service.storage.regular_files import open_regular

logger = logging.getLogger(__name__)

# Beside the panel of forecasts: all that was forecast.
FORECASTS = "forecasts.parquet"


class DatasetReader(DatasetFolder):
    """Reads what lies in the folder of uploads."""

    def __init__(self, root: Path, quota_bytes: int | None = None) -> None:
        super().__init__(root, quota_bytes)
        self._proven: set[FileIdentity] = set()

    def open_forecasts(self, dataset_id: str) -> BinaryIO:
        """The file of forecasts of a data set, open to read: also when the data set goes. Raises as `get`."""
        with self._reading(dataset_id) as folder:
            self.touch(dataset_id)
            return open_regular(folder / FORECASTS)

    def load(self, dataset_id: str, *, digest: str | None = None, mapped: bool = False) -> Panel:
        """The panel of a data set, or of `keep`. What is read is not about to expire.

        Args:
            digest: what it held when it was chosen. A data set that was replaced since is read as it was then.
            mapped: as of `load_panel`.

        Raises:
            DatasetNotFound, DatasetDamaged.
        """
        name = dataset_id if digest is None else self._find_version(dataset_id, digest)
        with self._reading(name) as folder:
            self.touch(name)
            panel = load_panel(folder, mapped=mapped)
        self._remember(name, is_damaged=False)
        return panel

    def outline(self, dataset_id: str) -> Outline:
        """What `load` gives, without the values. Raises as `load`."""
        with self._reading(dataset_id) as folder:
            self.touch(dataset_id)
            return load_outline(folder)

    def load_series(self, dataset_id: str, outline: Outline, places: Collection[int]) -> list[NDArray[np.float64]]:
        """The values [time] of some series of a data set, at ascending places of its outline.

        Raises:
            DatasetReplaced: the outline is that of another panel, and as `load`.
        """
        with self._reading(dataset_id) as folder:
            return load_series(folder, outline, places, self._proven)

    def load_blocks(self, dataset_id: str, outline: Outline) -> Iterator[NDArray[np.float64]]:
        """All values of a data set, one series behind the other, in blocks that are cut anywhere.

        Raises as `load_series`.
        """
        with self._reading(dataset_id) as folder:
            yield from load_blocks(folder, outline)

    def load_each(self, dataset_id: str, outline: Outline) -> Iterator[NDArray[np.float64]]:
        """The values [time] of each series of a data set, one after the other. Raises as `load_series`."""
        yield from cut_blocks(self.load_blocks(dataset_id, outline), outline.lengths)

    def get(self, dataset_id: str) -> Dataset:
        """A data set's facts. Raises DatasetNotFound, DatasetDamaged."""
        with self._reading(dataset_id) as folder:
            return load_facts(folder)

    def page(self, *, limit: int = 50, cursor: str | None = None) -> tuple[list[Dataset], str | None]:
        """Data sets, newest first, and the cursor of the next page. Damaged ones are left out.

        Raises:
            InvalidRequest: the cursor is not one of ours.
        """
        keyed = []
        for name in self._list():
            path = self.root / name / FACTS
            # Deleted meanwhile, or no data set.
            with contextlib.suppress(OSError):
                # Facts are written once; reading a data set touches its folder alone.
                keyed.append((f"{path.stat().st_mtime_ns:019d}-{name}", path))
        chosen, next_cursor = cut_page(keyed, limit, cursor)
        datasets = []
        for path in chosen:
            try:
                datasets.append(load_facts(path.parent))
            except FileNotFoundError:
                continue
            except (OSError, *DAMAGES):
                self._remember(path.parent.name, is_damaged=True)
                logger.warning("the data set %s is damaged", path.parent.name)
        return datasets, next_cursor

    def _find_version(self, dataset_id: str, digest: str) -> str:
        """Where the panel of this digest lies: under the data set's id, or where `retire` put it."""
        with self._reading(dataset_id) as folder:
            try:
                present = load_outline(folder).digest or load_panel(folder).digest()
            except FileNotFoundError:
                present = None
        if present == digest:
            return dataset_id
        if self.has(name_inline(digest)):
            return name_inline(digest)
        if present is None:
            raise missing(dataset_id)
        raise DatasetNotFound(
            f"The data set {dataset_id!r} was replaced after it had been chosen, and what it held then is gone. Send "
            "the request again."
        )

    def _list(self) -> list[str]:
        """The names of uploads."""
        try:
            names = [path.name for path in self.root.iterdir()]
            return [name for name in names if is_upload(name) and not name.startswith(INLINE)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise make_storage_error(PLACE, error.errno or 0, error) from error
