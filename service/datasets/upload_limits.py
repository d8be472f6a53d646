"""Limits of one upload."""

from dataclasses import dataclass

from service.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Points on the regular grids of all series together, and series."""

    max_points: int
    max_series: int

    def check_points(self, n_points: int) -> None:
        """Raises InvalidRequest where there are more points than may be."""
        if n_points > self.max_points:
            raise InvalidRequest.at(
                "",
                "too_many_points",
                f"The upload holds more than {self.max_points} points, gaps between time stamps included. Send it in "
                "several uploads.",
            )

    def check_series(self, n_series: int) -> None:
        """Raises InvalidRequest where there are more series than may be."""
        if n_series > self.max_series:
            raise InvalidRequest.at(
                "",
                "too_many_series",
                f"The upload holds more than {self.max_series} series. Send them in several uploads.",
            )
