"""Audits series: what a person should know before a model learns from them."""

from collections.abc import Callable, Sequence

import numpy as np

from service.datasets.dataset import MOST_FINDINGS, BoundedFindings, Finding
from service.datasets.outliers import find_outliers
from service.domain.panel import Panel
from service.domain.series import Array

SHORT = 4
MOST_OUTLIERS_SHOWN = 3

# Where a value of a series stands, by its index, in words: of a file its row.
Locate = Callable[[int], str]


class Audit:
    """Looks at series one after the other, and tells what was found of all."""

    def __init__(self) -> None:
        self._findings = BoundedFindings()

    def look(self, name: str, values: Array, n_absent: int = 0, locate: Locate | None = None) -> None:
        """Args: as of `audit`, of one series."""
        self._findings += [Finding(code, name, message) for code, message in _look(values, n_absent)]
        self._findings += [Finding("outlier", name, message) for message in _look_for_outliers(values, locate)]

    def add(self, finding: Finding) -> None:
        """Something that was found elsewhere."""
        self._findings.append(finding)

    def tell(self, reading_findings: Sequence[Finding] = ()) -> tuple[Finding, ...]:
        """The findings, after those that reading gave; of very many the first ones, and how many are not shown."""
        findings = BoundedFindings(reading_findings)
        findings += self._findings
        if findings.n_found > MOST_FINDINGS:
            left_out = findings.n_found - MOST_FINDINGS + 1
            return (*findings[: MOST_FINDINGS - 1], Finding("more", None, f"{left_out} more findings are not shown."))
        return tuple(findings)


def audit(panel: Panel, reading_findings: Sequence[Finding] = (), n_absent: Sequence[int] = ()) -> tuple[Finding, ...]:
    """Findings about the values of each series, after those that reading gave; of very many the first ones.

    A last entry says how many are not shown.

    Args:
        n_absent: points of each series that were already reported as gaps; empty for none.
    """
    made = Audit()
    for name, values, absent in zip(panel.ids, panel.values, n_absent or [0] * panel.n_series, strict=True):
        made.look(name, values, absent)
    return made.tell(reading_findings)


def _look(values: Array, n_absent: int) -> list[tuple[str, str]]:
    known = values[~np.isnan(values)]
    if not len(known):
        return [("all_null", "It has no numbers: it can't be trained on or forecast.")]
    findings = []
    n_given = len(values) - n_absent
    if len(known) < n_given:
        findings.append(("missing_values", f"{n_given - len(known)} of {n_given} values are missing."))
    if len(known) < SHORT:
        findings.append(("short", f"It has {len(known)} points: models can't learn from fewer than {SHORT}."))
    elif (known == known[0]).all():
        findings.append(("constant", f"All its values are {known[0]:g}."))
    return findings


def _look_for_outliers(values: Array, locate: Locate | None) -> list[str]:
    positions = find_outliers(values)
    if not len(positions):
        return []
    named = [f"{values[at]:.15g} ({_locate(int(at), locate)})" for at in positions[:MOST_OUTLIERS_SHOWN]]
    rest = len(positions) - len(named)
    shown = ", ".join(named) + (f" and {rest} more" if rest else "")
    others = np.delete(values, positions)
    verb = "stands" if len(positions) == 1 else "stand"
    return [
        f"{shown} {verb} far from all its other values, which go from {np.nanmin(others):.6g} to "
        f"{np.nanmax(others):.6g}. Nothing was changed: where it is an error or stands for a missing value, send "
        "nothing in its place."
    ]


def _locate(at: int, locate: Locate | None) -> str:
    return f"value {at}" if locate is None else locate(at)
