"""The calls on data sets, once, as programs."""

from typing import Any

from outfielder_client.connection import Connection, leave_out_none, locate
from outfielder_client.effects import Items, Program
from outfielder_client.uploads import Replacement, delete, upload


class DatasetCalls:
    """Uploads."""

    connection: Connection

    def upload(
        self,
        data: Any,
        *,
        freq: str | None = None,
        start: str | None = None,
        id_col: str | None = None,
        time_col: str | None = None,
        target_col: str | None = None,
        decimal: str | None = None,
        thousands: str | None = None,
        format: str | None = None,
        media_type: str | None = None,
        timeout: float | None = None,
    ) -> Program[dict[str, Any]]:
        """Keeps series on the server for training, forecasts and backtests.

        Args:
            data: the path of a CSV, Parquet or JSON file, its bytes, a frame, or series in any form of `forecast`.
            freq, start: of lists.
            id_col, time_col, target_col: the columns; of files they are found where they are not named.
            decimal, thousands, format: how to read a file, where it can be read in several ways.
            media_type: of bytes; by default found by their beginning.

        Returns:
            `id`, `n_series`, `n_points`, `freq` and `audit`, what a person should know of the series.
        """
        options = leave_out_none(freq=freq, start=start, decimal=decimal, thousands=thousands, format=format)
        columns = {"id": id_col, "time": time_col, "target": target_col}
        return upload(self.connection, data, columns, options, media_type, timeout)

    def replace_dataset(
        self,
        dataset_id: str,
        data: Any,
        *,
        if_match: str | None = None,
        freq: str | None = None,
        start: str | None = None,
        id_col: str | None = None,
        time_col: str | None = None,
        target_col: str | None = None,
        decimal: str | None = None,
        thousands: str | None = None,
        format: str | None = None,
        media_type: str | None = None,
        timeout: float | None = None,
    ) -> Program[dict[str, Any]]:
        """Replaces the content of an upload under its id, at once; jobs that began with the old one keep it.

        Args:
            if_match: the ETag that the upload must still have, else RequestRefused.

        Other arguments, and what is returned, are those of `upload`.
        """
        options = leave_out_none(freq=freq, start=start, decimal=decimal, thousands=thousands, format=format)
        columns = {"id": id_col, "time": time_col, "target": target_col}
        replaced = Replacement(dataset_id, if_match)
        return upload(self.connection, data, columns, options, media_type, timeout, replaced)

    def datasets(self) -> Items[dict[str, Any]]:
        """Uploads, newest first, page after page."""
        return self.connection.pages("/datasets", "datasets", {})

    def dataset(self, dataset_id: str) -> Program[dict[str, Any]]:
        """An upload and what its audit found."""
        return self.connection.call("GET", locate("datasets", dataset_id))

    def dataset_series(self, dataset_id: str) -> Items[dict[str, Any]]:
        """The series of an upload as they were read: id, values, freq, start, timestamps."""
        return self.connection.pages(locate("datasets", dataset_id, "series"), "series", {"limit": 100})

    def delete_dataset(self, dataset_id: str) -> Program[None]:
        """Removes an upload. Raises Conflict while a job reads it."""
        return delete(self.connection, locate("datasets", dataset_id))
