"""Looks for copies beside the event loop, and gives up where that takes long.

Knows threads and patience. Does not know what a copy is (``copying``), nor who else has an answer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from codegen_lsp.completion.copying import Copier, Searchable
from codegen_lsp.completion.worker import Worker
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.buffers import Buffers
from codegen_lsp.context.copies_texts import CopyTexts
from codegen_lsp.types import Completion, CompletionQuery, Source, Trigger

__all__ = ["Copyist"]

logger = logging.getLogger(__name__)

COPY_SECONDS: Final = 0.05
"""How long an answer waits for a copy: files may have to be read for it, and be far away."""


class _Surroundings(Searchable, Protocol):
    """What gives texts to search."""

    def prepare(self, query: CompletionQuery) -> None:
        """Take the texts as they are; called on the event loop, before ``texts``."""
        ...


class Copyist:
    """Finds copies. For one event loop."""

    def __init__(self, surroundings: _Surroundings | None) -> None:
        """Without *surroundings* the document itself is searched."""
        self._surroundings = surroundings
        self._copier = Copier(CopyTexts(Buffers()) if surroundings is None else surroundings)
        self._worker = Worker()
        """A thread of its own: what is instant must not wait for what is not."""
        self._looking: asyncio.Task[None] | None = None
        self._late = False
        """Whether the last search took too long."""

    def look(self, query: CompletionQuery, settings: Settings) -> None:
        """Somebody may type there soon: choose where to search, if there is time."""
        if not settings.copies or self._worker.busy:
            return
        if self._surroundings is not None:
            self._surroundings.prepare(query)
        self._looking = asyncio.create_task(self._look(query))

    async def _look(self, query: CompletionQuery) -> None:
        try:
            await self._worker.run(lambda: self._copier.look(query))
        except Exception as error:  # who types there will hear of it
            logger.debug("choosing where to look for copies", exc_info=error)

    async def find(self, query: CompletionQuery, settings: Settings) -> Completion | None:
        """What stands elsewhere and very likely is written here; who asked gets the model's."""
        if not settings.copies or query.trigger is Trigger.INVOKED:
            return None
        if self._late and self._worker.busy:
            return None  # it still does, and would at every key
        if self._surroundings is not None:
            self._surroundings.prepare(query)
        try:
            # Not wait_for, which in Python 3.11 loses a cancellation that comes with the result.
            async with asyncio.timeout(COPY_SECONDS):
                copy = await self._worker.run(lambda: self._copier.find(query, settings))
            self._late = False
        except TimeoutError:
            self._late = True
            logger.debug("no copy within %g s", COPY_SECONDS)
            return None
        except Exception as error:  # an answer of the model is better than none
            logger.warning("no copies: %s", type(error).__name__)
            logger.debug("looking for copies", exc_info=error)
            return None
        if copy is None:
            return None
        return Completion(
            text=copy.text,
            start=query.offset,
            end=query.offset + copy.replaced,
            source=Source.COPY,
            model="",
            confidence=copy.confidence,
        )

    def close(self) -> None:
        """Let the thread end. Idempotent."""
        if self._looking is not None:
            self._looking.cancel()
        self._worker.close()
