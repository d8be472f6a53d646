"""Which URLs of a job database are taken, and what is said of the others."""

import subprocess
import sys

import pytest

from service.database_url import read_database_url
from service.settings import Settings

SERVER = "postgresql+psycopg://"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("postgresql://u:p@db.example.com:5432/jobs", f"{SERVER}u:p@db.example.com:5432/jobs"),
        ("postgres://u:p@db.example.com/jobs", f"{SERVER}u:p@db.example.com/jobs"),
        ("postgresql+psycopg://u@/jobs?host=/run/postgresql", f"{SERVER}u@/jobs?host=/run/postgresql"),
        (" PostgreSQL://u@[::1]:5433/jobs?sslmode=require\n", f"{SERVER}u@[::1]:5433/jobs?sslmode=require"),
        ("postgresql:///jobs", f"{SERVER}/jobs"),
        ("postgresql://u:a%40b%23c@host/jobs", f"{SERVER}u:a%40b%23c@host/jobs"),
        ("sqlite:///jobs.sqlite", "sqlite:///jobs.sqlite"),
        ("sqlite:////var/lib/jobs.sqlite?timeout=5", "sqlite:////var/lib/jobs.sqlite?timeout=5"),
    ],
)
def test_urls_are_read_as_people_write_them(given: str, read: str) -> None:
    assert read_database_url(given) == read
    assert Settings(database_url=given).job_database_url == read


@pytest.mark.parametrize("given", ["", "  "])
def test_an_empty_url_is_none(given: str) -> None:
    assert Settings(database_url=given).job_database_url.startswith("sqlite:///")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("mysql://u:geheim@host/jobs", "got the scheme 'mysql'"),
        ("postgresql+asyncpg://u:geheim@host/jobs", "got the scheme"),
        ("host=db user=u password=geheim dbname=jobs", "without ://"),
        ("postgresql://u:geheim@host", "the database's name is missing"),
        ("postgresql://u:geheim@host/", "the database's name is missing"),
        ("postgresql://u:geheim@host:port/jobs", "the port is no number"),
        ("postgresql://u:geheim@host:70000/jobs", "the port is no number"),
        ("postgresql://u:ge@heim@host/jobs", "%40"),
        ("postgresql://u:ge#heim@host/jobs", "%23"),
        ("postgresql://u:geheim@:5432/jobs", "the host is missing"),
        ("sqlite://", "names a file"),
        ("sqlite:///:memory:", "names a file"),
    ],
)
def test_a_url_that_can_not_be_used_is_told_at_the_start_and_no_password_with_it(given: str, said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "service.cli", "worker"],
        env={"OUTFIELDER_DATABASE_URL": given, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "OUTFIELDER_DATABASE_URL" in ended.stderr
    assert said in ended.stderr
    assert "heim" not in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr


def test_settings_that_are_printed_tell_no_password() -> None:
    assert "geheim" not in repr(Settings(database_url="postgresql://u:geheim@host/jobs"))
