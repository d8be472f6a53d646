"""Both clients behind one face, so that every test of a call is one of both."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from outfielder_client import AsyncClient, AsyncJob


class Awaited:
    """An AsyncClient, or a job of it, whose calls are run to their end in a loop of their own."""

    def __init__(self, target: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._target = target
        self._loop = loop

    @classmethod
    def client(cls, *arguments: Any, **options: Any) -> "Awaited":
        return cls(AsyncClient(*arguments, **options), asyncio.new_event_loop())

    def __enter__(self) -> "Awaited":
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.run_until_complete(self._target.close())
        self._loop.close()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        return self._calling(found) if callable(found) else found

    def _calling(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            result = method(*arguments, **options)
            if inspect.isasyncgen(result):
                return self._iterate(result)
            return self._wrap(self._loop.run_until_complete(result) if inspect.iscoroutine(result) else result)

        return call

    def _iterate(self, items: Any) -> Iterator[Any]:
        try:
            while True:
                yield self._loop.run_until_complete(anext(items))
        except StopAsyncIteration:
            return
        finally:
            self._loop.run_until_complete(items.aclose())

    def _wrap(self, result: Any) -> Any:
        if isinstance(result, list):
            return [self._wrap(each) for each in result]
        return Awaited(result, self._loop) if isinstance(result, AsyncJob) else result
