"""Limits what all machines that share uploads keep together."""

import logging
import time
from pathlib import Path

from service.datasets.quota import Quota, Use
from service.datasets.shared_uploads import SharedUploads
from service.errors import StorageUnavailable

logger = logging.getLogger(__name__)

MEASURE_SECONDS = 10.0


class SharedQuota(Quota):
    """Counts what lies in the object store, and what is in progress on this machine."""

    def __init__(self, uploads: SharedUploads, root: Path, limit_bytes: int | None) -> None:
        super().__init__(root, limit_bytes)
        self.uploads = uploads
        self._kept: dict[str, int] = {}
        self._measured_at = -MEASURE_SECONDS

    def measure(self) -> Use:
        if time.monotonic() - self._measured_at >= MEASURE_SECONDS:
            try:
                self._kept = self.uploads.measure()
            except StorageUnavailable as error:
                logger.warning("uploads are counted as they were: %s", error.message)
            self._measured_at = time.monotonic()
        return Use(self._kept, super().measure().staged)

    def forget(self) -> None:
        """Counts anew at the next question."""
        self._measured_at = -MEASURE_SECONDS
