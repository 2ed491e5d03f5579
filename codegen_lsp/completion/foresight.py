"""What may be asked next, computed while a suggestion is looked at.

Of one suggestion at a time, in the background, after a pause; whoever asks for just that meanwhile
takes it over. Knows which question follows a suggestion that is accepted, and whether its answer is
known already. Does not know how a question is answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Final

from codegen_lsp.completion.ahead import accepted, on_a_new_line
from codegen_lsp.completion.cache import Cache, Entry
from codegen_lsp.completion.flight import Flight, Saying
from codegen_lsp.completion.scheduler import Engagement
from codegen_lsp.types import Completion, CompletionQuery, Source

__all__ = ["Foresight"]

AHEAD_SECONDS: Final = 0.06
"""After so long without a key what follows a suggestion is computed."""

LIKELY: Final = 0.5
"""What follows a suggestion is of interest where the suggestion is so likely to be right."""

Answer = Callable[[CompletionQuery, Hashable, Saying], Awaitable[Entry]]
"""What is known or said of a query; called when the engine is free."""


class Foresight:
    """The answer that may be wanted next. For one event loop."""

    def __init__(self, engagement: Engagement, cache: Cache, answer: Answer) -> None:
        self._engagement = engagement
        self._cache = cache
        self._answer = answer
        self._flight: Flight | None = None

    def look(self, query: CompletionQuery, completion: Completion, stamp: Hashable) -> None:
        """*completion*, the answer to *query*, is looked at: begin what follows it, once it is
        quiet.
        """
        if completion.confidence is not None and completion.confidence < LIKELY:
            return
        following = self._following(query, completion, stamp)
        if self._flight is not None and self._flight.query == following:
            return
        self.drop()
        if following is None:
            return
        asked = following

        async def job(saying: Saying) -> Entry:
            return await self._engagement.run_behind(
                lambda: self._answer(asked, stamp, saying), AHEAD_SECONDS
            )

        self._flight = Flight(asked, stamp, job)

    def take(self, query: CompletionQuery, stamp: Hashable) -> tuple[Flight, str] | None:
        """The flight that may say what *query* asks for, and what was typed since it began.

        From now on it is that of who takes it: nothing ends it because somebody waits.
        """
        flight = self._flight
        typed = None if flight is None else flight.leads_to(query, stamp)
        if flight is None or typed is None:
            return None
        self._flight = None
        self._engagement.keep()
        return flight, typed

    def drop(self) -> None:
        """Nobody is going to ask for that."""
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.cancel()

    def forget(self, uri: str) -> None:
        """The document was closed."""
        if self._flight is not None and self._flight.query.snapshot.uri == uri:
            self.drop()

    async def close(self) -> None:
        """End it, and wait until it has ended."""
        flight = self._flight
        self.drop()
        if flight is not None:
            await flight.gone()

    def _following(
        self, query: CompletionQuery, completion: Completion, stamp: Hashable
    ) -> CompletionQuery | None:
        """What is asked next if *completion* is accepted; ``None`` where that is known already.

        At the end of a complete line that is the next line, of which the editor indents the
        beginning.
        """
        there = accepted(query, completion)
        if completion.source is Source.COPY:
            return on_a_new_line(there)
        left = next((found.left() for found in self._cache.find(there, stamp)), None)
        if left is None:
            return there
        line, line_end, _ = left.text.partition("\n")
        if line.strip():
            return None
        # Where there was no time for more, the line goes on.
        return on_a_new_line(there) if line_end or left.over else there
