"""Requests sized by the clock, from the service's point of view."""

from __future__ import annotations

import asyncio

import pytest

from codegen_lsp.completion.rest import REST_SECONDS
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.scripted import ScriptedEngine
from tests.support.cursor import query_at, says
from tests.support.keystrokes import TOKENIZER, serving

LONG = "".join(f"a{i} = b{i}\n" for i in range(200))


@pytest.mark.parametrize(
    ("deadline", "whole"), [(0, True), (60_000, True), (400, False), (1, False)]
)
async def test_requests_are_sized_by_the_clock(deadline: int, whole: bool) -> None:
    """On a slow machine a short prompt is read first, and the long one when nobody waits."""
    engine = ScriptedEngine(says(TOKENIZER, "value\n"), keeps=True)
    settings = Settings(deadline=deadline, prefetch=False)
    service = serving(engine, settings, parameters=350_000_000)
    completion = await service.complete(query_at(f"{LONG}x = ¦\n"))
    assert completion is not None
    length = len(engine.requests[0].prompt)
    if whole:
        assert length > 800
        assert engine.requests[0].max_new_tokens == settings.max_new_tokens
        return
    assert 64 <= length <= 128
    assert engine.requests[0].max_new_tokens >= 8
    await asyncio.sleep(REST_SECONDS + 0.1)
    assert service.statistics()["prewarmed"] == 1
    assert len(engine.prewarmed[0]) > 500
    await service.complete(query_at(f"{LONG}x = v¦\n"))
    await service.close()


async def test_a_clock_that_has_seen_a_fast_machine() -> None:
    """What was guessed of a model's speed does not count any more once it was measured."""
    engine = ScriptedEngine(says(TOKENIZER, "value\n"))
    service = serving(engine, parameters=350_000_000)
    lengths = []
    for number in range(12):
        await service.complete(query_at(f"{LONG}x{number} = ¦\n"))
        lengths.append(len(engine.requests[-1].prompt))
    assert lengths[0] <= 128
    assert lengths[-1] > 800
