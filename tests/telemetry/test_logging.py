"""What a process writes to stderr, as text and as JSON lines."""

import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.telemetry.logging import WITH_OWN_HANDLERS, configure

OURS = logging.getLogger("service.jobs.runner")
FOREIGN = logging.getLogger("somelibrary.inner")
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
NAMES = ("", "service", *WITH_OWN_HANDLERS)

any_text = st.text(st.characters())
any_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.integers() | any_text | st.tuples(st.integers()), inner),
    max_leaves=5,
)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Gives the loggers of the test process back as they were."""
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    yield
    logging.captureWarnings(False)
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def test_a_text_line_holds_time_level_logger_message_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO")
    OURS.info("job %s ended", "j-1", extra={"model": "lstm", "seconds": 2.5})
    output = capsys.readouterr()
    assert output.out == ""
    assert re.fullmatch(
        TIME + r" INFO    service\.jobs\.runner: job j-1 ended model=lstm seconds=2\.5\n",
        output.err,
    )


def test_a_json_line_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", json=True)
    OURS.info("job %s ended", "j-1", extra={"model": "lstm", "seconds": 2.5})
    event = json.loads(capsys.readouterr().err)
    assert re.fullmatch(TIME, event.pop("time"))
    assert event == {
        "level": "info",
        "logger": "service.jobs.runner",
        "message": "job j-1 ended",
        "model": "lstm",
        "seconds": 2.5,
    }


def test_libraries_are_heard_from_warning_on_whatever_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    configure("debug")
    OURS.debug("ours, in detail")
    FOREIGN.info("theirs, in detail")
    FOREIGN.warning("theirs, of note")
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["ours, in detail", "theirs, of note"]


def test_a_higher_level_quietens_libraries_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure("ERROR")
    OURS.warning("ours")
    FOREIGN.warning("theirs")
    assert capsys.readouterr().err == ""


def test_a_library_with_a_handler_of_its_own_says_each_thing_once_and_in_our_form(
    capsys: pytest.CaptureFixture[str],
) -> None:
    library = logging.getLogger("dbos")
    library.addHandler(logging.StreamHandler(sys.stderr))
    configure("INFO", json=True)
    library.warning("slow")
    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == ["slow"]


def test_configuring_twice_does_not_double_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO")
    configure("INFO")
    OURS.info("once")
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("level", ["LOUD", "", "notset", "10"])
def test_an_unknown_level_is_refused_and_the_known_ones_named(level: str) -> None:
    with pytest.raises(ValueError, match=r"expected one of .*DEBUG, INFO, .*WARNING, .*ERROR, .*CRITICAL"):
        configure(level)


def test_a_traceback_follows_the_text_line_and_is_a_field_of_the_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        try:
            raise ZeroDivisionError("by nothing")
        except ZeroDivisionError:
            OURS.exception("failed", extra={"job": "j-1"})

    configure()
    fail()
    first, second, *rest = capsys.readouterr().err.splitlines()
    assert first.endswith("failed job=j-1")
    assert second == "Traceback (most recent call last):"
    assert rest[-1] == "ZeroDivisionError: by nothing"
    configure(json=True)
    fail()
    event = json.loads(capsys.readouterr().err)
    assert event["message"] == "failed"
    assert event["traceback"].endswith("ZeroDivisionError: by nothing")


def test_python_warnings_are_events_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure(json=True)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old ways", UserWarning, stacklevel=1)
    event = json.loads(capsys.readouterr().err)
    assert event["logger"] == "py.warnings"
    assert "old ways" in event["message"]


def test_an_event_cannot_forge_a_second_line_or_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    OURS.warning("asked by %s", "x\n2026-01-01 forged\r\x1b[2J", extra={"agent": "a\nb"})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(r"asked by x\n2026-01-01 forged\r\x1b[2J agent=a\nb")


@pytest.mark.parametrize("as_json", [False, True])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(text=any_text, value=any_value)
@example(text="", value={"loss": [float("nan")]})
@example(text="\ud800", value=None)
def test_whatever_is_logged_stays_one_line(
    as_json: bool, text: str, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(json=as_json)
    OURS.info("got %s", text, extra={"value": value})
    output = capsys.readouterr().err
    assert output.endswith("\n")
    assert len(output.splitlines()) == 1
    if as_json:
        message: str = json.loads(output, parse_constant=pytest.fail)["message"]
        # As code units: two halves of a pair that stand together are read as the character that they make.
        assert message.encode("utf-16", "surrogatepass") == f"got {text}".encode("utf-16", "surrogatepass")
