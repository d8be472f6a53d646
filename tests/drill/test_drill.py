"""The drill in short: two hosts over one PostgreSQL and one object store lose a few processes, and no job."""

from pathlib import Path

import pytest

from tests.drill import faults
from tests.drill.__main__ import Machines
from tests.drill.cluster import wait_for
from tests.drill.processes import find_tree
from tests.postgres import PostgresServer
from tests.s3 import S3


# In `make test` tests/jobs kills workers over PostgreSQL, and tests/store a publisher over an object store.
@pytest.mark.exhaustive
def test_two_hosts_lose_processes_but_no_job_and_double_no_version(
    tmp_path: Path, postgres: PostgresServer, s3_server: S3
) -> None:
    with Machines(tmp_path, postgres, s3_server).shared() as cluster:
        row = faults.kill_at_random(cluster, kills=2, jobs=2)
        assert row.is_met, row.measured
        processes = [process for host in cluster.hosts for process in host.find_processes()]
        assert processes
    assert not [process for host in cluster.hosts for process in host.find_processes()]
    wait_for(lambda: not any(map(find_tree, processes)), "all processes end", 60)
