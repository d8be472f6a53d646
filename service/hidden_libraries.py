"""Libraries that others import where they find them, and that nobody here needs: as if they were not installed.

pyarrow and Keras import pandas, Keras matplotlib and TensorFlow JAX, to see whether something is theirs. That takes
seconds of a start, and a hundred megabytes.
"""

import contextlib
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder


class _Hidden(MetaPathFinder):
    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname in self._names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def hide(*names: str) -> MetaPathFinder:
    """Hides packages from the process that calls it, as far as they are not imported yet."""
    finder = _Hidden(names)
    sys.meta_path.insert(0, finder)
    return finder


@contextlib.contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Hides packages from what is imported meanwhile."""
    finder = hide(*names)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
