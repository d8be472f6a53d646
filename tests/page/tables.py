"""What tables of the page say, as numbers."""

from dataclasses import dataclass

from playwright.sync_api import Locator, expect

# How many digits the page shows of what: of numbers behind a chart, of scores.
SIX_DIGITS = 1e-5
FOUR_DIGITS = 1e-3
THREE_DIGITS = 1e-2


@dataclass(frozen=True)
class Table:
    """A table's texts: the names of its columns, and its rows by the text of their first cell."""

    columns: list[str]
    rows: dict[str, list[str]]

    def numbers(self, row: str) -> dict[str, float | None]:
        """A row's numbers by column; None where none is shown."""
        return {
            name: read_number(text)
            for name, text in zip(self.columns[1:], self.rows[row], strict=True)
            if is_number(text)
        }

    def column(self, name: str) -> dict[str, float]:
        """A column's numbers by row, without rows that have none."""
        place = self.columns.index(name) - 1
        found = {row: read_number(cells[place]) for row, cells in self.rows.items()}
        return {row: number for row, number in found.items() if number is not None}


def read_table(place: Locator) -> Table:
    """The table in a place."""
    table = place.locator("table")
    expect(table.locator("tbody tr").first).to_be_visible()
    columns, rows = table.evaluate(
        """table => [
          [...table.querySelectorAll("thead th")].map(cell => cell.innerText.trim()),
          [...table.querySelectorAll("tbody tr")].map(row => [...row.children].map(cell => cell.innerText.trim())),
        ]"""
    )
    return Table(columns, {row[0]: row[1:] for row in rows})


def read_chart(place: Locator) -> Table:
    """The numbers behind the chart in a place, the oldest first."""
    details = place.locator("details.data-table")
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    shown = read_table(details)
    return Table(shown.columns, dict(reversed(shown.rows.items())))


def is_number(text: str) -> bool:
    return text == "–" or text.replace("−", "").replace(",", "").replace(".", "").replace("e", "").isdigit()


def read_number(text: str) -> float | None:
    """A number as the page writes it; None for none."""
    return None if text == "–" else float(text.removesuffix(" %").replace("−", "-").replace(",", ""))
