"""What is asked of a model: what is around the cursor, what is wanted there, and the prompt for it.

Parsed and put together on a thread; code from elsewhere is looked for on another one, since files
may be on a network that answers late or never. Who will probably ask in a moment can have that
begun already. Knows no engine's time, and not what becomes of the prompt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import Final, Protocol

from codegen_lsp.completion.budget import Plan, plan
from codegen_lsp.completion.model import LoadedModel
from codegen_lsp.completion.place import place_of
from codegen_lsp.completion.sources import sources_for
from codegen_lsp.completion.worker import Worker
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.collect import collect
from codegen_lsp.context.copies_texts import Searched
from codegen_lsp.context.outbound import scrubbed
from codegen_lsp.prompts.causal import PreparedPrompt
from codegen_lsp.types import CompletionContext, CompletionQuery, Snippet

__all__ = ["CHARACTERS_PER_TOKEN", "Asked", "Neighbours", "Preparer"]

logger = logging.getLogger(__name__)

CHARACTERS_PER_TOKEN: Final = 4
"""A token of code is seldom longer; a window of this size seldom wastes context."""

SNIPPETS_SHARE: Final = 2
"""Snippets are looked for as if they could fill half of the prompt; the prompt decides."""

SNIPPETS_SECONDS: Final = 0.15
"""How long an answer waits for snippets: a folder on a network must not hold it up."""


class Neighbours(Protocol):
    """What a service needs to know of the world around a document."""

    def prepare(self, query: CompletionQuery) -> None:
        """Note where the user is at work; called on the event loop, before :meth:`snippets`."""
        ...

    def snippets(
        self, query: CompletionQuery, sources: Collection[str], limit: int
    ) -> tuple[Snippet, ...]:
        """Code from elsewhere, at most *limit* characters, the most telling first.

        Called on a thread of its own.
        """
        ...

    def texts(self, query: CompletionQuery) -> Searched:
        """The document and others like it, to be searched for copies, after :meth:`prepare`.

        Called on a thread of its own.
        """
        ...

    def stamp(self, uri: str) -> Hashable:
        """Another value when a document other than *uri* was edited since. Cheap."""
        ...

    def forget(self, uri: str) -> None:
        """The document was closed."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What the engine is to be given."""

    context: CompletionContext
    plan: Plan
    prepared: PreparedPrompt

    later: bool = False
    """Whether there was no time to read all of it."""


@dataclass(frozen=True, slots=True)
class _Early:
    """What was begun before it was asked for."""

    query: CompletionQuery
    model: LoadedModel
    settings: Settings
    budget: int
    task: asyncio.Task[Asked]


class Preparer:
    """Prepares one request at a time. For one event loop."""

    def __init__(self, neighbours: Neighbours | None, worker: Worker) -> None:
        self._neighbours = neighbours
        self._worker = worker
        self._searcher = Worker(thorough=True)
        self._early: _Early | None = None

    def begin(
        self, query: CompletionQuery, model: LoadedModel, settings: Settings, budget: int
    ) -> None:
        """Somebody will ask for that, unless he has what he wants by then from somebody else."""
        self.drop()
        task = asyncio.create_task(self._prepare(query, model, settings, budget, snippets=True))
        task.add_done_callback(_retrieve)
        self._early = _Early(query, model, settings, budget, task)

    async def prepare(
        self,
        query: CompletionQuery,
        model: LoadedModel,
        settings: Settings,
        budget: int,
        *,
        snippets: bool = True,
    ) -> Asked:
        """What is asked of *model*, in at most *budget* tokens; without *snippets* at once."""
        early, self._early = self._early, None
        if early is not None:
            same = early.query is query and early.model is model and early.settings is settings
            if same and snippets and early.budget == budget:
                return await early.task
            early.task.cancel()
        return await self._prepare(query, model, settings, budget, snippets=snippets)

    async def _prepare(
        self,
        query: CompletionQuery,
        model: LoadedModel,
        settings: Settings,
        budget: int,
        *,
        snippets: bool,
    ) -> Asked:
        size = CHARACTERS_PER_TOKEN * budget
        sources = sources_for(model.name, settings)
        found: tuple[Snippet, ...] = ()
        if snippets:
            found = await self._snippets(query, sources, size // SNIPPETS_SHARE)
        header = "header" in sources

        def put_together() -> Asked:
            context = collect(query.snapshot, query.offset, size, snippets=found, header=header)
            planned = plan(place_of(context), query.trigger, settings)
            # What leaves this machine has no secrets in it.
            said = scrubbed(context) if model.engine.info.remote else context
            prepared = model.family.prepare(said, model.tokenizer, budget)
            return Asked(context, planned, prepared)

        return await self._worker.run(put_together)

    async def _snippets(
        self, query: CompletionQuery, sources: Collection[str], limit: int
    ) -> tuple[Snippet, ...]:
        """Code from elsewhere, found on a thread; none where that takes too long or fails."""
        wanted = [name for name in sources if name != "header"]
        neighbours = self._neighbours
        if neighbours is None or not wanted:
            return ()
        neighbours.prepare(query)
        try:
            # Not wait_for, which in Python 3.11 loses a cancellation that comes with the result.
            async with asyncio.timeout(SNIPPETS_SECONDS):
                return await self._searcher.run(lambda: neighbours.snippets(query, wanted, limit))
        except TimeoutError:
            logger.debug("no snippets within %g s", SNIPPETS_SECONDS)
        except Exception as error:  # an answer without snippets is better than none
            logger.warning("no snippets: %s", type(error).__name__)
            logger.debug("looking for snippets", exc_info=error)
        return ()

    def drop(self) -> None:
        """Nobody asks for what was begun."""
        early, self._early = self._early, None
        if early is not None:
            early.task.cancel()

    def close(self) -> None:
        """Let the searching thread end. Idempotent."""
        self.drop()
        self._searcher.close()


def _retrieve(task: asyncio.Task[Asked]) -> None:
    """What it failed with is the concern of who asks, if somebody does."""
    if not task.cancelled():
        task.exception()
