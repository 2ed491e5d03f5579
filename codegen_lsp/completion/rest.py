"""Reading ahead where the cursor rests, so that the first request there finds it read.

What is read is what a request there would have the engine read, had it time for all of it: because
an answer was given from a part of that, or because the cursor was moved without a key being typed.
Knows when the cursor rests. Does not know which places are unwelcome (``service``), prompts
(``answering``), nor whose turn it is in the engine (``scheduler``).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from codegen_lsp.completion.answering import Answering
from codegen_lsp.completion.counts import Counts
from codegen_lsp.completion.scheduler import Engagement, end
from codegen_lsp.errors import CodegenError
from codegen_lsp.types import CompletionQuery

__all__ = ["REST_SECONDS", "Rest"]

logger = logging.getLogger(__name__)

REST_SECONDS: Final = 0.7
"""After so long without a key, a request or another move the cursor rests."""


class Rest:
    """The place where the cursor is, until something happens. For one event loop."""

    def __init__(self, answering: Answering, engagement: Engagement, counts: Counts) -> None:
        self._answering = answering
        self._engagement = engagement
        self._counts = counts
        self._query: CompletionQuery | None = None
        """Where the cursor is, as far as that is known."""
        self._reading: asyncio.Task[None] | None = None
        """Waits for the cursor to rest, or reads."""
        self._tasks: set[asyncio.Task[None]] = set()
        """That, and those which were told to end and are still leaving the engine."""

    def at(self, query: CompletionQuery) -> None:
        """The cursor is there from now on."""
        self.over()
        self._query = query
        self._reading = asyncio.create_task(self._read(query))
        self._tasks.add(self._reading)
        self._reading.add_done_callback(self._tasks.discard)

    def is_at(self, query: CompletionQuery) -> bool:
        """Whether the cursor was there, in the same text, when it was last heard of."""
        if self._query is None or self._query.offset != query.offset:
            return False
        here, there = self._query.snapshot, query.snapshot
        return here.uri == there.uri and here.text == there.text

    def over(self) -> None:
        """Something happened: nothing is read."""
        task, self._reading, self._query = self._reading, None, None
        if task is not None:
            end(task)

    def forget(self, uri: str) -> None:
        """The document was closed."""
        if self._query is not None and self._query.snapshot.uri == uri:
            self.over()

    async def close(self) -> None:
        """Read nothing, and wait until nothing is read."""
        self.over()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _read(self, query: CompletionQuery) -> None:
        await asyncio.sleep(REST_SECONDS)
        # What follows a suggestion that is looked at comes first: it is the likelier to be asked.
        await self._engagement.quiet()
        try:
            await self._engagement.run_behind(lambda: self._read_now(query), 0)
        except CodegenError as error:  # the next request will say it
            logger.debug("reading ahead: %s", error)
        except Exception as error:  # nobody asked, so nobody is told twice
            logger.warning("nothing is read ahead: %s", type(error).__name__)
            logger.debug("reading ahead", exc_info=error)

    async def _read_now(self, query: CompletionQuery) -> None:
        if await self._answering.prewarm(query):
            self._counts.prewarmed += 1
        self._answering.later = False
