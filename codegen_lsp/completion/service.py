"""The completion service: a query in, a completion out, whatever the client.

Knows who is asked, in this order: what was answered before and still holds (``cache``), what stands
elsewhere word for word (``copying``), an answer that is on its way and says what is being typed
(``flight``), and only then the engine (``answering``), and a team's server beside it (``far``).
Afterwards, while what was suggested is looked at, what would follow it. Does not know LSP, files or
what engines are made of.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Final

from codegen_lsp.completion.answering import Answering, Neighbours, deadline_of
from codegen_lsp.completion.budget import unwelcome
from codegen_lsp.completion.cache import Cache, Entry, Found, decided, entry_of
from codegen_lsp.completion.copyist import Copyist
from codegen_lsp.completion.counts import Counts
from codegen_lsp.completion.far import Far, first_of
from codegen_lsp.completion.flight import Flight, Flights, Saying
from codegen_lsp.completion.foresight import Foresight
from codegen_lsp.completion.model import ModelSlot, OpenModel, open_model
from codegen_lsp.completion.pace import Pace
from codegen_lsp.completion.rest import Rest
from codegen_lsp.completion.scheduler import Engagement, Superseded, Turns
from codegen_lsp.completion.serving import open_remote
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.window import cut_window
from codegen_lsp.errors import DocumentError
from codegen_lsp.types import Completion, CompletionQuery, Source, Trigger

__all__ = ["CompletionService", "Counts", "Neighbours"]

SURE: Final = 0.65
"""Where what was said before is so likely to be right, nobody looks for a copy."""


class CompletionService:
    """Completes code with one model, which the first request opens. For one event loop."""

    def __init__(
        self,
        settings: Settings,
        *,
        open_model: OpenModel = open_model,
        open_remote: OpenModel = open_remote,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._settings = settings
        self._neighbours = neighbours
        self._slot = ModelSlot(settings, open_model)
        self._answering = Answering(settings, self._slot, neighbours)
        self._far = Far(settings, open_remote, neighbours, self._heard)
        self._turns = Turns()
        self._engagement = Engagement()
        self._flights = Flights()
        self._cache = Cache()
        self._foresight = Foresight(self._engagement, self._cache, self._foreseen)
        self._copyist = Copyist(neighbours)
        self._in_vain = 0
        """How often the model was asked since something was worth showing."""
        self._pace = Pace()
        self._counts = Counts()
        self._rest = Rest(self._answering, self._engagement, self._counts)

    async def complete(self, query: CompletionQuery) -> Completion | None:
        """A completion; ``None`` where there is nothing to suggest.

        :raises DocumentError: the offset is outside the text.
        :raises Superseded: a newer query of the same document took over.
        :raises CodegenError: the model cannot be opened, or the engine failed.
        """
        started = time.monotonic()
        _check(query)
        self._rest.over()
        uri = query.snapshot.uri
        self._counts.requests += 1
        if query.trigger is Trigger.AUTOMATIC:
            self._pace.asked(uri, len(query.snapshot.text), started)
        if not self._welcome(query):
            self._counts.unwanted += 1
            self._turns.supersede(uri)
            self._flights.cancel(uri)
            return None
        try:
            completion = await self._turns.run(uri, self._turn(query, started))
        except (Superseded, asyncio.CancelledError):
            self._counts.superseded += 1
            raise
        self._look_ahead(query, completion)
        return None if completion is None else _timed(completion, started)

    def moved(self, query: CompletionQuery) -> None:
        """The cursor was moved there, and nothing is asked.

        Where copies are looked for is chosen at once. Where it rests, what a request there would
        have the engine read is read before one comes.
        """
        if self._rest.is_at(query):
            return
        self._rest.over()
        if self._settings.prefetch and self._welcome(query):
            self._copyist.look(query, self._settings)
            self._rest.at(query)

    def edited(self) -> None:
        """A key was typed: what is not asked for has to wait for the next rest."""
        self._rest.over()

    async def explain(self, query: CompletionQuery) -> str:
        """The prompt the model would read for *query*, marks that are no text by their names.

        The end-of-text token that begins a document is not shown: it says nothing of the query.

        :raises DocumentError: it is a secret file and the model is remote: nothing would be sent.
        :raises CodegenError: as for :meth:`complete`.
        """
        _check(query)
        return await (self._far if self._far.alone else self._answering).explain(query)

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on; another model is opened by the next request."""
        self._settings = self._answering.settings = settings
        self._slot.configure(settings)
        self._far.configure(settings)
        self._foresight.drop()
        self._rest.over()
        self._cache.clear()

    def forget(self, uri: str) -> None:
        """The document was closed: cancel what is computed for it, remember nothing of it."""
        self._turns.supersede(uri)
        self._flights.cancel(uri)
        self._far.forget(uri)
        self._foresight.forget(uri)
        self._rest.forget(uri)
        self._cache.forget(uri)
        if self._neighbours is not None:
            self._neighbours.forget(uri)

    def statistics(self) -> dict[str, int]:
        """:class:`Counts`, by name."""
        self._counts.server_asked = self._far.asked
        self._counts.server_answered = self._far.answered
        self._counts.tokens_read = self._answering.read
        self._counts.tokens_written = self._answering.written
        return dataclasses.asdict(self._counts)

    async def close(self) -> None:
        """Cancel what runs and free the model. Idempotent."""
        await self._turns.close()
        await self._foresight.close()
        await self._flights.close()
        await self._rest.close()
        await self._far.close()
        await self._slot.close()
        self._answering.close()
        self._copyist.close()
        self._cache.clear()

    def _welcome(self, query: CompletionQuery) -> bool:
        """Whether settings and place allow an answer; an explicit request may always get one."""
        settings, language = self._settings, query.snapshot.language_id
        wanted = settings.enabled and language not in settings.disabled_languages
        if not wanted and query.trigger is not Trigger.INVOKED:
            return False
        return not unwelcome(_tail(query), query.trigger)

    async def _turn(self, query: CompletionQuery, started: float) -> Completion | None:
        """The answer to *query*, from whoever has it first."""
        stamp = self._stamp(query)
        self._answering.drop()
        known = await self._instant(query, stamp)
        joined = waited = False
        while known is None:
            flight, typed = self._joinable(query, stamp)
            delay = 0.0 if waited or flight is not None else self._delay(query)
            if flight is not None:
                joined = await flight.wait(typed) is not None
            elif delay:
                waited = True
                await asyncio.sleep(delay)
            else:
                entry = await self._asked(query, stamp, started)
                if entry is None:
                    raise Superseded
                return entry.completion
            known = await self._known(query, stamp)
        return self._counted(known, joined=joined)

    async def _asked(self, query: CompletionQuery, stamp: Hashable, started: float) -> Entry | None:
        """What engine or server say, whoever has something first; ``None``: neither, any more."""
        if not self._far.wanted:
            return await self._begin(query, stamp, started).wait()
        far = self._from_far(query, stamp, started)
        if self._far.alone:
            return await far
        near = self._begin(query, stamp, started)
        entry = await first_of(near.wait(), far, self._left(query, started))
        if entry is not None and entry.remote:
            self._flights.cancel(query.snapshot.uri)  # or it would come later, and be shown
        return entry

    async def _from_far(
        self, query: CompletionQuery, stamp: Hashable, started: float
    ) -> Entry | None:
        """What the server says to *query*, or said to one that led to it."""
        flight, typed = self._far.ask(query, stamp, started)
        entry = await flight.wait(typed)
        if entry is None or not typed:
            return entry
        return await self._known(query, stamp) or entry_of(query, stamp, None, None)

    def _heard(self, query: CompletionQuery, entry: Entry) -> None:
        """The server has said something to *query*: shown from now on if it goes on with what is in
        sight, or nothing is; else what is in sight stays.
        """
        sights = ((one.entry, one.rest(query)) for one in self._cache.find(query, entry.stamp))
        seen, rest = next((one for one in sights if one[1] is not None), (None, None))
        self._cache.put(entry)
        said = "" if entry.completion is None else entry.completion.text
        if seen is not None and rest is not None and not said.startswith(rest.text):
            self._cache.put(seen)  # the latest comes first

    def _left(self, query: CompletionQuery, started: float) -> float | None:
        """Seconds until an answer should be there; ``None`` where time does not count."""
        deadline = deadline_of(query, self._settings)
        return max(0.0, deadline - (time.monotonic() - started)) if deadline else None

    def _stamp(self, query: CompletionQuery) -> Hashable:
        return None if self._neighbours is None else self._neighbours.stamp(query.snapshot.uri)

    async def _instant(self, query: CompletionQuery, stamp: Hashable) -> Entry | None:
        """What is left of what was shown; else what was said before or is a copy, the likelier."""
        found = list(self._cache.find(query, stamp))
        known = decided(query, found)
        if known is not None:
            return known
        known = await self._said(query, stamp, found)
        said = _sure(None if known is None else known.completion)
        settings, copied = self._settings, None
        # Beside the search for copies; where something is on its way, that has the thread.
        if known is None and not self._far.alone and self._flights.of(query.snapshot.uri) is None:
            self._answering.anticipate(query)
        if said < SURE:
            copied = await self._copyist.find(query, settings)
        if copied is None or _sure(copied) <= said:
            return known
        entry = entry_of(query, stamp, copied, None)
        self._remember(entry, settings)
        return entry

    async def _known(self, query: CompletionQuery, stamp: Hashable) -> Entry | None:
        """What is known of the place of *query* without asking the engine."""
        found = list(self._cache.find(query, stamp))
        return decided(query, found) or await self._said(query, stamp, found)

    async def _said(
        self, query: CompletionQuery, stamp: Hashable, found: Sequence[Found]
    ) -> Entry | None:
        """What was said before and says enough of *query*, be it that nobody need be asked."""
        settings = self._settings
        for one in found:
            said = one.left()
            if said is None:
                continue
            entry = await self._answering.from_said(query, stamp, said)
            if entry is not None:
                self._remember(entry, settings)
                return entry
        if query.trigger is Trigger.AUTOMATIC:
            strayed = next(self._cache.strayed(query, stamp), None)
            if strayed is not None and await self._answering.is_doubtful(strayed, self._in_vain):
                return entry_of(query, stamp, None, None)
        return None

    def _counted(self, known: Entry, *, joined: bool) -> Completion | None:
        """What is *known*, and how it came to be, noted."""
        completion, counts = known.completion, self._counts
        if joined:
            counts.joined += 1
            return None if completion is None else replace(completion, source=Source.FLIGHT)
        source = None if completion is None else completion.source
        if source is Source.TYPED:
            counts.typed += 1
        elif source is Source.COPY:
            counts.copied += 1
        elif source is Source.SAID:
            counts.said += 1
        else:
            counts.cached += 1
        return completion

    def _joinable(self, query: CompletionQuery, stamp: Hashable) -> tuple[Flight | None, str]:
        """An answer on its way that may be the one to *query*, and what was typed since.

        One of the document that cannot be any more ends.
        """
        flight = self._flights.of(query.snapshot.uri)
        if flight is not None:
            typed = flight.leads_to(query, stamp)
            if typed is not None:
                return flight, typed
            self._flights.cancel(query.snapshot.uri)
        foreseen = self._foresight.take(query, stamp)
        if foreseen is None:
            return None, ""
        self._flights.put(foreseen[0])
        return foreseen

    def _delay(self, query: CompletionQuery) -> float:
        """Seconds to wait for the next key; none where somebody asked, or time does not count."""
        if query.trigger is Trigger.INVOKED or not self._settings.deadline:
            return 0.0
        return self._pace.delay(self._answering.expected)

    def _begin(self, query: CompletionQuery, stamp: Hashable, started: float) -> Flight:
        """Ask the engine."""
        self._counts.asked += 1

        async def job(saying: Saying) -> Entry:
            entry = await self._engagement.run(lambda: self._answer(query, stamp, saying, started))
            self._in_vain = 0 if entry.completion is not None else self._in_vain + 1
            return entry

        flight = Flight(query, stamp, job)
        self._flights.put(flight)
        return flight

    async def _answer(
        self, query: CompletionQuery, stamp: Hashable, saying: Saying, started: float
    ) -> Entry:
        """Ask the model, and remember what it says; called when the engine is free."""
        settings = self._settings
        entry = await self._answering.answer(query, stamp, saying, started)
        self._remember(entry, settings)
        return entry

    def _remember(self, entry: Entry, settings: Settings) -> None:
        """Keep *entry*, unless other settings hold by now than those it was made by."""
        if settings is self._settings:
            self._cache.put(entry)

    def _look_ahead(self, query: CompletionQuery, completion: Completion | None) -> None:
        """Begin what may be asked next, once it is quiet; a server is not asked in advance."""
        if self._far.alone:
            return
        if self._answering.later:
            self._rest.at(query)
            if completion is not None and completion.source in (Source.WARM, Source.COLD):
                self._foresight.drop()
                return
        if completion is not None and self._settings.prefetch:
            self._foresight.look(query, completion, self._stamp(query))

    async def _foreseen(self, query: CompletionQuery, stamp: Hashable, saying: Saying) -> Entry:
        """What may be asked next; called when the engine is free and nobody waits."""
        known = await self._known(query, stamp)
        if known is not None:
            return known
        self._counts.ahead += 1
        return await self._answer(query, stamp, saying, time.monotonic())


def _timed(completion: Completion, started: float) -> Completion:
    """*completion*, and how long it took, whoever had it."""
    took = (time.monotonic() - started) * 1000
    return replace(completion, timings=replace(completion.timings, total_ms=took))


def _sure(completion: Completion | None) -> float:
    """How likely a completion is right; 0 where there is none, or nobody knows."""
    return 0.0 if completion is None else completion.confidence or 0.0


def _tail(query: CompletionQuery) -> str:
    """What follows the cursor on its line, as far as it is looked at."""
    return cut_window(query.snapshot.text, query.offset, 0).suffix.partition("\n")[0]


def _check(query: CompletionQuery) -> None:
    length = len(query.snapshot.text)
    if not 0 <= query.offset <= length:
        raise DocumentError(
            f"offset {query.offset} is outside the text of {length} code points",
            mend="ask at an offset between 0 and the text's length",
        )
