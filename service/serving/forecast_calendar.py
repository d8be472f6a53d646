"""The time stamps of a request's forecasts."""

from service.domain.calendar import future_timestamps
from service.domain.frequency import check_same
from service.domain.panel import Panel
from service.domain.series import PostedSeries
from service.errors import Flaw, InvalidRequest
from service.serving.forecast_plan import ForecastRequest


class ForecastCalendar:
    """The time stamps of forecasts, computed once for series of one start and length.

    Args:
        panel: the upload of the series, or None; with its frequency and times, no `freq` and `start` are needed.
        horizon: the steps to give time stamps for.
        freq_tells_season: whether the model reads the frequency itself, which then may stand without a start.

    Raises:
        InvalidRequest: the request's frequency is another one than the panel's.
    """

    def __init__(
        self, request: ForecastRequest, panel: Panel | None, horizon: int, *, freq_tells_season: bool = False
    ) -> None:
        self._freq = request.freq
        if panel is not None and panel.freq is not None:
            if request.freq is not None:
                check_same(request.freq, panel.freq)
            self._freq = panel.freq
        self._start = request.start
        # Of an upload only some series may have times: the others get no stamps.
        has_times = panel is not None and any(start is not None for start in panel.starts)
        self._is_asked = panel is None or request.start is not None or (request.freq is not None and not has_times)
        # Otherwise only series with a start of their own may have stamps, or a flaw.
        self.has_times = self._freq is not None or self._start is not None
        self._horizon = horizon
        self._freq_tells_season = freq_tells_season
        self._known: dict[tuple[str, int], list[str]] = {}

    def timestamps(self, series: PostedSeries, n_observed: int) -> list[str] | Flaw | None:
        """The stamps after a series' first `n_observed` points; None without `freq`; or what is wrong with its start.

        Raises:
            InvalidRequest: the frequency, or the start that all series share, is wrong or missing.
        """
        start = self._start if series.start is None else series.start
        if (self._freq is None and start is None) or (not self._is_asked and None in (self._freq, start)):
            return None
        if self._freq is None:
            raise InvalidRequest.at("/freq", "missing_field", "`start` needs `freq`, such as 'D' or 'h': add it.")
        if start is None and self._freq_tells_season:
            return None
        if start is None:
            raise InvalidRequest.at(
                "/start", "missing_field", "`freq` needs `start`, the time of the first point: add it."
            )
        key = (start, n_observed)
        if key not in self._known:
            try:
                self._known[key] = future_timestamps(self._freq, start, n_observed, self._horizon)
            except InvalidRequest as error:
                flaw = error.flaws[0]
                is_of_start = flaw.pointer == "/start" or flaw.code == "frequency_mismatch"
                if series.start is None or not is_of_start:
                    raise
                return Flaw(f"{series.pointer.removesuffix('/values')}/start", flaw.code, flaw.message)
        return self._known[key]
