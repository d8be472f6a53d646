"""What a person should know about their series before a model learns from them."""

from collections.abc import Sequence

import numpy as np

from service.datasets.dataset import Finding
from service.domain.panel import Panel
from service.domain.series import Array

SHORT = 4
MOST_FINDINGS = 1000


def audit(panel: Panel, found: Sequence[Finding] = (), n_absent: Sequence[int] = ()) -> tuple[Finding, ...]:
    """Findings about the values of each series, after those that reading gave; of very many the first ones.

    A last entry says how many are not shown.

    Args:
        n_absent: points of each series that reading has told of already, as gaps; none where it is empty.
    """
    findings = list(found)
    findings += [
        Finding(code, name, message)
        for name, values, absent in zip(panel.ids, panel.values, n_absent or [0] * panel.n_series, strict=True)
        for code, message in _look(values, absent)
    ]
    if len(findings) > MOST_FINDINGS:
        left_out = len(findings) - MOST_FINDINGS + 1
        findings = findings[: MOST_FINDINGS - 1]
        findings.append(Finding("more", None, f"{left_out} more findings are not shown."))
    return tuple(findings)


def _look(values: Array, n_absent: int) -> list[tuple[str, str]]:
    known = values[~np.isnan(values)]
    if not len(known):
        return [("all_null", "It holds no number: it can't be trained on or forecast.")]
    found = []
    n_given = len(values) - n_absent
    if len(known) < n_given:
        found.append(("missing_values", f"{n_given - len(known)} of {n_given} values are missing."))
    if len(known) < SHORT:
        found.append(("short", f"It has {len(known)} points: nothing can be learnt from fewer than {SHORT}."))
    elif (known == known[0]).all():
        found.append(("constant", f"All its values are {known[0]:g}."))
    return found
