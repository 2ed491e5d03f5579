"""The scripted engine keeps the contract of engines."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from codegen_lsp.engines.base import Engine
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.errors import GenerationError
from codegen_lsp.types import GenerationRequest, Prompt


def request(*prompt: int, n: int = 9, stop: tuple[int, ...] = ()) -> GenerationRequest:
    return GenerationRequest(Prompt(prompt[:1], prompt[1:]), n, stop_ids=stop)


async def answer(engine: Engine, asked: GenerationRequest) -> list[int]:
    return [token.id async for token in engine.generate(asked)]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (request(1, 2), [7, 8, 9]),
        (request(1, 2, n=2), [7, 8]),
        (request(1, 2, stop=(8,)), [7]),
        (request(3), []),
    ],
)
async def test_answers_come_from_the_table(asked: GenerationRequest, expected: list[int]) -> None:
    """Cut at ``max_new_tokens`` and at stop ids; nothing for an unknown prompt."""
    engine = ScriptedEngine({(1, 2): [7, 8, 9]})
    assert await answer(engine, asked) == expected
    assert (engine.requests, engine.cancelled) == ([asked], 0)


async def test_answers_may_be_computed_and_may_fail() -> None:
    """A callable sees the request; what it raises reaches the reader."""

    def compute(asked: GenerationRequest) -> list[int]:
        if not asked.prompt:
            raise GenerationError("nothing to read")
        return [len(asked.prompt)]

    engine = ScriptedEngine(compute)
    assert await answer(engine, request(4, 5, 6)) == [3]
    with pytest.raises(GenerationError):
        await answer(engine, request())


async def test_a_closed_stream_counts_as_cancelled() -> None:
    """Closing early and cancelling the reader behind a shut gate."""
    engine = ScriptedEngine({(1,): [7, 8]})
    async with aclosing(engine.generate(request(1))) as stream:
        await anext(stream)
    asked = asyncio.Event()

    def compute(_: GenerationRequest) -> list[int]:
        asked.set()
        return [7, 8]

    gated = ScriptedEngine(compute, gate=asyncio.Event())
    task = asyncio.create_task(answer(gated, request(1)))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (engine.cancelled, gated.cancelled) == (1, 1)


async def test_load_and_close_are_remembered() -> None:
    """Tests can see that both were called."""
    engine = ScriptedEngine({})
    await engine.load()
    await engine.close()
    assert (engine.loads, engine.closed, engine.info.engine) == (1, True, "scripted")
