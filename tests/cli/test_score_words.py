"""How an error stands beside another, for any two errors."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cli.score_words import compare, format_score

ERRORS = st.floats(0, 1e12) | st.just(0.0)


@pytest.mark.parametrize(
    ("own", "rival", "words"),
    [
        (0.84, 1.09, "23 % better than"),
        (1.0, 1.0, "as good as"),
        (0.0, 0.0, "as good as"),
        (1.003, 1.0, "as good as"),
        (1.01, 1.0, "1 % worse than"),
        (1.99, 1.0, "99 % worse than"),
        (3.2, 1.0, "3.2 times the error of"),
        (1.0, 0.0, "worse than"),
        (1e-9, 1.0, "99 % better than"),
        (0.0, 1.0, "100 % better than"),
    ],
)
def test_errors_are_compared(own: float, rival: float, words: str) -> None:
    assert compare(own, rival) == words


@given(ERRORS, ERRORS)
def test_the_smaller_error_is_never_the_worse_one(own: float, rival: float) -> None:
    words = compare(own, rival)
    if own < rival:
        assert words.endswith("better than") or words == "as good as"
    elif own > rival:
        assert words.endswith(("worse than", "times the error of")) or words == "as good as"
    if (percent := re.match(r"([\d.]+) % better", words)) and rival:
        assert abs(float(percent[1]) - 100 * (1 - own / rival)) <= 1


@pytest.mark.parametrize(
    ("score", "metric", "shown"),
    [(0.836, "mase", "0.84"), (0.00421, "mase", "0.00421"), (1120.34, "rmse", "1120"), (123_456.7, "rmse", "123,457"),
     (0.0231, "mse", "0.0231"), (3.2e20, "rmse", "3.200e+20"), (0.0, "mase", "0")],
)  # fmt: skip
def test_scores_are_shown_with_as_many_digits_as_say_something(score: float, metric: str, shown: str) -> None:
    assert format_score(score, metric) == shown
