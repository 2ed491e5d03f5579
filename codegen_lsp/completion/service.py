"""The completion service: a query in, a completion out, whatever the client.

Knows the order of the steps (remembered? wanted at all? context, prompt, engine, clean-up, gate)
and when the model is opened. Does not know LSP, files or what engines are made of.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from codegen_lsp.completion.budget import Plan, plan, unwelcome
from codegen_lsp.completion.calibration import weights_for
from codegen_lsp.completion.cleanup import PART_STEPS, STEPS, Draft, Tidy, tidy
from codegen_lsp.completion.gate import LIMITS, align, confidence, select
from codegen_lsp.completion.generation import Generated, generate
from codegen_lsp.completion.memory import Memory
from codegen_lsp.completion.model import LoadedModel, ModelSlot, OpenModel, open_model
from codegen_lsp.completion.place import place_of
from codegen_lsp.completion.scheduler import Scheduler
from codegen_lsp.completion.sources import sources_for
from codegen_lsp.completion.worker import Worker
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.collect import collect
from codegen_lsp.context.outbound import scrubbed
from codegen_lsp.context.privacy import is_secret_file
from codegen_lsp.context.uris import path_of
from codegen_lsp.context.window import cut_window, to_line_end
from codegen_lsp.errors import DocumentError
from codegen_lsp.prompts.causal import PreparedPrompt
from codegen_lsp.types import (
    Completion,
    CompletionContext,
    CompletionQuery,
    Piece,
    Snippet,
    Source,
    Timings,
    Trigger,
)

__all__ = ["CompletionService", "Neighbours"]

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

    def forget(self, uri: str) -> None:
        """The document was closed."""
        ...


@dataclass(frozen=True, slots=True)
class _Job:
    """What is known when the engine is to begin."""

    settings: Settings
    """Those that held when the engine was free, whatever they are by now."""

    context: CompletionContext
    plan: Plan
    prepared: PreparedPrompt
    model: LoadedModel
    source: Source
    queued_ms: float


@dataclass(frozen=True, slots=True)
class _Shown:
    """What passed the gate."""

    tidy: Tidy
    pieces: tuple[Piece, ...]
    confidence: float | None


class CompletionService:
    """Completes code with one model, which the first request opens. For one event loop."""

    def __init__(
        self,
        settings: Settings,
        *,
        open_model: OpenModel = open_model,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._settings = settings
        self._neighbours = neighbours
        self._slot = ModelSlot(settings, open_model)
        self._scheduler = Scheduler()
        self._worker = Worker()
        self._searcher = Worker(thorough=True)
        """Another one: files may be on a network, which answers late or never."""
        self._memory = Memory()
        self._stable: tuple[int, ...] | None = None
        """The stable part of the prompt the engine read last."""
        self._weights: tuple[str, Sequence[float]] | None = None
        """The gate's weights, and for which model."""

    async def complete(self, query: CompletionQuery) -> Completion | None:
        """A completion; ``None`` where there is nothing to suggest.

        :raises DocumentError: the offset is outside the text.
        :raises Superseded: a newer query of the same document took over.
        :raises CodegenError: the model cannot be opened, or the engine failed.
        """
        started = time.monotonic()
        _check(query)
        uri = query.snapshot.uri
        self._scheduler.supersede(uri)
        if not self._wanted(query) or unwelcome(_tail(query), query.trigger):
            return None
        known = self._memory.recall(query)
        if known is not None:
            return known
        settings = self._settings
        completion = await self._scheduler.run(uri, lambda: self._answer(query, started))
        if completion is not None and settings is self._settings:
            self._memory.remember(query, completion)
        return completion

    async def explain(self, query: CompletionQuery) -> str:
        """The prompt the model would read for *query*, marks that are no text by their names.

        The end-of-text token that begins a document is not shown: it says nothing of the query.

        :raises DocumentError: it is a secret file and the model is remote: nothing would be sent.
        :raises CodegenError: as for :meth:`complete`.
        """
        _check(query)
        settings = self._settings
        model = await self._slot.get()
        if model.engine.info.remote and _secret(query):
            raise DocumentError(
                "nothing of this file is sent to a server, for its name is one of secrets",
                mend="choose a local model, or another file",
            )
        _, _, prepared = await self._prepared(query, model, settings)
        ids = (*(prepared.unhealed or prepared.prompt).tokens, *prepared.answer_prefix)
        return model.tokenizer.render(ids[ids[0] == model.tokenizer.eos_id :])

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on; another model is opened by the next request."""
        self._settings = settings
        self._slot.configure(settings)
        self._memory.clear()

    def forget(self, uri: str) -> None:
        """The document was closed: cancel what is computed for it, remember nothing of it."""
        self._scheduler.supersede(uri)
        self._memory.forget(uri)
        if self._neighbours is not None:
            self._neighbours.forget(uri)

    async def close(self) -> None:
        """Cancel what runs and free the model. Idempotent."""
        await self._scheduler.close()
        await self._slot.close()
        self._worker.close()
        self._searcher.close()
        self._memory.clear()

    def _wanted(self, query: CompletionQuery) -> bool:
        """Whether the settings allow an answer; an explicit request always gets one."""
        if query.trigger is Trigger.INVOKED:
            return True
        language = query.snapshot.language_id
        return self._settings.enabled and language not in self._settings.disabled_languages

    async def _answer(self, query: CompletionQuery, started: float) -> Completion | None:
        """Compute an answer; called when the engine is free."""
        warm = self._slot.ready
        model = await self._slot.get()
        if model.engine.info.remote and _secret(query):
            return None
        job = await self._job(query, model, started, warm=warm)
        generated = await generate(model, job.prepared, job.plan, self._worker)
        answer = generated.answer
        draft = Draft(answer.text, job.plan, job.context, answer.end)
        weights = await self._weights_of(model.name)
        shown = await self._worker.run(lambda: _gated(draft, generated.pieces, job, weights))
        return None if shown is None else _completion(query, job, generated, shown, started)

    async def _weights_of(self, model: str) -> Sequence[float]:
        """The gate's weights for *model*, which a file may hold."""
        if self._weights is None or self._weights[0] != model:
            self._weights = model, await self._worker.run(lambda: weights_for(model))
        return self._weights[1]

    async def _job(
        self, query: CompletionQuery, model: LoadedModel, started: float, *, warm: bool
    ) -> _Job:
        """Everything the engine is to be given, made when it is free for it."""
        queued_ms = (time.monotonic() - started) * 1000
        settings = self._settings
        context, planned, prepared = await self._prepared(query, model, settings)
        stable = prepared.prompt.stable
        # Where nothing is stable, all of the prompt is read anew.
        warm = warm and stable != () and stable == self._stable
        source = Source.WARM if warm else Source.COLD
        self._stable = stable
        return _Job(settings, context, planned, prepared, model, source, queued_ms)

    async def _prepared(
        self, query: CompletionQuery, model: LoadedModel, settings: Settings
    ) -> tuple[CompletionContext, Plan, PreparedPrompt]:
        """What is around the cursor, what is asked for there, and the prompt that says so."""
        # Room for the longest answer whatever is planned, so that the prompt begins at one place.
        budget = _budget(model, settings.max_new_tokens)
        size = CHARACTERS_PER_TOKEN * budget
        sources = sources_for(model.name, settings)
        snippets = await self._snippets(query, sources, size // SNIPPETS_SHARE)
        header = "header" in sources

        def prepare() -> tuple[CompletionContext, Plan, PreparedPrompt]:
            context = collect(query.snapshot, query.offset, size, snippets=snippets, header=header)
            planned = plan(place_of(context), query.trigger, settings)
            # What leaves this machine has no secrets in it.
            said = scrubbed(context) if model.engine.info.remote else context
            return context, planned, model.family.prepare(said, model.tokenizer, budget)

        return await self._worker.run(prepare)

    async def _snippets(
        self, query: CompletionQuery, sources: Collection[str], limit: int
    ) -> tuple[Snippet, ...]:
        """Code from elsewhere, found on a thread; none where that takes too long or fails."""
        wanted = [name for name in sources if name != "header"]
        neighbours = self._neighbours
        if neighbours is None or not wanted:
            return ()
        neighbours.prepare(query)
        search = self._searcher.run(lambda: neighbours.snippets(query, wanted, limit))
        try:
            return await asyncio.wait_for(search, SNIPPETS_SECONDS)
        except TimeoutError:
            logger.debug("no snippets within %g s", SNIPPETS_SECONDS)
        except Exception as error:  # an answer without snippets is better than none
            logger.warning("no snippets: %s", type(error).__name__)
            logger.debug("looking for snippets", exc_info=error)
        return ()


def _gated(
    draft: Draft, said: Sequence[Piece], job: _Job, weights: Sequence[float]
) -> _Shown | None:
    """As much of the tidied answer as is likely enough; all of it where the user asked."""
    tidied = tidy(draft)
    pieces = () if tidied is None else align(said, tidied.text)
    if tidied is None or not pieces:
        return None if tidied is None else _Shown(tidied, (), None)
    asked = job.plan.trigger is Trigger.INVOKED
    part = select(pieces, LIMITS["eager" if asked else job.settings.suggestions], weights)
    if part is not None and part.text != tidied.text:
        # What is left may close other brackets, or begin a block that now has no body.
        goes_on = not part.ends_line and "\n" not in part.text
        tidied = tidy(draft.to(part.text), PART_STEPS if goes_on else STEPS)
    if part is None or tidied is None:
        return None
    return _Shown(tidied, align(part.pieces, tidied.text), confidence(part, weights))


def _budget(model: LoadedModel, max_tokens: int) -> int:
    """Most tokens of a prompt that leaves room for the answer, at least half of the context.

    All of it where the answer has a context of its own.
    """
    length = model.engine.info.context_length
    return max(1, length if model.family.apart else max(length - max_tokens, length // 2))


def _tail(query: CompletionQuery) -> str:
    """What follows the cursor on its line, as far as it is looked at."""
    return cut_window(query.snapshot.text, query.offset, 0).suffix.partition("\n")[0]


def _secret(query: CompletionQuery) -> bool:
    uri = query.snapshot.uri
    return is_secret_file(path_of(uri) or uri)


def _check(query: CompletionQuery) -> None:
    length = len(query.snapshot.text)
    if not 0 <= query.offset <= length:
        raise DocumentError(
            f"offset {query.offset} is outside the text of {length} code points",
            mend="ask at an offset between 0 and the text's length",
        )


def _completion(
    query: CompletionQuery, job: _Job, generated: Generated, shown: _Shown, started: float
) -> Completion:
    return Completion(
        text=to_line_end(shown.tidy.text, job.context.line_end),
        start=query.offset,
        end=query.offset + shown.tidy.replaced,
        source=job.source,
        model=job.model.name,
        log_prob=generated.log_prob,
        confidence=shown.confidence,
        pieces=shown.pieces,
        timings=Timings(
            queue_ms=job.queued_ms,
            first_token_ms=generated.first_token_ms,
            total_ms=(time.monotonic() - started) * 1000,
            prompt_tokens=len(job.prepared.prompt),
            new_tokens=generated.new_tokens,
        ),
    )
