"""The state of the process: starting, ready, or draining."""

import asyncio

from service.errors import NotReady


class Lifecycle:
    """Moves from starting to ready to draining. To be used on the event loop."""

    def __init__(self) -> None:
        self._ready = False
        self.draining = asyncio.Event()

    def start(self) -> None:
        """Everything is open: requests may come."""
        self._ready = True

    def drain(self) -> None:
        """The process is to end: no new requests, endless answers end."""
        self.draining.set()

    def check(self) -> None:
        """Raises NotReady unless requests may come."""
        if self.draining.is_set():
            raise NotReady(
                "The server is shutting down. Send the request again: another server, or this one after its restart, "
                "will answer it."
            )
        if not self._ready:
            raise NotReady("The server is starting.")
