"""Shows how far a job is: a bar of tqdm where it is installed, else a line of text."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from outfielder_client.events import Event

Show: TypeAlias = Callable[[Event], None]
Progress: TypeAlias = bool | Show | None

# What a job's progress counts.
UNITS = {"train": "epoch", "backtest": "series", "forecast": "series"}
BAR_CHARACTERS = 20


@contextmanager
def follow(job: dict[str, Any], progress: Progress) -> Iterator[Show]:
    """Gives the function that shows an event; what it showed stays when the job ends."""
    if callable(progress):
        yield progress
        return
    is_wanted = in_notebook() or sys.stderr.isatty() if progress is None else progress
    shown = (make_bar(job) or Line(job)) if is_wanted else Nothing()
    try:
        yield shown.show
    finally:
        shown.close()


def in_notebook() -> bool:
    """Whether this is a kernel of Jupyter's, which shows what is written as a page."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def describe(job: dict[str, Any], event: Event) -> str:
    """How far a job is, in words."""
    if event.kind == "done":
        return f"{job['model']}: {event.data['status']}"
    data = event.data
    loss = "" if data.get("val_loss") is None else f", val_loss {data['val_loss']:.4g}"
    left = "" if data.get("eta_seconds") is None else f", {data['eta_seconds']:.0f} s left"
    return f"{job['model']}: {UNITS.get(job['kind'], 'step')} {data['epoch']}/{data['epochs']}{loss}{left}"


class Nothing:
    def show(self, event: Event) -> None:
        pass

    def close(self) -> None:
        pass


class Line:
    """One line on standard error, which each event overwrites."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._width = 0

    def show(self, event: Event) -> None:
        text = describe(self._job, event)
        if event.kind == "progress" and event.data["epochs"]:
            filled = BAR_CHARACTERS * event.data["epoch"] // event.data["epochs"]
            text = f"[{'#' * filled:<{BAR_CHARACTERS}}] {text}"
        print(f"\r{text:<{self._width}}", end="", file=sys.stderr, flush=True)
        self._width = len(text)

    def close(self) -> None:
        if self._width:
            print(file=sys.stderr, flush=True)


class Bar:
    """A bar of tqdm, which knows how to draw itself in a notebook."""

    def __init__(self, job: dict[str, Any], bar: Any) -> None:
        self._job = job
        self._bar = bar

    def show(self, event: Event) -> None:
        if event.kind == "progress":
            self._bar.total = event.data["epochs"] or None
            self._bar.n = event.data["epoch"]
        self._bar.set_description_str(describe(self._job, event), refresh=True)

    def close(self) -> None:
        self._bar.close()


def make_bar(job: dict[str, Any]) -> Bar | None:
    try:
        with warnings.catch_warnings():
            # Of a notebook without ipywidgets, where the bar is one of text.
            warnings.filterwarnings("ignore", "IProgress not found")
            from tqdm.auto import tqdm
    except ImportError:
        return None
    return Bar(job, tqdm(total=None, desc=job["model"], bar_format="{desc} |{bar}| {elapsed}"))
