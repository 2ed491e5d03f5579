"""An answer on its way: what was asked, what the model has said of it so far, who waits for it.

While a programmer types what the model is just writing, the answer is still the answer: the newer
request joins the flight instead of beginning again. Where it turns out to say something else, the
flight ends at once. Knows texts and tasks. Does not know models, engines or what happens to an
answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, Final

from codegen_lsp.completion.cache import Entry, Said, entry_of, found_in
from codegen_lsp.completion.scheduler import end, is_ending
from codegen_lsp.types import CompletionQuery, Piece

__all__ = ["GRACE_SECONDS", "Flight", "Flights", "Saying"]

GRACE_SECONDS: Final = 0.1
"""How long a flight goes on although nobody waits for it: editors cancel one request and send the
next, in either order."""


@dataclass(slots=True)
class Saying:
    """What the model has said so far."""

    pieces: list[Piece] = field(default_factory=list)
    begun: bool = False
    """Whether the engine is at it."""

    heard: Callable[[], None] | None = None
    """Called after each piece."""

    def begin(self) -> None:
        """The engine begins, or begins again."""
        self.begun = True
        self.pieces.clear()

    def add(self, piece: Piece) -> None:
        """One piece more."""
        self.pieces.append(piece)
        if self.heard is not None:
            self.heard()


class Flight:
    """One job, for the document and place of *query*."""

    def __init__(
        self,
        query: CompletionQuery,
        stamp: Hashable,
        job: Callable[[Saying], Coroutine[Any, Any, Entry]],
    ) -> None:
        self.query = query
        self.saying = Saying(heard=self._heard)
        self._place = entry_of(query, stamp, None, None)
        self._expected = ""
        """What was typed since, by who waits."""
        self._watchers = 0
        self._task = asyncio.create_task(job(self.saying))
        # What it fails with is nobody's concern once nobody waits.
        self._task.add_done_callback(_retrieve)

    @property
    def done(self) -> bool:
        """Whether it has ended, in whichever way."""
        return self._task.done()

    def leads_to(self, query: CompletionQuery, stamp: Hashable) -> str | None:
        """What was typed since this was asked, if it may be what the model says; else ``None``."""
        if not self.saying.begun or is_ending(self._task) or not _serves(self.query, query):
            return None
        said = Said(tuple(self.saying.pieces), over=False)
        found = found_in(self._place, query, stamp, lambda typed: _agree(said.text, typed))
        return None if found is None else found.typed

    async def wait(self, typed: str = "") -> Entry | None:
        """What came of it; ``None`` if it says something else than *typed*, or was cancelled.

        Who is cancelled here does not cancel the flight, unless nobody joins it soon.

        :raises Exception: what the job raises.
        """
        self._watchers += 1
        self._expected = typed
        self._heard()
        try:
            return await asyncio.shield(self._task)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if self._task.cancelled() and not (current and current.cancelling()):
                return None
            raise
        finally:
            self._watchers -= 1
            if not self._watchers and not self.done:
                asyncio.get_running_loop().call_later(GRACE_SECONDS, self._land)

    def cancel(self) -> None:
        """End it; the engine is left as soon as it lets go."""
        end(self._task)

    async def gone(self) -> None:
        """Wait until it has ended."""
        await asyncio.wait({self._task})

    def then(self, call: Callable[[], None]) -> None:
        """*call* once it has ended, soon where it has."""
        self._task.add_done_callback(lambda _: call())

    def _heard(self) -> None:
        """The model has said more: is it still what is typed?"""
        if self._expected and self.saying.pieces:
            said = "".join(piece.text for piece in self.saying.pieces)
            if not _agree(said, self._expected):
                self.cancel()

    def _land(self) -> None:
        if not self._watchers:
            self.cancel()


class Flights:
    """The flight of each document."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}
        self._ending: set[Flight] = set()

    def of(self, uri: str) -> Flight | None:
        """That of a document."""
        flight = self._flights.get(uri)
        return None if flight is None or flight.done else flight

    def put(self, flight: Flight) -> None:
        """From now on *flight* is that of its document; an older one ends."""
        uri = flight.query.snapshot.uri
        self.cancel(uri)
        self._flights[uri] = flight
        flight.then(lambda: self._landed(uri, flight))

    def cancel(self, uri: str) -> None:
        """End the flight of a document, if there is one."""
        flight = self._flights.pop(uri, None)
        if flight is not None and not flight.done:
            flight.cancel()
            self._ending.add(flight)
            flight.then(lambda: self._ending.discard(flight))

    def _landed(self, uri: str, flight: Flight) -> None:
        """What it brought is the cache's to keep, which keeps less of it."""
        if self._flights.get(uri) is flight:
            del self._flights[uri]

    async def close(self) -> None:
        """End all and wait until they have."""
        for uri in list(self._flights):
            self.cancel(uri)
        for flight in list(self._ending):
            await flight.gone()


def _serves(asked: CompletionQuery, now: CompletionQuery) -> bool:
    """Whether what is computed for one query may answer another one."""
    return asked.snapshot.uri == now.snapshot.uri and asked.trigger is now.trigger


def _agree(said: str, typed: str) -> bool:
    return said.startswith(typed) or typed.startswith(said)


def _retrieve(task: asyncio.Task[Entry]) -> None:
    if not task.cancelled():
        task.exception()
