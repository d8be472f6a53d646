import numpy as np

from service.datasets.audit import audit
from service.datasets.dataset import MOST_FINDINGS, Finding
from service.domain.panel import Panel

NAN = float("nan")


def look(values: list[float], n_absent: int = 0) -> list[str]:
    panel = Panel(("a",), (np.array(values),), (None,), None)
    return [finding.code for finding in audit(panel, n_absent=[n_absent])]


def test_each_oddity_has_its_code() -> None:
    assert look([1, 2, 3, 4]) == []
    assert look([NAN, NAN]) == ["all_null"]
    assert look([1, 2, 3]) == ["short"]
    assert look([2, 2, 2, 2]) == ["constant"]
    assert look([2, NAN, 2, 2, 2]) == ["missing_values", "constant"]
    assert look([1, NAN, 3, 4, 5], n_absent=1) == []
    assert look([1, NAN, 3, 4, NAN], n_absent=1) == ["missing_values", "short"]


def test_very_many_findings_end_with_a_count() -> None:
    n = 3 * MOST_FINDINGS
    panel = Panel(tuple(map(str, range(n))), tuple(np.ones(9) for _ in range(n)), (None,) * n, None)
    first = Finding("no_times", None, "First.")
    findings = audit(panel, [first])
    assert len(findings) == MOST_FINDINGS
    assert findings[0] == first
    assert findings[-1] == Finding("more", None, f"{n + 1 - (MOST_FINDINGS - 1)} more findings are not shown.")
