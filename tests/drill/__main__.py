"""The drill: kills, pauses and takes away what the service runs on, and prints what became of its jobs.

    python -m tests.drill [--kills 50] [--jobs 20] [--away 60] [--only lose-host --only poison]

Real processes on 127.0.0.1: a PostgreSQL, an S3-compatible server, API processes and workers. It takes about half
an hour and leaves nothing running.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.drill import faults
from tests.drill.cluster import Cluster, wait_for
from tests.drill.faults import READY_SECONDS, Row
from tests.postgres import PostgresServer
from tests.s3 import S3

LEASE_SECONDS = 30.0


class Machines:
    """What scenarios run on: clusters over one PostgreSQL and one object store, in folders of their own."""

    def __init__(self, folder: Path, postgres: PostgresServer, s3: S3) -> None:
        self.folder = folder
        self.postgres = postgres
        self.s3 = s3
        self._count = 0

    @contextmanager
    def alone(self) -> Iterator[Cluster]:
        """One machine with the embedded database and a folder, everything under one supervisor."""
        cluster = Cluster(self._new_folder())
        cluster.add_host(("up",))
        with self._running(cluster, 1) as running:
            yield running

    @contextmanager
    def shared(self, hosts: int = 2, on: int | None = None) -> Iterator[Cluster]:
        """Hosts over one database and one object store, of which the first `on` are switched on; by default all."""
        cluster = Cluster(
            self._new_folder(),
            database_url=self.postgres.make_database(),
            store=f"s3://{self.s3.make_bucket()}/models",
            **self.s3.environment,
        )
        for _ in range(hosts):
            cluster.add_host()
        with self._running(cluster, hosts if on is None else on) as running:
            yield running

    @contextmanager
    def _running(self, cluster: Cluster, on: int) -> Iterator[Cluster]:
        try:
            for host in cluster.hosts[:on]:
                host.switch_on()
            for host in cluster.hosts[:on]:
                wait_for(host.is_ready, "ready", READY_SECONDS, host)
            yield cluster
        finally:
            cluster.close()

    def _new_folder(self) -> Path:
        self._count += 1
        return self.folder / f"cluster-{self._count}"


def kill_one_machine(machines: Machines, asked: argparse.Namespace) -> Row:
    with machines.alone() as cluster:
        return faults.kill_at_random(cluster, kills=asked.kills, jobs=asked.jobs)


def kill_two_hosts(machines: Machines, asked: argparse.Namespace) -> Row:
    with machines.shared() as cluster:
        return faults.kill_at_random(cluster, kills=asked.kills, jobs=asked.jobs)


def pause_worker(machines: Machines, asked: argparse.Namespace) -> Row:
    del asked
    with machines.shared(on=1) as cluster:
        return faults.pause_worker(cluster, lease_seconds=LEASE_SECONDS)


def lose_host(machines: Machines, asked: argparse.Namespace) -> Row:
    del asked
    with machines.shared(on=1) as cluster:
        return faults.lose_host(cluster)


def poison(machines: Machines, asked: argparse.Namespace) -> Row:
    del asked
    with machines.shared(hosts=1) as cluster:
        return faults.poison(cluster)


def stop_database(machines: Machines, asked: argparse.Namespace) -> Row:
    with machines.shared(hosts=1) as cluster:
        return faults.stop_database(cluster, machines.postgres, seconds=asked.away)


def fail_object_store(machines: Machines, asked: argparse.Namespace) -> Row:
    with machines.shared(hosts=1) as cluster:
        return faults.fail_object_store(cluster, machines.s3, seconds=asked.away)


def publish_for_all(machines: Machines, asked: argparse.Namespace) -> Row:
    del asked
    with machines.shared() as cluster:
        return faults.publish_for_all(cluster)


def flip_bytes(machines: Machines, asked: argparse.Namespace) -> Row:
    del asked
    with machines.alone() as cluster:
        return faults.flip_bytes(cluster)


SCENARIOS: dict[str, Callable[[Machines, argparse.Namespace], Row]] = {
    scenario.__name__.replace("_", "-"): scenario
    for scenario in (
        publish_for_all, pause_worker, lose_host, poison, stop_database, fail_object_store, flip_bytes,
        kill_one_machine, kill_two_hosts,
    )
}  # fmt: skip


def run(names: list[str], asked: argparse.Namespace) -> Iterator[Row]:
    """Runs scenarios one after another; one that can't be brought to its end is a row too."""
    postgres = PostgresServer()
    s3 = S3()
    try:
        postgres.start()
        with tempfile.TemporaryDirectory(prefix="outfielder-drill-") as folder:
            machines = Machines(Path(folder), postgres, s3)
            for name in names:
                began = time.monotonic()
                try:
                    row = SCENARIOS[name](machines, asked)
                except AssertionError as error:
                    row = Row(name, "runs to its end", str(error), False)
                print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
                yield row
    finally:
        s3.close()
        postgres.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="how many processes are killed, each on both databases")
    parser.add_argument("--jobs", type=int, default=20, help="how many short jobs run meanwhile")
    parser.add_argument("--away", type=float, default=60.0, help="seconds that the database and the store are away")
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="a scenario to run; by default all")
    asked = parser.parse_args()
    os.nice(5)
    print("| fault | must hold | measured | |\n|---|---|---|---|")
    rows = []
    for row in run(asked.only or list(SCENARIOS), asked):
        rows.append(row)
        print(f"| {row.fault} | {row.bar} | {row.measured} | {'met' if row.is_met else '**missed**'} |", flush=True)
    return 0 if all(row.is_met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
