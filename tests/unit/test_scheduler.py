"""One job at a time, and of each document the latest."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from codegen_lsp.completion.scheduler import Scheduler, Superseded


class Engine:
    """Counts who is inside."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.inside = 0
        self.most = 0
        self.order: list[str] = []

    async def job(self, name: str) -> str:
        """Stay inside until the gate opens."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.order.append(name)
        try:
            await self.gate.wait()
        finally:
            self.inside -= 1
        return name


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_job_at_a_time_in_order() -> None:
    """Jobs of different documents wait for each other."""
    scheduler, engine = Scheduler(), Engine()
    tasks = [asyncio.create_task(scheduler.run(n, partial(engine.job, n))) for n in "abc"]
    await settle()
    assert engine.order == ["a"]
    engine.gate.set()
    assert await asyncio.gather(*tasks) == ["a", "b", "c"]
    assert engine.most == 1


async def test_the_latest_job_of_a_document_wins() -> None:
    """Older ones, running or waiting, are told that they were superseded."""
    scheduler, engine = Scheduler(), Engine()
    tasks = []
    for name in ("first", "second", "third"):
        tasks.append(asyncio.create_task(scheduler.run("a", partial(engine.job, name))))
        await settle()
    engine.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(r) for r in results[:2]] == [Superseded, Superseded]
    assert results[2] == "third"
    assert engine.most == 1


async def test_cancelling_is_no_superseding() -> None:
    """A client's cancel stays a cancel, and frees the engine."""
    scheduler, engine = Scheduler(), Engine()
    task = asyncio.create_task(scheduler.run("a", lambda: engine.job("a")))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.inside == 0
    engine.gate.set()
    assert await scheduler.run("a", lambda: engine.job("b")) == "b"


async def test_cancelled_and_superseded_at_once_is_cancelled() -> None:
    """Who no longer waits is not told anything else."""
    scheduler, engine = Scheduler(), Engine()
    task = asyncio.create_task(scheduler.run("a", lambda: engine.job("a")))
    await settle()
    scheduler.supersede("a")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_failures_reach_the_caller_and_free_the_engine() -> None:
    """An error is the caller's, and the next job goes on."""
    scheduler, engine = Scheduler(), Engine()

    async def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - nothing else is in there
        await scheduler.run("a", fail)
    engine.gate.set()
    assert await scheduler.run("a", lambda: engine.job("b")) == "b"


async def test_close_cancels_everything() -> None:
    """After closing nobody is inside."""
    scheduler, engine = Scheduler(), Engine()
    tasks = [asyncio.create_task(scheduler.run(n, partial(engine.job, n))) for n in "abc"]
    await settle()
    await scheduler.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(r) for r in results} == {asyncio.CancelledError}
    assert engine.inside == 0
    await scheduler.close()
