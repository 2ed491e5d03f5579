"""One answer: what is around the cursor, what is asked of the model, what is made of its words.

Knows the order of these steps and how much of each there is time for. Does not know who asked
before (``service``, ``cache``), nor when the engine is free (``scheduler``).
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Final

from codegen_lsp.completion.begun import among, settled
from codegen_lsp.completion.budget import plan
from codegen_lsp.completion.cache import Entry, Said, entry_of
from codegen_lsp.completion.calibration import weights_for
from codegen_lsp.completion.clock import Clock
from codegen_lsp.completion.flight import Saying
from codegen_lsp.completion.generation import Generated, generate, said_already
from codegen_lsp.completion.judging import Judge, completion_of
from codegen_lsp.completion.model import LoadedModel, ModelSlot
from codegen_lsp.completion.place import place_of
from codegen_lsp.completion.preparing import CHARACTERS_PER_TOKEN, Asked, Neighbours, Preparer
from codegen_lsp.completion.sources import sources_for
from codegen_lsp.completion.worker import Worker
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.collect import collect
from codegen_lsp.context.privacy import is_secret_file
from codegen_lsp.context.uris import path_of
from codegen_lsp.engines.anchors import AHEAD
from codegen_lsp.errors import DocumentError, EngineError
from codegen_lsp.types import (
    CompletionQuery,
    Piece,
    Source,
    Timings,
    Trigger,
)

__all__ = ["Answering", "Neighbours", "deadline_of"]

FLAT: Final = 0.2
STEEPER: Final = 0.1
STEEPEST: Final = 0.4
"""A word that is less likely than this, given how it begins, is not worth asking how it goes on:
so much at first, so much more for each time that the model was asked in vain, so much at most."""

PREPARING_SHARE: Final = 0.5
"""Of its deadline, a request has at least so much left for the engine, however late it begins."""


class Answering:
    """Makes answers with the model of a slot. For one event loop."""

    def __init__(self, settings: Settings, slot: ModelSlot, neighbours: Neighbours | None) -> None:
        self.settings = settings
        """Those that hold now; who uses others from now on replaces them."""
        self.later = False
        """Whether the last answer had no time to read all: something is left for a rest."""
        self.read = self.written = 0
        """Tokens that engines were given to read and have written, warm ones not counted."""
        self._slot = slot
        self._worker = Worker()
        self._preparer = Preparer(neighbours, self._worker)
        self._weights: tuple[str, Sequence[float]] | None = None
        """The gate's weights, and for which model."""
        self._clock: tuple[LoadedModel, Clock] | None = None
        self._took: deque[float] = deque(maxlen=5)

    async def answer(
        self, query: CompletionQuery, stamp: Hashable, saying: Saying, started: float
    ) -> Entry:
        """What the model says to *query*, and what of it is worth showing.

        To be called when the engine is free. *started*: when it was asked (``time.monotonic``).

        :raises CodegenError: the model cannot be opened, or the engine failed.
        """
        ready = self._slot.ready
        model = await self._slot.get()
        if model.engine.info.remote and _secret(query):
            return entry_of(query, stamp, None, None)
        entered = time.monotonic()
        settings = self.settings
        # Who had to wait for the model to load is not to get less because of it.
        asked = await self._asked(query, model, settings, started if ready else entered)
        warm = model.engine.warm(asked.prepared.prompt)
        generated = await self._generated(model, asked, warm, saying)
        judge = Judge(asked.plan, asked.context, settings.suggestions, await self._gate(model))
        shown = await self._worker.run(lambda: judge.judge(generated))
        self.later = asked.later
        said = Said(tuple(generated.pieces), generated.over)
        if shown is None:
            return entry_of(query, stamp, None, said)
        length = len(asked.prepared.prompt)
        completion = completion_of(
            query,
            shown,
            generated,
            asked.context,
            _source(model, length, warm),
            model.name,
            Timings(
                queue_ms=(entered - started) * 1000,
                first_token_ms=generated.first_token_ms,
                total_ms=(time.monotonic() - started) * 1000,
                prompt_tokens=length,
                warm_tokens=warm,
                new_tokens=generated.new_tokens,
            ),
        )
        return entry_of(query, stamp, completion, said)

    async def from_said(self, query: CompletionQuery, stamp: Hashable, said: Said) -> Entry | None:
        """What is known of *query* by what was *said* before; ``None`` where that is not enough."""
        if not self._slot.ready:
            return None
        model = await self._slot.get()
        said = settled(said, model.tokenizer)
        settings, weights = self.settings, await self._gate(model)
        size = CHARACTERS_PER_TOKEN * _budget(model, settings.max_new_tokens)
        header = "header" in sources_for(model.name, settings)

        def judged() -> Entry | None:
            # As it was when the model was asked: the trees that were made then are of use again.
            context = collect(query.snapshot, query.offset, size, header=header)
            planned = plan(place_of(context), query.trigger, settings)
            generated = said_already(said, planned)
            if generated is None:
                return None
            shown = Judge(planned, context, settings.suggestions, weights).judge(generated)
            if shown is None:
                # Of a word that was begun the rest may be likelier than the gate can tell.
                return None if said.begun else entry_of(query, stamp, None, said)
            completion = completion_of(
                query, shown, generated, context, Source.SAID, model.name, Timings()
            )
            return entry_of(query, stamp, completion, said)

        return await self._worker.run(judged)

    async def is_doubtful(self, strayed: Piece, in_vain: int) -> bool:
        """Whether nothing is likely to be shown where something else was typed than was said.

        That is where the likeliest word that begins like that is not likely, even so. The more
        often the model was asked *in_vain*, the likelier it has to be.
        """
        if not self._slot.ready:
            return False
        found = among(strayed, (await self._slot.get()).tokenizer)
        limit = min(STEEPEST, FLAT + STEEPER * in_vain)
        return found is not None and found[1] - found[0] < math.log(limit)

    @property
    def expected(self) -> float:
        """Seconds that the engine will take, as it did the last times."""
        return statistics.median(self._took) if self._took else 0.0

    async def prewarm(self, query: CompletionQuery) -> bool:
        """Let the engine read what an automatic request at *query* would, had it time for all.

        Whether that was to be read: it may be warm, the engine not open, or another machine's.
        """
        model = await self._slot.get() if self._slot.ready else None
        if model is None or model.engine.info.remote:  # nobody asked to send anything
            return False
        settings = self.settings
        budget = self._longest(model, settings, timeless=not settings.deadline)
        prompt = (await self._preparer.prepare(query, model, settings, budget)).prepared.prompt
        if len(prompt.stable) - model.engine.warm(prompt) <= AHEAD:
            return False
        await model.engine.prewarm(prompt)
        return True

    async def explain(self, query: CompletionQuery) -> str:
        """The prompt the model would read for *query*, were there time for all of it.

        :raises DocumentError: it is a secret file and the model is remote: nothing would be sent.
        :raises CodegenError: the model cannot be opened.
        """
        settings = self.settings
        model = await self._slot.get()
        if model.engine.info.remote and _secret(query):
            raise DocumentError(
                "nothing of this file is sent to a server, for its name is one of secrets",
                mend="choose a local model, or another file",
            )
        budget = _budget(model, settings.max_new_tokens)
        prepared = (await self._preparer.prepare(query, model, settings, budget)).prepared
        ids = (*(prepared.unhealed or prepared.prompt).tokens, *prepared.answer_prefix)
        return model.tokenizer.render(ids[ids[0] == model.tokenizer.eos_id :])

    def close(self) -> None:
        """Let the threads end. Idempotent."""
        self._worker.close()
        self._preparer.close()

    def anticipate(self, query: CompletionQuery) -> None:
        """The model may be asked *query* in a moment: begin with what has to be done first."""
        model, settings = self._slot.model, self.settings
        if model is not None:
            timeless = not deadline_of(query, settings)
            budget = self._longest(model, settings, timeless=timeless)
            self._preparer.begin(query, model, settings, budget)

    def drop(self) -> None:
        """What was begun is asked for no more."""
        self._preparer.drop()

    def _longest(self, model: LoadedModel, settings: Settings, *, timeless: bool) -> int:
        """Most tokens of a prompt.

        There is room for the longest answer whatever is planned, so that it begins at one place.
        """
        budget = _budget(model, settings.max_new_tokens)
        return budget if timeless else min(budget, self._clock_of(model).longest)

    async def _asked(
        self, query: CompletionQuery, model: LoadedModel, settings: Settings, started: float
    ) -> Asked:
        """What there is time to ask."""
        deadline = deadline_of(query, settings)
        budget = self._longest(model, settings, timeless=not deadline)
        asked = await self._preparer.prepare(query, model, settings, budget)
        if not deadline:
            return asked
        clock = self._clock_of(model)
        prompt, answer = asked.prepared.prompt, asked.plan.max_tokens
        warm = model.engine.warm(prompt)
        left = max(deadline - (time.monotonic() - started), PREPARING_SHARE * deadline)
        size = clock.size(left, len(prompt), warm, answer)
        later = size.prompt is not None
        if size.prompt is not None:
            asked = await self._preparer.prepare(
                query, model, settings, size.prompt, snippets=False
            )
        planned = replace(asked.plan, max_tokens=size.answer)
        return replace(asked, plan=planned, later=later)

    async def _generated(
        self, model: LoadedModel, asked: Asked, warm: int, saying: Saying
    ) -> Generated:
        """What the engine says; how long that took is remembered."""
        begun = time.monotonic()
        try:
            generated = await generate(model, asked.prepared, asked.plan, self._worker, saying)
        except EngineError as error:
            if not model.engine.info.remote:  # whose engine sees to it itself
                await self._slot.failed(model, error)
            raise
        self._took.append(time.monotonic() - begun)
        read, written = len(asked.prepared.prompt) - warm, generated.new_tokens
        self.read += read
        self.written += written
        first, last = generated.first_token_ms / 1000, generated.last_token_ms / 1000
        if written:
            self._clock_of(model).measured(read, first, written, last - first)
        return generated

    def _clock_of(self, model: LoadedModel) -> Clock:
        if self._clock is None or self._clock[0] is not model:
            self._clock = model, Clock(model.parameters)
        return self._clock[1]

    async def _gate(self, model: LoadedModel) -> Sequence[float]:
        """The gate's weights for *model*, which a file may hold."""
        if self._weights is None or self._weights[0] != model.name:
            self._weights = model.name, await self._worker.run(lambda: weights_for(model.name))
        return self._weights[1]


def deadline_of(query: CompletionQuery, settings: Settings) -> float:
    """Seconds in which an answer should be there; 0 where time does not count."""
    automatic = query.trigger is Trigger.AUTOMATIC
    return (settings.deadline if automatic else settings.invoked_deadline) / 1000


def _budget(model: LoadedModel, max_tokens: int) -> int:
    """Most tokens of a prompt that leaves room for the answer, at least half of the context.

    All of it where the answer has a context of its own.
    """
    length = model.engine.info.context_length
    return max(1, length if model.family.apart else max(length - max_tokens, length // 2))


def _source(model: LoadedModel, length: int, warm: int) -> Source:
    """Who said it, of whose prompt of *length* tokens so many were *warm*."""
    if model.engine.info.remote:
        return Source.REMOTE
    return Source.WARM if 0 < length <= 2 * warm else Source.COLD


def _secret(query: CompletionQuery) -> bool:
    uri = query.snapshot.uri
    return is_secret_file(path_of(uri) or uri)
