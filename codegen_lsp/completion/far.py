"""A server's answers beside this machine's: asked for when somebody pauses, there when they come.

A job for the server runs beside the local one, and nobody waits for it longer than for that. Its
answer is remembered like one of this machine; where it goes on with what is in sight it is shown
from then on, and what contradicts that is kept for the case that somebody types it. A server that
is away is no failure: it is told once, and asked again quietly.

Knows flights and whether the server is there. Does not know HTTP (``engines.remote``), how an
answer is made (``answering``), nor what is in sight (``service``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import replace
from typing import Any, Final

from codegen_lsp.completion.answering import Answering, Neighbours
from codegen_lsp.completion.cache import Entry
from codegen_lsp.completion.flight import Flight, Flights, Saying
from codegen_lsp.completion.model import ModelSlot, OpenModel
from codegen_lsp.completion.scheduler import Engagement
from codegen_lsp.config.settings import Settings, server_part
from codegen_lsp.errors import CodegenError
from codegen_lsp.types import CompletionQuery, Trigger

__all__ = ["Far", "Heard", "first_of"]

logger = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 0.15
"""After so long without a key the server is asked: it serves others, too."""

RETRY_SECONDS: Final = 1.0
"""How long a server is left alone whose model could not be asked for."""

Heard = Callable[[CompletionQuery, Entry], None]
"""Told what the server said to a query."""

Waiting = Coroutine[Any, Any, Entry | None]


class Far:
    """What a server says. For one event loop."""

    def __init__(
        self,
        settings: Settings,
        open_model: OpenModel,
        neighbours: Neighbours | None,
        heard: Heard,
    ) -> None:
        self._settings = settings
        self._slot = ModelSlot(settings, open_model, part=server_part, retry=RETRY_SECONDS)
        self._answering = Answering(settings, self._slot, neighbours)
        self._engagement = Engagement()
        self._flights = Flights()
        self._following: dict[str, asyncio.Task[None]] = {}
        """Who waits for the flight of a document, so that it goes on although nobody else does."""
        self._heard = heard
        self.trouble = ""
        """Why the server did not answer when it was last asked; empty where it did."""
        self.asked = self.answered = 0

    @property
    def wanted(self) -> bool:
        """Whether there is a server, and its answers are wanted."""
        return bool(self._settings.server) and self._settings.answers != "local"

    @property
    def alone(self) -> bool:
        """Whether no other answers are."""
        return self.wanted and self._settings.answers == "remote"

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on."""
        if server_part(settings) != server_part(self._settings):
            self.trouble = ""
        self._settings = self._answering.settings = settings
        self._slot.configure(settings)
        for uri in list(self._following):
            self.forget(uri)

    def ask(self, query: CompletionQuery, stamp: Hashable, started: float) -> tuple[Flight, str]:
        """The server's answer on its way, and what was typed since it was asked.

        Waiting for it raises a :exc:`CodegenError` where the server is away.
        """
        uri = query.snapshot.uri
        flight = self._flights.of(uri)
        typed = None if flight is None else flight.leads_to(query, stamp)
        if flight is not None and typed is not None:
            return flight, typed
        self.forget(uri)
        settings = self._settings

        async def job(saying: Saying) -> Entry:
            if query.trigger is Trigger.AUTOMATIC and settings.deadline:
                await asyncio.sleep(PAUSE_SECONDS)
            entry = await self._engagement.run(lambda: self._answer(query, stamp, saying, started))
            if settings is self._settings:
                self._heard(query, entry)
            return entry

        flight = Flight(query, stamp, job)
        self._flights.put(flight)
        following = self._following[uri] = asyncio.create_task(self._follow(flight))
        following.add_done_callback(lambda task: self._followed(uri, task))
        return flight, ""

    async def explain(self, query: CompletionQuery) -> str:
        """The prompt that would be sent; see :meth:`Answering.explain`."""
        return await self._answering.explain(query)

    def forget(self, uri: str) -> None:
        """Nobody wants what is being said to the document any more."""
        self._flights.cancel(uri)
        following = self._following.pop(uri, None)
        if following is not None:
            following.cancel()

    async def close(self) -> None:
        """Cancel what runs and let go of the server. Idempotent."""
        for uri in list(self._following):
            self.forget(uri)
        await self._flights.close()
        await self._slot.close()
        self._answering.close()

    async def _answer(
        self, query: CompletionQuery, stamp: Hashable, saying: Saying, started: float
    ) -> Entry:
        self.asked += 1
        entry = await self._answering.answer(query, stamp, saying, started)
        self.answered += 1
        return replace(entry, remote=True)

    async def _follow(self, flight: Flight) -> None:
        """Wait for a flight, and note whether the server is there."""
        try:
            if await flight.wait() is None:
                return
        except CodegenError as error:
            tell = logger.debug if self.trouble else logger.warning
            tell("the server does not answer, so this machine does alone: %s", error)
            self.trouble = str(error)
            return
        except Exception as error:  # of ours; nobody else may be waiting
            logger.warning("the server's answer is of no use: %s", type(error).__name__)
            logger.debug("the server's answer", exc_info=error)
            return
        if self.trouble:
            logger.info("the server answers again")
        self.trouble = ""

    def _followed(self, uri: str, task: asyncio.Task[None]) -> None:
        if self._following.get(uri) is task:
            del self._following[uri]


async def first_of(near: Waiting, far: Waiting, patience: float | None) -> Entry | None:
    """What whoever is first has to show.

    Where *near* has nothing, *far* is waited for *patience* seconds more; as long as it takes where
    that is ``None``, or *near* failed.

    :raises CodegenError: *near* failed, and *far* has nothing either.
    """
    here, there = asyncio.create_task(near), asyncio.create_task(far)
    try:
        await asyncio.wait({here, there}, return_when=asyncio.FIRST_COMPLETED)
        if not here.done():
            said = _shown(there)
            return said if said is not None else await here
        failed = here.exception()
        if failed is None and (here.result() is None or _shown(here) is not None):
            return here.result()
        if not there.done():
            await asyncio.wait({there}, timeout=patience if failed is None else None)
        return _shown(there) or here.result()
    finally:
        for task in (here, there):
            task.cancel()
        await asyncio.gather(here, there, return_exceptions=True)


def _shown(task: asyncio.Task[Entry | None]) -> Entry | None:
    """What *task* found, if there is something to show."""
    if not task.done() or task.cancelled() or task.exception() is not None:
        return None
    entry = task.result()
    return entry if entry is not None and entry.completion is not None else None
