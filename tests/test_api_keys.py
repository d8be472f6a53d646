"""API keys fail closed: what is set but can't be used ends the start."""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.errors import KeysUnusable
from service.listener import check_exposure
from service.settings import Settings

UNUSABLE = (
    "#abc",
    ",",
    " ",
    ",,",
    " , ",
    "\t",
    "good,#abc",
    "a\nb",
    "good,a\x00b",
    "a\tb",
    "caf\udce9",
    "a\x7f",
    "\ufeffa",
)


@pytest.mark.parametrize("text", UNUSABLE)
def test_keys_that_no_client_could_send_are_refused_without_being_told(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(api_keys=text)
    (details,) = caught.value.errors()
    assert details["loc"] == ("api_keys",)
    assert "abc" not in details["msg"]


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"# a comment\n", b"# a\n  # b\n", b"a\x00b", b"\xff\xfe", b"a\tb\n"]
)
def test_a_key_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    for settings in (Settings(api_keys_file=file), Settings(api_keys="good", api_keys_file=file)):
        with pytest.raises(KeysUnusable, match="OUTFIELDER_API_KEYS_FILE"):
            settings.all_api_keys()
        with pytest.raises(KeysUnusable):
            check_exposure(settings, insecure=False)


def test_what_is_no_file_is_no_key_file_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("absent", "not there"), (".", "a folder"), ("pipe", "a FIFO")):
        with pytest.raises(KeysUnusable, match=words):
            Settings(api_keys_file=tmp_path / name).all_api_keys()


def test_keys_come_from_both_settings_and_comments_from_none(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes("\ufeff# for the night job\r\n third \r\n\r\nschlüssel\n".encode())
    settings = Settings(api_keys=" first, second,,", api_keys_file=file)
    assert settings.all_api_keys() == {"first", "second", "third", "schlüssel"}
    assert Settings().all_api_keys() == Settings(api_keys="").all_api_keys() == frozenset()


@given(st.text())
def test_any_text_is_keys_or_an_error(text: str) -> None:
    try:
        keys = Settings(api_keys=text).all_api_keys()
    except ValidationError:
        return
    assert bool(keys) == bool(text)
    for key in keys:
        assert key.encode()
        assert key.isprintable()
        assert not key.startswith("#")


KEYS, FILE = {"OUTFIELDER_API_KEYS": "#abc"}, {"OUTFIELDER_API_KEYS_FILE": "/dev/null"}
COMMANDS = (("serve",), ("serve", "--insecure"), ("serve", "--workers", "2"), ("up",))
# Each command once, and each of the two settings.
QUICK = [(("serve",), FILE), (("serve", "--insecure"), KEYS), (("serve", "--workers", "2"), FILE), (("up",), KEYS)]


@pytest.mark.parametrize(
    ("command", "environment"),
    [
        pytest.param(*choice, marks=() if choice in QUICK else pytest.mark.exhaustive)
        for choice in product(COMMANDS, (KEYS, FILE))
    ],
)
def test_no_server_starts_without_the_keys_that_it_was_given(
    tmp_path: Path, environment: dict[str, str], command: tuple[str, ...]
) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "service.cli", *command, "--port", "0"],
        env={"PATH": "/usr/bin", "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert next(iter(environment)) in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "abc" not in ran.stderr
