"""Who may use the engine: one job at a time, and of each document only the latest.

Knows keys (document URIs) and coroutines. Does not know what a job does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["Scheduler", "Superseded"]

T = TypeVar("T")


class Superseded(Exception):  # noqa: N818 - not an error: a newer request took over
    """A newer request for the same document has taken over."""


class Scheduler:
    """Runs jobs one after another. Belongs to one event loop."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._latest: dict[str, asyncio.Task[object]] = {}
        self._superseded: set[asyncio.Task[object]] = set()
        self._jobs: set[asyncio.Task[object]] = set()

    async def run(self, key: str, job: Callable[[], Awaitable[T]]) -> T:
        """What *job* returns, once the engine is free; an older job of *key* is cancelled.

        A cancelled job has left the engine when the next one begins.

        :raises Superseded: a newer job of the same key took over.
        """
        self.supersede(key)
        task = asyncio.create_task(self._enter(job))
        self._latest[key] = task
        self._jobs.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if task in self._superseded and not (current and current.cancelling()):
                raise Superseded from None
            raise
        finally:
            self._jobs.discard(task)
            self._superseded.discard(task)
            if self._latest.get(key) is task:
                del self._latest[key]

    def supersede(self, key: str) -> None:
        """Cancel the job of *key*, if there is one; who waits for it gets :exc:`Superseded`."""
        task = self._latest.pop(key, None)
        if task is not None and not task.done():
            self._superseded.add(task)
            task.cancel()

    async def close(self) -> None:
        """Cancel all jobs and wait until they have left."""
        jobs = list(self._jobs)
        for task in jobs:
            task.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    async def _enter(self, job: Callable[[], Awaitable[T]]) -> T:
        async with self._turn:
            return await job()
