"""The life of a job, whatever computes: its tokens, its end, and who may close what when."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from codegen_lsp.engines.base import EngineInfo
from codegen_lsp.engines.jobs import Job
from codegen_lsp.engines.local import LocalEngine
from codegen_lsp.engines.odds import Likeliest
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.errors import EngineUnavailableError, GenerationError
from codegen_lsp.types import GenerationRequest, Prompt, Token

END = 0


class Echo(LocalEngine):
    """Says its prompt, token by token; each waits for *gate*, and *fails* raises instead."""

    def __init__(self) -> None:
        super().__init__(EngineSpec(Path(), "echo", 64))
        self.gate = threading.Event()
        self.gate.set()
        self.fails: Exception | None = None
        self.inside = self.most_inside = self.told = self.emptied = 0

    @property
    def info(self) -> EngineInfo:
        return EngineInfo("echo", "echo", "none", "none", 1, 64)

    def _fresh(self) -> Any:
        if self.fails is not None:
            raise self.fails
        return object()

    def _perform(self, job: Job) -> None:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            for token in job.request.prompt.tokens:
                self.gate.wait(10)
                if self.fails is not None:
                    raise self.fails
                self.told += 1
                if job.take(Token(token)):
                    return
        finally:
            self.inside -= 1

    def tidy(self) -> None:
        pass

    def _emptied(self) -> None:
        self.emptied += 1


def asked(*ids: int, **more: Any) -> GenerationRequest:
    return GenerationRequest(Prompt((), ids), len(ids), **more)


async def answer(engine: Echo, request: GenerationRequest) -> list[int]:
    return [token.id async for token in engine.generate(request)]


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")


async def test_tokens_come_in_order_and_end() -> None:
    """Also several at once, of which one is inside."""
    engine = Echo()
    requests = [asked(*range(n, n + 20)) for n in range(1, 9)]
    answers = await asyncio.gather(*(answer(engine, request) for request in requests))
    assert answers == [list(request.prompt.tokens) for request in requests]
    assert engine.most_inside == 1
    assert not engine._jobs


@pytest.mark.parametrize(
    ("failure", "said"),
    [(GenerationError("no memory"), "no memory"), (KeyError("odd"), "the engine failed")],
)
async def test_a_failure_reaches_who_asks_and_nobody_else(failure: Exception, said: str) -> None:
    """Who reads ahead hears nothing of it, and does not wait for ever."""
    engine = Echo()
    await engine.load()
    engine.fails = failure
    with pytest.raises(GenerationError, match=said):
        await answer(engine, asked(1))
    await asyncio.wait_for(engine._read_ahead(Prompt((1, 2), ())), 10)
    engine.fails = None
    assert await answer(engine, asked(1, 2)) == [1, 2]
    await asyncio.wait_for(engine._read_ahead(Prompt((1, 2), ())), 10)


async def test_who_leaves_is_waited_for_and_told_no_more() -> None:
    """The stream is closed when the job has left, which it does at its next step."""
    engine = Echo()
    async with aclosing(engine.generate(asked(*range(1, 50)))) as stream:
        await anext(stream)
        engine.gate.clear()
        told = engine.told
        threading.Timer(0.05, engine.gate.set).start()
    assert not engine._jobs
    assert not engine._inside.locked()
    assert engine.told <= told + 1


async def test_reading_ahead_ends_when_it_is_cancelled() -> None:
    """At its next step, and only then it is over for who cancelled it."""
    engine = Echo()
    await engine.load()
    engine.gate.clear()
    reading = asyncio.create_task(engine._read_ahead(Prompt(tuple(range(1, 50)), ())))
    await until(lambda: engine.inside == 1)
    reading.cancel()
    await asyncio.sleep(0.02)
    assert not reading.done()
    engine.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert engine.told == 1


async def test_a_job_that_has_no_thread_yet_keeps_nobody_from_closing() -> None:
    """Closing may come while a thread is being started; the job then finds the engine closed."""
    engine = Echo()
    await engine.load()
    job = Job(engine, asked(1), asyncio.get_running_loop(), end=END)
    engine._jobs.add(job)
    await asyncio.to_thread(engine.shut, 0.01)
    assert engine._model is None
    assert engine.emptied == 1
    job.start()
    assert await job.next() is None
    assert engine.told == 0


async def test_a_job_begun_after_closing_is_refused() -> None:
    """Whether it asked for the model before or after."""
    engine = Echo()
    await engine.load()
    await engine.close()
    with pytest.raises(EngineUnavailableError, match="closed"):
        await answer(engine, asked(1))
    job = Job(engine, asked(1), asyncio.get_running_loop(), end=END)
    job.start()
    with pytest.raises(GenerationError, match="closed"):
        await job.next()


async def test_closing_does_not_wait_for_ever() -> None:
    """A job that does not come out keeps its thread, not who closes."""
    engine = Echo()
    await engine.load()
    engine.gate.clear()
    task = asyncio.create_task(answer(engine, asked(1, 2)))
    await until(lambda: engine.inside == 1)
    begun = time.monotonic()
    await asyncio.to_thread(engine.shut, 0.05)
    assert time.monotonic() - begun < 5
    assert engine._model is None
    engine.gate.set()
    assert await task == []


async def test_a_failed_load_is_tried_again() -> None:
    """Nothing of it is left behind."""
    engine = Echo()
    engine.fails = EngineUnavailableError("no memory")
    with pytest.raises(EngineUnavailableError, match="no memory"):
        await engine.load()
    engine.fails = None
    assert await answer(engine, asked(3)) == [3]


def test_a_loop_that_is_gone_hears_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that outlives its event loop ends by itself, at its next token, without a word."""
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    engine = Echo()
    engine.gate.clear()
    jobs: list[Job] = []

    async def begin() -> None:
        await engine.load()
        jobs.append(engine._start(asked(*range(1, 50))))

    asyncio.run(begin())
    engine.gate.set()
    assert jobs[0].over.wait(10)
    assert engine.told == 1
    assert not engine._jobs
    assert asyncio.run(answer(engine, asked(7))) == [7]
    assert not raised


@pytest.mark.parametrize(
    ("request_", "said", "heard", "refused"),
    [
        (asked(9), (1, 2, 3), [1, 2, 3], False),
        (asked(9), (1, END, 3), [1], False),
        (asked(9, stop_ids=(2,)), (1, 2, 3), [1], False),
        (asked(9, first_ids=(1, 5)), (1, 2, 3), [1, 2, 3], False),
        (asked(9, first_ids=(5,)), (1, 2, 3), [], True),
        (asked(9, first_ids=(5, 7)), (7, 2), [], True),  # 7 is padding
        (asked(9, first_ids=(7,)), (1, 2), [1, 2], False),
        (asked(9, first_ids=(5,)), (END, 2), [], True),
    ],
)
async def test_what_is_handed_on(
    request_: GenerationRequest, said: tuple[int, ...], heard: list[int], refused: bool
) -> None:
    """Up to an end, and nothing where the first token is none of those wished for."""
    job = Job(Echo(), request_, asyncio.get_running_loop(), end=END)
    job.wish({7})
    for token in said:
        if job.take(Token(token)):
            break
    await asyncio.sleep(0)
    got = []
    with contextlib.suppress(TimeoutError):
        while (token_ := await asyncio.wait_for(job.next(), 0.01)) is not None:
            got.append(token_.id)
    assert (got, job.refused, job.handed) == (heard, refused, len(heard))


async def test_odds_are_handed_on_as_long_as_they_are_wanted() -> None:
    """Of the first tokens that are heard; one that was refused does not count."""
    odds = Likeliest([(1, -0.1), (2, -3.0)])
    request = asked(9, first_ids=(5,), odds=2)
    job = Job(Echo(), request, asyncio.get_running_loop(), end=END)
    job.wish(frozenset())
    assert job.take(Token(1, odds=odds))
    for token in (5, 6, 8):
        job.take(Token(token, odds=odds))
    await asyncio.sleep(0)
    tokens = [await job.next() for _ in range(3)]
    assert [token is not None and token.odds is odds for token in tokens] == [True, True, False]
