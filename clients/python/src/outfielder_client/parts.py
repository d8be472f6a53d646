"""Many series as several requests: what the first answer settles, and how answers are joined."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from outfielder_client.effects import Program, Together
from outfielder_client.errors import RequestRefused

# What may be wrong with one series alone.
OF_ONE_SERIES = {"too_short", "too_long", "all_null", "missing_value", "out_of_range", "empty", "frequency_mismatch"}
MOST_ENTRIES = 100
# What the first part's answer says of the forecast, and all other parts are asked for.
SETTLED = ("model", "version", "mode", "horizon")
USUAL_HORIZON = 100


@dataclass(frozen=True)
class Partition:
    """How large a request may be before it is cut into several, by series.

    Attributes:
        max_points: points of the series of one request.
        max_answer_values: numbers of one answer.
        concurrency: requests that are on their way at a time.
    """

    max_points: int = 500_000
    max_answer_values: int = 1_000_000
    concurrency: int = 4

    def max_series(self, horizon: int | None, n_levels: int, n_quantiles: int, *, timed: bool) -> int:
        """The most series whose forecasts fit an answer; a time stamp counts as four numbers."""
        each = (horizon or USUAL_HORIZON) * (1 + 2 * n_levels + n_quantiles + 4 * timed)
        return max(1, self.max_answer_values // each)


Ask = Callable[[int, dict[str, Any]], Program[dict[str, Any]]]


def ask_all(
    sizes: Sequence[int], body: dict[str, Any], ask: Ask, key: str, settled: Sequence[str], limit: int
) -> Program[dict[str, Any]]:
    """Asks for all parts, the first one alone, and joins the answers in order.

    A default, an alias or a champion may change between two requests: what the first answer came from is asked for by
    name in the others, so that the whole is of one model, version and horizon.

    Args:
        sizes: the number of series of each part.
        body: the request's fields but the series.
        ask: gives the answer to a part, by its number and fields.
        key: the answers' list of series.
        settled: the fields of the first answer that the others are asked for.

    Raises:
        RequestRefused: the request is wrong as a whole, or no series could be answered.
    """
    if len(sizes) == 1:
        return (yield from ask(0, body))
    head: dict[str, Any] | None = None
    done: list[dict[str, Any]] = []
    refused: RequestRefused | None = None
    while head is None and len(done) < len(sizes):
        index = len(done)
        answer = yield from _ask_part(index, sizes[index], body, ask, key)
        refused = refused or answer.get("refused")
        head = answer if "refused" not in answer else None
        done.append(answer)
    if head is None:
        assert refused is not None
        raise refused
    body = body | {name: head[name] for name in settled if name in head}
    rest = [_ask_part(index, sizes[index], body, ask, key) for index in range(len(done), len(sizes))]
    done += yield Together(rest, limit)
    joined = dict(head)
    joined[key] = _join([part[key] for part in done])
    if "timing_ms" in head:
        timings = [part["timing_ms"] for part in done if "timing_ms" in part]
        joined["timing_ms"] = {name: round(sum(timing[name] for timing in timings), 3) for name in head["timing_ms"]}
    return joined


def _ask_part(index: int, size: int, body: dict[str, Any], ask: Ask, key: str) -> Program[dict[str, Any]]:
    """A part's answer; where all its series are wrong by themselves, their errors, as beside others."""
    try:
        answer: dict[str, Any] = yield from ask(index, body)
    except RequestRefused as error:
        flaws = error.flaws
        of_series = error.status == 422 and len(flaws) == min(size, MOST_ENTRIES)
        if not of_series or any(flaw.code not in OF_ONE_SERIES for flaw in flaws):
            raise
        entries = [{"pointer": flaw.pointer, "code": flaw.code, "message": flaw.message} for flaw in flaws]
        untold = {
            "pointer": "",
            "code": "not_told",
            "message": f"No series of its request could be answered, and the service says why of {MOST_ENTRIES} only.",
        }
        return {key: [{"error": entry} for entry in [*entries, *[untold] * (size - len(entries))]], "refused": error}
    return answer


def _join(parts: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """All series; places in pointers count from the first part's first series."""
    joined: list[dict[str, Any]] = []
    for series in parts:
        offset = len(joined)
        joined += [_shift(answer, offset) if "error" in answer else answer for answer in series]
    return joined


def _shift(answer: dict[str, Any], offset: int) -> dict[str, Any]:
    pointer = answer["error"]["pointer"]
    shifted = re.sub(r"^/series/(\d+)", lambda match: f"/series/{int(match[1]) + offset}", pointer)
    return {**answer, "error": {**answer["error"], "pointer": shifted}}
