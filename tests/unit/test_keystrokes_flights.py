"""An answer on its way: who joins it, who ends it, and who is told what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from codegen_lsp.completion.flight import GRACE_SECONDS
from codegen_lsp.completion.scheduler import Superseded
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.errors import GenerationError
from codegen_lsp.types import Completion, GenerationRequest, Source
from tests.support.cursor import query_at
from tests.support.keystrokes import Halting, saying, serving, settle, shown


@pytest.mark.parametrize("halt", [0, 1, 3])
async def test_an_answer_on_its_way_is_waited_for(halt: int) -> None:
    """Who types what the model is writing, or may be about to, joins; the engine goes on."""
    engine = Halting("fetch(url)\n", halt)
    service = serving(engine)
    first = asyncio.ensure_future(service.complete(query_at("x = ¦\n")))
    await settle()
    second = asyncio.ensure_future(service.complete(query_at("x = f¦\n")))
    await settle()
    third = asyncio.ensure_future(service.complete(query_at("x = fe¦\n")))
    await settle()
    assert service._answering._preparer._early is None  # nothing is prepared for who joins
    engine.go_on.set()
    completion = await third
    assert (shown(completion), completion and completion.source) == ("tch(url)", Source.FLIGHT)
    assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], Superseded)
    assert isinstance((await asyncio.gather(second, return_exceptions=True))[0], Superseded)
    assert (len(engine.requests), engine.cancelled) == (1, 1)  # stopped once, when it was whole
    assert service.statistics()["joined"] == 1


@pytest.mark.parametrize("halt", [0, 2])
async def test_an_answer_that_turns_out_otherwise_ends(halt: int) -> None:
    """As soon as it says something else than what is typed, the engine is asked anew."""
    engine = Halting("fetch(url)\n", halt)
    service = serving(engine)
    first = asyncio.ensure_future(service.complete(query_at("x = ¦\n")))
    await settle()
    second = asyncio.ensure_future(service.complete(query_at("x = q¦\n")))
    await settle()
    if halt:
        assert len(engine.requests) == 2  # already known to be something else
    engine.go_on.set()
    assert shown(await second) == "fetch(url)"
    assert len(engine.requests) == 2
    assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], Superseded)


@pytest.mark.parametrize("cancel_first", [True, False])
async def test_cancelled_and_asked_again(cancel_first: bool) -> None:
    """Editors cancel one request and send the next, in either order; nothing is lost."""
    engine = Halting("fetch(url)\n", 2)
    service = serving(engine)
    first = asyncio.ensure_future(service.complete(query_at("x = ¦\n")))
    await settle()
    if cancel_first:
        first.cancel()
        await settle()
    second = asyncio.ensure_future(service.complete(query_at("x = f¦\n")))
    await settle()
    first.cancel()
    engine.go_on.set()
    assert shown(await second) == "etch(url)"
    assert len(engine.requests) == 1


async def test_who_cancels_and_leaves_frees_the_engine() -> None:
    """An answer that nobody waits for any more ends."""
    engine = Halting("fetch(url)\n", 2)
    service = serving(engine)
    first = asyncio.ensure_future(service.complete(query_at("x = ¦\n")))
    await settle()
    first.cancel()
    await asyncio.sleep(GRACE_SECONDS + 0.05)
    assert engine.cancelled == 1


async def test_a_storm_of_requests() -> None:
    """Fifty requests at once: one answer, and hardly a job."""
    engine = saying("value\n")
    service = serving(engine)
    line = "x" * 50
    tasks = [
        asyncio.ensure_future(service.complete(query_at(f"{line[: n + 1]}¦\n"))) for n in range(50)
    ]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(one) for one in results[:-1]} == {Superseded}
    assert isinstance(results[-1], Completion)
    assert len(engine.requests) <= 2
    assert service.statistics()["superseded"] == 49


async def test_failures_are_everybodys() -> None:
    """Who joined an answer that fails is told; the next request is asked anew."""

    def fail(_: GenerationRequest) -> Sequence[int]:
        raise GenerationError("no")

    engine = ScriptedEngine(fail)
    service = serving(engine)
    for _ in range(2):
        with pytest.raises(GenerationError):
            await service.complete(query_at("x = ¦\n"))
    assert len(engine.requests) == 2
