"""What the documents name exists, and what exists is named."""

import os
import re
import tomllib
from pathlib import Path

import pytest

from service.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("[A-Z]*.md"), *(ROOT / "examples").glob("*.md"), *(ROOT / "docs").rglob("*.md")])
UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "s": 1, "days": 86_400}


def test_every_setting_is_documented_with_its_meaning() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    for name, field in Settings.model_fields.items():
        assert field.description is not None
        assert f"| OUTFIELDER_{name.upper()} | {field.description.rstrip('.')} |" in text


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_settings_targets_and_files_that_exist(document: Path) -> None:
    text = document.read_text()
    known = {f"OUTFIELDER_{name.upper()}" for name in Settings.model_fields}
    # Read by the command line's client and by the compose file.
    known |= {"OUTFIELDER_API_KEY", "OUTFIELDER_BIND", "OUTFIELDER_TAG"}
    assert set(re.findall(r"OUTFIELDER_[A-Z_]+", text)) <= known
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z-]+)`", text):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for link in re.findall(r"\[[^\]]+\]\(([\w./-]+)\)", text):
        assert (document.parent / link).exists(), link
    for path in re.findall(r"`(service/[\w/]+\.py|benchmarks/\w+\.py|docs/[\w/.-]+\.md)`", text):
        assert (ROOT / path).exists(), path


def test_ci_runs_the_checks_and_tests_of_the_makefile_on_every_python_that_is_supported() -> None:
    makefile = (ROOT / "Makefile").read_text()
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    for path in [ROOT / ".ci" / "run", *workflows]:
        targets = re.findall(r"\bmake ([a-z-]+)", path.read_text())
        assert {"check", "test"} <= set(targets), path.name
        for target in targets:
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    minor = [int(version) for version in re.findall(r"3\.(\d+)", declared)]
    tested = re.search(r"python: \[(.*)\]", workflows[0].read_text())
    assert tested is not None
    assert tested[1] == ", ".join(f'"3.{version}"' for version in range(minor[0], minor[1]))
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_limits_that_the_security_page_names_are_the_defaults() -> None:
    rows = re.findall(r"^\|[^|]*\| (OUTFIELDER_[^|]*) \| ([^|]*) \|", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)
    compared = 0
    for cell, shown in rows:
        for name, text in zip(re.findall(r"OUTFIELDER_([A-Z_]+)", cell), shown.split(", "), strict=False):
            if (number := re.fullmatch(r"([\d,]+)(?: (\w+))?", text)) is None:
                continue
            default = Settings.model_fields[name.lower()].default
            assert int(number[1].replace(",", "")) * UNITS.get(number[2], 1) == default, name
            compared += 1
    assert compared >= 15
