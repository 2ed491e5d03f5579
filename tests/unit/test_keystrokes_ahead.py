"""What follows a suggestion is computed while it is looked at."""

from __future__ import annotations

import asyncio

from codegen_lsp.completion.foresight import AHEAD_SECONDS
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.types import Source
from tests.support.cursor import query_at
from tests.support.keystrokes import TOKENIZER, Halting, saying, serving, settle, shown


async def test_what_follows_is_computed_while_one_looks() -> None:
    """Accepting, and beginning the next line, leads to an answer that is there."""
    engine = saying("fetch(url)\n")
    service = serving(engine, Settings(suggestions="eager"))
    assert shown(await service.complete(query_at("def f():\n    a = ¦\n"))) == "fetch(url)"
    await asyncio.sleep(AHEAD_SECONDS + 0.1)
    assert (len(engine.requests), service.statistics()["ahead"]) == (2, 1)
    assert await service.complete(query_at("def f():\n    a = fetch(url)¦\n")) is None
    there = await service.complete(query_at("def f():\n    a = fetch(url)\n    ¦\n"))
    assert (shown(there), there and there.source) == ("fetch(url)", Source.CACHE)
    assert len(engine.requests) == 2
    await service.close()


async def test_what_there_was_no_time_for_is_said_meanwhile() -> None:
    """An answer that was cut short goes on while it is looked at."""
    engine = ScriptedEngine(
        lambda request: TOKENIZER.encode(
            "call(a1, b2, c3, d4, e5, f6)\n"[len(request.prompt) - len("\0a = ") :]
        )
    )
    settings = Settings(suggestions="eager", deadline=1)
    service = serving(engine, settings, parameters=350_000_000)
    first = await service.complete(query_at("a = ¦\n"))
    assert shown(first) is not None
    assert first is not None
    assert len(first.text) <= 8
    await asyncio.sleep(AHEAD_SECONDS + 0.1)
    assert len(engine.requests) == 2
    there = await service.complete(query_at(f"a = {first.text}¦\n"))
    assert (len(engine.requests), there and there.source) == (2, Source.CACHE)
    await service.close()


async def test_what_runs_ahead_leaves_for_who_asks() -> None:
    """Looking ahead never makes anybody wait; where it was right, it is waited for."""
    for code, requests in (("a = fetch(url)\n¦\n", 2), ("a = fetch(url)\nq = ¦\n", 3)):
        engine = Halting("fetch(url)\n", 2)
        engine.go_on.set()
        service = serving(engine, Settings(suggestions="eager"))
        assert shown(await service.complete(query_at("a = ¦\n"))) == "fetch(url)"
        engine.go_on.clear()
        await asyncio.sleep(AHEAD_SECONDS + 0.1)
        assert len(engine.requests) == 2
        asked = asyncio.ensure_future(service.complete(query_at(code)))
        await settle()
        engine.go_on.set()
        assert shown(await asked) == "fetch(url)"
        assert service.statistics()["joined"] == 3 - requests
        assert len(engine.requests) == requests
        await service.close()
