"""One thread for what would hold up the event loop: parsing, above all.

A syntax tree costs milliseconds, much more around code that is wrong. On another thread the loop
gets its turn in between. One thread, so that no two compute at once for one client, and what
nobody waits for any more is over before the next begins. Knows coroutines and cancellation; does
not know what is computed. What is handed in must share nothing that others change meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from codegen_lsp.syntax.patience import GivenUp, check, while_wanted

__all__ = ["Worker"]

T = TypeVar("T")


class Worker:
    """Runs calls one after another on a thread of its own. Belongs to one event loop."""

    def __init__(self, *, thorough: bool = False) -> None:
        """A *thorough* one finishes what it has begun, because the next call profits from it."""
        self._thorough = thorough
        self._pool: ThreadPoolExecutor | None = None
        self._turn = asyncio.Lock()
        self._last: Future[object] | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """What *call* returns, or raises.

        Who is cancelled here waits no more. A call that has not begun by then never does; one
        that has ends before it parses another text, unless the worker is thorough.
        """
        async with self._turn:  # so nothing queues up behind a call that hangs
            await self._left()
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="codegen-lsp-completion")
            given_up = threading.Event()
            done: Future[T] = self._pool.submit(_called, call, given_up)
            self._last = done  # type: ignore[assignment] # whatever it returns
            try:
                return await asyncio.wrap_future(done)
            finally:
                if not self._thorough:
                    given_up.set()

    @property
    def busy(self) -> bool:
        """Whether the thread is at a call, be it one that nobody waits for."""
        return self._last is not None and not self._last.done()

    async def _left(self) -> None:
        """Wait until the thread is free of a call that nobody waits for."""
        last = self._last
        if last is not None and not last.done():
            with contextlib.suppress(Exception):  # it was nobody's any more
                await asyncio.shield(asyncio.wrap_future(last))

    def close(self) -> None:
        """Let the thread end after what it is at. Idempotent; :meth:`run` starts another."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)


def _called(call: Callable[[], T], given_up: threading.Event) -> T:
    try:
        with while_wanted(given_up):
            check()
            return call()
    except GivenUp:
        return None  # type: ignore[return-value] # nobody looks at it
