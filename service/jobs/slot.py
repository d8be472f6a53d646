"""A worker's one slot: a job has it, or for as long as no job wants it a part of another worker's job."""

import threading


class Slot:
    """Who may work. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting = 0
        self._counting = threading.Lock()

    def acquire(self, timeout_seconds: float) -> bool:
        """Takes it for a job; while that waits, `is_wanted`."""
        with self._counting:
            self._waiting += 1
        try:
            return self._lock.acquire(timeout=timeout_seconds)
        finally:
            with self._counting:
                self._waiting -= 1

    def acquire_idle(self) -> bool:
        """Takes it for a part, if nobody has it or wants it."""
        return not self._waiting and self._lock.acquire(blocking=False)

    def release(self) -> None:
        self._lock.release()

    @property
    def is_wanted(self) -> bool:
        """Whether a job waits for it."""
        return self._waiting > 0
