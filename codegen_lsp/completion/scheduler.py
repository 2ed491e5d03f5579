"""Who may use the engine: one job at a time, and of each document only the latest request.

A *turn* is one request on its way to an answer; a newer one of the same document ends it. A *job*
is what uses the engine. The two are apart because a job may outlive the turn that began it: a
newer request whose text the job's answer still agrees with waits for it instead of beginning
another. A job in the *background* (what may be asked next) runs while nobody waits, and leaves for
whoever does.

Knows keys (document URIs) and coroutines. Does not know what a job does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar
from weakref import WeakSet

__all__ = ["Engagement", "Superseded", "Turns", "end", "is_ending"]

T = TypeVar("T")

_ended: WeakSet[asyncio.Task[Any]] = WeakSet()


def end(task: asyncio.Task[Any]) -> None:
    """Cancel *task*, once: cancelled again, it would not wait until it has left the engine."""
    if task not in _ended:
        _ended.add(task)
        task.cancel()


def is_ending(task: asyncio.Task[Any]) -> bool:
    """Whether *task* was told to :func:`end`, or has."""
    return task.done() or task in _ended


class Superseded(Exception):  # noqa: N818 - not an error: a newer request took over
    """A newer request for the same document has taken over."""


class Turns:
    """The latest request of each document. Belongs to one event loop."""

    def __init__(self) -> None:
        self._latest: dict[str, asyncio.Task[Any]] = {}
        self._superseded: set[asyncio.Task[Any]] = set()
        self._all: set[asyncio.Task[Any]] = set()

    async def run(self, key: str, turn: Coroutine[Any, Any, T]) -> T:
        """What *turn* returns; an older one of *key* ends.

        :raises Superseded: a newer turn of the same key began.
        """
        self.supersede(key)
        task = asyncio.create_task(turn)
        self._latest[key] = task
        self._all.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if task in self._superseded and not (current and current.cancelling()):
                raise Superseded from None
            raise
        finally:
            self._all.discard(task)
            self._superseded.discard(task)
            if self._latest.get(key) is task:
                del self._latest[key]

    def supersede(self, key: str) -> None:
        """End the turn of *key*, if there is one; who waits for it gets :exc:`Superseded`."""
        task = self._latest.pop(key, None)
        if task is not None and not task.done():
            self._superseded.add(task)
            task.cancel()

    async def close(self) -> None:
        """End all turns and wait until they have."""
        turns = list(self._all)
        for task in turns:
            task.cancel()
        await asyncio.gather(*turns, return_exceptions=True)


class Engagement:
    """The engine's time. Belongs to one event loop."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._background: asyncio.Task[Any] | None = None

    async def run(self, job: Callable[[], Awaitable[T]]) -> T:
        """What *job* returns, once the engine is free; what runs in the background leaves first.

        A job that was cancelled has left the engine when the next one begins.
        """
        self.clear()
        async with self._turn:
            return await job()

    async def run_behind(self, job: Callable[[], Awaitable[T]], delay: float) -> T:
        """What *job* returns, begun after *delay* seconds in the background, of which there is one.

        Whoever wants the engine, or the background, cancels the task that calls this.
        """
        self.clear()
        task = self._background = asyncio.current_task()
        try:
            await asyncio.sleep(delay)
            async with self._turn:
                return await job()
        finally:
            if self._background is task:
                self._background = None

    def keep(self) -> None:
        """Somebody waits now for what runs in the background: it is not cancelled any more."""
        self._background = None

    def clear(self) -> None:
        """Cancel what runs in the background, or waits to."""
        task, self._background = self._background, None
        if task is not None and task is not asyncio.current_task():
            end(task)

    async def quiet(self) -> None:
        """Wait until nothing runs in the background, or waits to."""
        while self._background is not None:
            await asyncio.wait({self._background})
