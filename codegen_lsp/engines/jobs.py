"""A job of an engine on this machine: its thread, and the way of its tokens to the event loop.

Knows threads and event loops, and which tokens are handed on. Does not know what computes: an
engine runs the job and tells it every token (:meth:`Job.take`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Set
from dataclasses import replace
from typing import Any, Protocol

from codegen_lsp.errors import CodegenError, GenerationError
from codegen_lsp.types import GenerationRequest, Token

__all__ = ["Job", "Runner"]


class Runner(Protocol):
    """What a job needs of its engine."""

    def run(self, job: Job) -> None:
        """Run *job* to its end on the calling thread."""
        ...

    def forget(self, job: Job) -> None:
        """*job* has left."""
        ...

    def tidy(self) -> None:
        """Use the time in which nobody may be waiting."""
        ...


class Job:
    """One request on its way through the engine, and the queue its tokens come back through."""

    def __init__(
        self,
        engine: Runner,
        request: GenerationRequest,
        loop: asyncio.AbstractEventLoop,
        *,
        end: int,
        ahead: bool = False,
    ) -> None:
        """*end* is the id of end-of-text."""
        self.request = request
        self.ahead = ahead
        """Whether this only reads a prompt for requests to come."""
        self.cancelled = threading.Event()
        self.over = threading.Event()
        """Set once the job has left the engine, for threads; an event loop awaits :meth:`leave`."""
        self.refused = False
        """Whether the first token was not among those that were wished for."""
        self.handed = 0
        """How many tokens were handed on."""
        self._wanted: frozenset[int] = frozenset()
        self._ends = {end, *request.stop_ids}
        self._engine = engine
        self._loop = loop
        self._items: asyncio.Queue[Token | CodegenError | None] = asyncio.Queue()
        """Tokens, and last of all ``None`` or why it failed."""
        self._left = asyncio.Event()

    def wish(self, padding: Set[int]) -> GenerationRequest:
        """The request, its first token wished for among those that may be generated at all."""
        first = self.request.first_ids
        if not padding.isdisjoint(first):
            first = tuple(i for i in first if i not in padding)
        self._wanted = frozenset(first)
        return replace(self.request, first_ids=first)

    def start(self) -> None:
        """Begin; where the system gives no thread, end at once with that failure."""
        try:
            threading.Thread(target=self._run, name="codegen-lsp job", daemon=True).start()
        except (RuntimeError, MemoryError) as error:
            self._leave(GenerationError(f"no thread for the model: {error}"))

    async def next(self) -> Token | None:
        """The next token; ``None`` if there is none any more.

        :raises CodegenError: the job failed. Nothing comes after that.
        """
        item = await self._items.get()
        if isinstance(item, CodegenError):
            raise item
        return item

    async def leave(self) -> None:
        """Cancel the job, and wait until it has left the engine."""
        self.cancelled.set()
        await self._left.wait()

    def _run(self) -> None:
        failure: CodegenError | None = None
        try:
            self._engine.run(self)
        except CodegenError as error:
            failure = error
        except Exception as error:  # a thread's own end: what is lost here, nobody sees
            failure = GenerationError(f"the engine failed: {error!r}", mend="report this")
        self._leave(failure)
        self._engine.tidy()

    def _leave(self, failure: CodegenError | None) -> None:
        self._engine.forget(self)
        self.over.set()
        self._call(self._items.put_nowait, failure)
        self._call(self._left.set)

    @property
    def wants_odds(self) -> bool:
        """Whether the odds of the next token are wanted."""
        return self.handed < self.request.odds

    def take(self, token: Token) -> bool:
        """Hand *token* on, if it is to be heard; True stops the job."""
        wanted, self._wanted = self._wanted, frozenset()
        if wanted and token.id not in wanted:
            self.refused = True
            return True
        if token.id in self._ends:
            return True
        self.hand_over(token)
        return self.cancelled.is_set()

    def hand_over(self, token: Token) -> None:
        """Send one token to the reader, unless nobody reads any more."""
        if token.odds is not None and not self.wants_odds:
            token = replace(token, odds=None)
        self.handed += 1
        if not self.cancelled.is_set():
            self._call(self._items.put_nowait, token)

    def _call(self, function: Any, *arguments: object) -> None:
        """Run *function* on the event loop; where that loop is gone, nobody waits any more."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            self.cancelled.set()
