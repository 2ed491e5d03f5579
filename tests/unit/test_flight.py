"""An answer on its way, by itself: how it ends, and what is left of it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable

import pytest

from codegen_lsp.completion.cache import Entry, Said, entry_of
from codegen_lsp.completion.flight import GRACE_SECONDS, Flight, Flights, Saying
from codegen_lsp.completion.scheduler import Engagement
from codegen_lsp.types import CompletionQuery, Piece
from tests.support.cursor import query_at


class Slow:
    """An engine that lets go only when it is allowed to."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.left = False

    async def job(self, saying: Saying) -> Entry:
        """Nothing comes of it; leaving takes a while."""
        saying.begin()
        try:
            await asyncio.sleep(60)
        finally:
            await self.free.wait()
            self.left = True
        raise AssertionError


def flight_of(engine: Slow, code: str = "x = ¦\n") -> Flight:
    return Flight(query_at(code), None, engine.job)


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


def twice(flight: Flight, _: Engagement) -> None:
    flight.cancel()
    flight.cancel()


def for_the_next(flight: Flight, engagement: Engagement) -> None:
    engagement.clear()
    flight.cancel()


@pytest.mark.parametrize("ended", [twice, for_the_next])
async def test_the_engine_is_left_before_it_is_over(
    ended: Callable[[Flight, Engagement], None],
) -> None:
    """However often it is told to end, and by whom: the next job begins in an empty engine."""
    engagement, engine = Engagement(), Slow()

    async def job(saying: Saying) -> Entry:
        return await engagement.run_behind(lambda: engine.job(saying), 0)

    flight = Flight(query_at("x = ¦\n"), None, job)
    await settle()
    ended(flight, engagement)
    await settle()
    flight.cancel()
    await settle()
    assert (flight.done, engine.left) == (False, False)
    engine.free.set()
    await flight.gone()
    assert engine.left


async def test_nobody_left_and_somebody_ends_it() -> None:
    """Who gives up waiting and who asks for something else both end it; it leaves in peace."""
    engine, flights = Slow(), Flights()
    flight = flight_of(engine)
    flights.put(flight)
    waiting = asyncio.ensure_future(flight.wait())
    await settle()
    waiting.cancel()
    await settle()
    flights.cancel(flight.query.snapshot.uri)
    await asyncio.sleep(GRACE_SECONDS + 0.05)
    assert (flight.done, engine.left) == (False, False)
    closing = asyncio.ensure_future(flights.close())
    await settle()
    assert not closing.done()
    engine.free.set()
    await closing
    assert engine.left


async def test_one_that_is_ending_leads_nowhere() -> None:
    """Nobody joins what was told to end, though it is still in the engine."""
    engine = Slow()
    flight = flight_of(engine)
    await settle()
    assert flight.leads_to(query_at("x = f¦\n"), None) == "f"
    flight.cancel()
    await settle()
    assert not flight.done
    assert flight.leads_to(query_at("x = f¦\n"), None) is None
    engine.free.set()
    await flight.gone()


class Heavy:
    """Stands for the odds of a token, a hundred kilobytes."""

    def among(self, ids: object) -> tuple[float, float]:
        """Never asked."""
        raise AssertionError


async def test_nothing_is_left_of_what_has_arrived() -> None:
    """What an answer brought is the cache's, which is bounded; documents may be many."""
    flights, heavy = Flights(), list[weakref.ref[Heavy]]()

    def answering(query: CompletionQuery) -> Flight:
        odds = Heavy()
        heavy.append(weakref.ref(odds))
        said = Said((Piece("x", odds=odds),), over=True)

        async def job(_: Saying) -> Entry:
            return entry_of(query, None, None, said)

        return Flight(query, None, job)

    for number in range(5):
        flight = answering(query_at("x = ¦\n", uri=f"file:///{number}.py"))
        flights.put(flight)
        assert await flight.wait() is not None
    del flight
    await settle()
    gc.collect()
    assert [one() for one in heavy] == [None] * 5
    await flights.close()
