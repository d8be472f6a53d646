"""In which order waiting jobs are taken: by their priority, those of one priority as they were submitted."""

LOWEST, DEFAULT, HIGHEST = -10, 0, 10
# Submissions that are told apart within a priority; the engine has 31 bits for all. Those that wait from a release
# without priorities have their bare number, and go first.
_SUBMISSIONS = 2**26


def rank(priority: int, number: int) -> int:
    """The engine takes the waiting job with the lowest.

    Args:
        priority: LOWEST to HIGHEST; higher ones go first.
        number: counts submissions from 1.
    """
    return (HIGHEST - priority) * _SUBMISSIONS + min(number, _SUBMISSIONS - 1)
