"""One job in the engine at a time, of each document the latest request, and what waits behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from codegen_lsp.completion.scheduler import Engagement, Superseded, Turns


class Engine:
    """Counts who is inside."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.inside = 0
        self.most = 0
        self.order: list[str] = []
        self.left: list[str] = []

    async def job(self, name: str) -> str:
        """Stay inside until the gate opens."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.order.append(name)
        try:
            await self.gate.wait()
        finally:
            await asyncio.sleep(0)  # leaving takes a moment
            self.inside -= 1
            self.left.append(name)
        return name


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def begin(
    run: Callable[[Callable[[], Awaitable[str]]], Awaitable[str]], engine: Engine, name: str
) -> asyncio.Future[str]:
    return asyncio.ensure_future(run(partial(engine.job, name)))


async def test_one_job_at_a_time_in_order() -> None:
    """Jobs wait for each other."""
    engagement, engine = Engagement(), Engine()
    tasks = [begin(engagement.run, engine, name) for name in "abc"]
    await settle()
    assert engine.order == ["a"]
    engine.gate.set()
    assert await asyncio.gather(*tasks) == ["a", "b", "c"]
    assert engine.most == 1


async def test_the_background_leaves_for_the_foreground() -> None:
    """A job that nobody waits for is out before one begins that somebody waits for."""
    engagement, engine = Engagement(), Engine()
    behind = begin(lambda job: engagement.run_behind(job, 0), engine, "behind")
    await asyncio.sleep(0.01)
    assert engine.order == ["behind"]
    front = begin(engagement.run, engine, "front")
    await settle()
    assert behind.cancelled()
    assert (engine.order, engine.left, engine.most) == (["behind", "front"], ["behind"], 1)
    engine.gate.set()
    assert await front == "front"


async def test_the_background_waits_until_it_is_quiet() -> None:
    """Whoever asks before its time has come prevents it; who is inside is not disturbed."""
    engagement, engine = Engagement(), Engine()
    early = begin(lambda job: engagement.run_behind(job, 0.01), engine, "early")
    await settle()
    front = begin(engagement.run, engine, "front")
    await settle()
    assert early.cancelled()
    late = begin(lambda job: engagement.run_behind(job, 0), engine, "late")
    await asyncio.sleep(0.01)
    assert engine.order == ["front"]
    engine.gate.set()
    assert (await front, await late) == ("front", "late")
    assert engine.most == 1


async def test_there_is_one_background() -> None:
    """A newer job takes the place of an older one."""
    engagement, engine = Engagement(), Engine()
    tasks = [begin(lambda job: engagement.run_behind(job, 0), engine, n) for n in "ab"]
    engine.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1] == "b"


async def test_what_is_waited_for_is_no_background_any_more() -> None:
    """A job that somebody joined is not cancelled for the next one."""
    engagement, engine = Engagement(), Engine()
    behind = begin(lambda job: engagement.run_behind(job, 0), engine, "behind")
    await asyncio.sleep(0.01)
    engagement.keep()
    front = begin(engagement.run, engine, "front")
    await settle()
    engine.gate.set()
    assert (await behind, await front) == ("behind", "front")


async def test_failures_reach_the_caller_and_free_the_engine() -> None:
    """An error is the caller's, and the next job goes on."""
    engagement, engine = Engagement(), Engine()

    async def fail() -> str:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - nothing else is in there
        await engagement.run(fail)
    engine.gate.set()
    assert await engagement.run(lambda: engine.job("b")) == "b"


async def test_the_latest_turn_of_a_document_wins() -> None:
    """Older ones are told that they were superseded; those of other documents go on."""
    turns, engine = Turns(), Engine()
    tasks = []
    for key, name in (("a", "first"), ("b", "other"), ("a", "second"), ("a", "third")):
        tasks.append(asyncio.create_task(turns.run(key, engine.job(name))))
        await settle()
    engine.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(r) for r in results] == [Superseded, str, Superseded, str]


async def test_cancelling_is_no_superseding() -> None:
    """A client's cancel stays a cancel."""
    turns, engine = Turns(), Engine()
    task = asyncio.create_task(turns.run("a", engine.job("a")))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    engine.gate.set()
    assert await turns.run("a", engine.job("b")) == "b"


async def test_cancelled_and_superseded_at_once_is_cancelled() -> None:
    """Who no longer waits is not told anything else."""
    turns, engine = Turns(), Engine()
    task = asyncio.create_task(turns.run("a", engine.job("a")))
    await settle()
    turns.supersede("a")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_close_ends_everything() -> None:
    """After closing nobody is at work."""
    turns, engine = Turns(), Engine()
    tasks = [asyncio.create_task(turns.run(n, engine.job(n))) for n in "abc"]
    await settle()
    await turns.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(r) for r in results} == {asyncio.CancelledError}
    assert engine.inside == 0
    await turns.close()
