"""The URL of the job database: which ones can be used. Standard library only; no message repeats a password."""

from urllib.parse import parse_qs, urlsplit

SQLITE, POSTGRESQL = "sqlite", "postgresql+psycopg"
# What people write, and what the engine is given.
_SCHEMES = {
    "sqlite": SQLITE,
    "sqlite+pysqlite": SQLITE,
    "postgres": POSTGRESQL,
    "postgresql": POSTGRESQL,
    "postgresql+psycopg": POSTGRESQL,
    "postgresql+psycopg2": POSTGRESQL,
}
EXPECTED = (
    "expected sqlite:////folder/jobs.sqlite for this machine alone, or "
    "postgresql://user:password@host:5432/database for many"
)


def read_database_url(text: str) -> str:
    """A job database's URL as the engine takes it.

    Raises:
        ValueError: it can't be used; the message says what it lacks, and nothing of what may be secret.
    """
    url = text.strip()
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ValueError(f"{EXPECTED}, got a text without ://")
    if scheme.lower() not in _SCHEMES:
        raise ValueError(f"{EXPECTED}, got the scheme {scheme[:30]!r}")
    known = _SCHEMES[scheme.lower()]
    if known == SQLITE:
        path = rest.partition("?")[0]
        if not path.startswith("/") or path in ("/", "/:memory:"):
            raise ValueError(f"{EXPECTED}: an SQLite URL names a file after three slashes")
    else:
        _check_server(rest)
    return f"{known}://{rest}"


def _check_server(rest: str) -> None:
    if rest.partition("?")[0].count("@") > 1 or "#" in rest:
        raise ValueError("a name or password has an @ or a # in it: write %40 and %23 for them")
    parts = urlsplit(f"postgresql://{rest}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(
            f"{EXPECTED}: the port is no number up to 65535. In a name or password, write %3A for : and %2F for /"
        ) from None
    options = parse_qs(parts.query)
    if parts.path.strip("/") == "" and "dbname" not in options:
        raise ValueError(f"{EXPECTED}: the database's name is missing")
    if not parts.hostname and "host" not in options and port is not None:
        raise ValueError(f"{EXPECTED}: the host is missing")
