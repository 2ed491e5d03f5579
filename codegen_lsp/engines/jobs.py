"""A job of an engine on this machine: its thread, and the way of its tokens to the event loop.

Knows threads and event loops. Does not know what computes: an engine runs the job and gives
:meth:`Job.step` to its library, CTranslate2's for one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Set
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.engines.odds import Logits
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
        floats: Callable[[Any], NDArray[np.float32]] | None = None,
    ) -> None:
        """*floats* reads the logits of a step, where the library gives any."""
        self.request = request
        self.ahead = ahead
        """Whether this only reads a prompt for requests to come."""
        self.cancelled = threading.Event()
        self.items: asyncio.Queue[Token | CodegenError | None] = asyncio.Queue()
        self.left = asyncio.Event()
        self.thread = threading.Thread(target=self._run, name="ct2-job", daemon=True)
        self.refused = False
        """Whether the first token was not among those that were wished for."""
        self.given = 0
        """Tokens that come first and were not generated."""
        self._wanted: frozenset[int] = frozenset()
        self._counted = 0
        """Of how many tokens odds were given."""
        self._ends = {end, *request.stop_ids}
        self._engine = engine
        self._loop = loop
        self._floats = floats

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
            self.thread.start()
        except RuntimeError as error:
            self._leave(GenerationError(f"no thread for the model: {error}"))

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
        self._call(self.items.put_nowait, failure)
        self._call(self.left.set)

    def step(self, result: Any) -> bool:
        """Hand one token over; True stops the job. Called on CTranslate2's thread."""
        if result.step < self.given:
            return self.cancelled.is_set()
        if self._wanted and not self.refused:
            self.refused = result.token_id not in self._wanted
            self._wanted = frozenset()
            if self.refused:
                return True
        if result.token_id not in self._ends:
            self.hand_over(Token(result.token_id, result.log_prob, odds=self._odds(result)))
        return self.cancelled.is_set()

    def odds_of(self, logits: NDArray[np.float32]) -> Logits | None:
        """The odds of the next token, if they are wanted."""
        self._counted += 1
        return Logits(logits) if self._counted <= self.request.odds else None

    def _odds(self, result: Any) -> Logits | None:
        if self._floats is None or self._counted >= self.request.odds or result.logits is None:
            return None
        return self.odds_of(self._floats(result.logits))

    def hand_over(self, token: Token) -> None:
        """Send one token to the reader, unless nobody reads any more."""
        if not self.cancelled.is_set():
            self._call(self.items.put_nowait, token)

    def _call(self, function: Any, *arguments: object) -> None:
        """Run *function* on the event loop; where that loop is gone, nobody waits any more."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            self.cancelled.set()
