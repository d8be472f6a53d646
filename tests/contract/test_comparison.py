"""Every mark of docs/comparison.md says where it is from."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "comparison.md"
TEXT = PAGE.read_text()
ROWS = [line.strip("|\n ").split(" | ") for line in TEXT.splitlines() if re.match(r"\| [A-Z]", line)]
SOURCES = dict(re.findall(r"^\[([\w-]+)\]: (\S+)$", TEXT, flags=re.MULTILINE))
# Marks that no page says.
UNSAID = {"not documented", "–"}
MARK = re.compile(r"\[[^\]]+\]\[([\w-]+)\]")


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_mark_has_a_source(row: list[str]) -> None:
    assert len(row) == 8
    for cell in row[1:]:
        assert cell in UNSAID or MARK.search(cell), cell
    # Ours are known.
    assert row[1] not in UNSAID


def test_every_source_is_named_once_and_used() -> None:
    used = {name for row in ROWS for cell in row for name in MARK.findall(cell)}
    assert used == SOURCES.keys()
    assert len(ROWS) >= 25


def test_our_own_sources_exist() -> None:
    for source in SOURCES.values():
        if source.startswith("https://"):
            continue
        path, _, anchor = source.partition("#")
        page = PAGE.parent / path if path else PAGE
        assert page.exists(), source
        assert not anchor or anchor in anchors(page), source
