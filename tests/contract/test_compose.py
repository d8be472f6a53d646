"""The files for docker compose: each parses, and what lies on top of another fits it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # has no types

from service.database_url import read_database_url

ROOT = Path(__file__).parents[2]
BASE = "docker-compose.yml"
FILES = sorted(path.name for path in ROOT.glob("docker-compose*.yml"))


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return found


@pytest.mark.parametrize("name", FILES)
def test_a_file_parses_and_its_services_are_those_of_the_base_or_have_images(name: str) -> None:
    services = read(name)["services"]
    known = read(BASE)["services"].keys()
    for service, options in services.items():
        assert service in known or "image" in options
        for volume in options.get("volumes", ()):
            assert volume.partition(":")[0] in read(name).get("volumes", {}), volume


def test_api_and_worker_share_the_postgresql_that_both_wait_for() -> None:
    services = read("docker-compose.postgres.yml")["services"]
    urls = {services[name]["environment"]["OUTFIELDER_DATABASE_URL"] for name in ("api", "worker")}
    assert len(urls) == 1
    postgres = services["postgres"]
    url = re.sub(r"\$\{[^}]*\}", "secret", urls.pop())
    environment = postgres["environment"]
    user, database = environment["POSTGRES_USER"], environment["POSTGRES_DB"]
    assert read_database_url(url) == f"postgresql+psycopg://{user}:secret@postgres:5432/{database}"
    for name in ("api", "worker"):
        assert services[name]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert "healthcheck" in postgres
    assert "ports" not in postgres
