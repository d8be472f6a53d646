"""Limits of one upload."""

from dataclasses import dataclass, replace

from service.errors import InvalidRequest

# Rows that a file may have that is read into memory whole.
MOST_READ_WHOLE = 20_000_000


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Points on the regular grids of all series together, and series. `advice` is for whoever has more."""

    max_points: int
    max_series: int
    advice: str = "Send it in several uploads."

    def of_whole_files(self) -> "UploadLimits":
        """The limits of a file that has to be read into memory whole."""
        if self.max_points <= MOST_READ_WHOLE:
            return self
        advice = (
            "Larger ones are read only from Parquet in long format, whose columns are called unique_id, ds and y or "
            "named with id_column, time_column and target_column, with time stamps or dates, and numbers, as such."
        )
        return replace(self, max_points=MOST_READ_WHOLE, advice=advice)

    def check_points(self, n_points: int) -> None:
        """Raises InvalidRequest where there are more points than may be."""
        if n_points > self.max_points:
            raise InvalidRequest.at(
                "",
                "too_many_points",
                f"The upload holds more than {self.max_points} points, gaps between time stamps included. "
                f"{self.advice}",
            )

    def check_series(self, n_series: int) -> None:
        """Raises InvalidRequest where there are more series than may be."""
        if n_series > self.max_series:
            raise InvalidRequest.at(
                "",
                "too_many_series",
                f"The upload holds more than {self.max_series} series. Send them in several uploads.",
            )
