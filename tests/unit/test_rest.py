"""What is read where the cursor rests, and what keeps it from being read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from codegen_lsp.completion import rest
from codegen_lsp.completion.foresight import AHEAD_SECONDS
from codegen_lsp.completion.service import CompletionService
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.types import Prompt
from tests.support.cursor import query_at, says
from tests.support.keystrokes import TOKENIZER, Halting, serving, settle, shown

REST = 0.05
LONG = "".join(f"a{i} = b{i}\n" for i in range(200))
HERE, THERE = f"{LONG}x = ¦\n", f"{LONG[::-1].lstrip()}\ny = ¦\n"
"""Two places that have no beginning in common."""

SLOW = 350_000_000
"""So many parameters that there is no time to read all of a prompt."""

READY = Settings(suggestions="eager")


@pytest.fixture(autouse=True)
def _short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "REST_SECONDS", REST)


class Reading(ScriptedEngine):
    """Says ``value``; reads ahead for as long as it is let."""

    def __init__(self) -> None:
        super().__init__(says(TOKENIZER, "value\n"), keeps=True)
        self.go_on = asyncio.Event()
        self.left = 0

    async def prewarm(self, prompt: Prompt) -> None:
        """Counts who was made to leave."""
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.left += 1
            raise
        await super().prewarm(prompt)


async def rested() -> None:
    """Let the cursor rest, and what is read then be read."""
    await asyncio.sleep(REST + AHEAD_SECONDS + 0.05)
    await settle()


async def opened(engine: ScriptedEngine, settings: Settings = READY) -> CompletionService:
    """A service that has answered one request, in another document."""
    service = serving(engine, settings)
    assert await service.complete(query_at("z = ¦\n", uri="file:///z.py"))
    await rested()
    assert service.statistics()["prewarmed"] == 0
    return service


async def test_where_the_cursor_rests_is_read() -> None:
    """The request that comes then finds its prompt read, also after the first keys."""
    engine = ScriptedEngine(says(TOKENIZER, "value\n"), keeps=True)
    service = await opened(engine)
    service.moved(query_at(THERE))
    assert engine.prewarmed == []
    await rested()
    assert (len(engine.prewarmed), service.statistics()["prewarmed"]) == (1, 1)
    before = service.statistics()["tokens_read"]
    for code in (THERE, THERE.replace("¦", "q¦")):
        assert await service.complete(query_at(code))
        assert engine.requests[-1].prompt.stable == engine.prewarmed[0].stable
    assert service.statistics()["tokens_read"] - before < 100
    service.moved(query_at(THERE))  # where everything is read already
    await rested()
    assert (len(engine.prewarmed), service.statistics()["prewarmed"]) == (1, 1)
    await service.close()


@pytest.mark.parametrize(
    ("settings", "code", "language"),
    [
        (Settings(prefetch=False), THERE, "python"),
        (Settings(disabled_languages=("lua",)), THERE, "lua"),
        (Settings(), THERE.replace("¦", "va¦lue"), "python"),
    ],
    ids=["not wanted", "language disabled", "in a word"],
)
async def test_places_where_nothing_is_read(settings: Settings, code: str, language: str) -> None:
    """Where an automatic request would get no answer, and where nobody wants it."""
    engine = ScriptedEngine(says(TOKENIZER, "value\n"), keeps=True)
    service = await opened(engine, settings)
    service.moved(query_at(code, language=language))
    await rested()
    assert engine.prewarmed == []
    service.moved(query_at(THERE))
    await rested()
    assert len(engine.prewarmed) == settings.prefetch
    await service.close()


async def test_the_same_place_is_no_move() -> None:
    """A client that tells of a place again and again neither puts it off nor has it read twice."""
    engine = ScriptedEngine(says(TOKENIZER, "value\n"))  # keeps nothing
    service = await opened(engine, Settings(prefetch=False))
    service.configure(READY)
    for _ in range(4):
        service.moved(query_at(THERE))
        await asyncio.sleep(REST / 2)
    await rested()
    service.moved(query_at(THERE))
    await rested()
    assert len(engine.prewarmed) == 1
    service.moved(query_at(THERE.replace("y = ", "y =")))
    await rested()
    assert len(engine.prewarmed) == 2
    await service.close()


async def test_no_model_is_opened_by_a_cursor() -> None:
    """Looking at a file costs no memory."""
    engine = ScriptedEngine(says(TOKENIZER, "value\n"), keeps=True)
    service = serving(engine, READY)
    service.moved(query_at(THERE))
    await rested()
    assert (engine.prewarmed, service._slot.ready) == ([], False)
    await service.close()


async def test_nothing_is_sent_because_a_cursor_was_moved() -> None:
    """What an engine elsewhere is given, somebody asked for."""
    engine = ScriptedEngine(says(TOKENIZER, "value\n"), keeps=True, remote=True)
    service = await opened(engine)
    service.moved(query_at(THERE))
    await rested()
    assert engine.prewarmed == []
    await service.close()


@pytest.mark.parametrize(
    "happens",
    [
        lambda service: service.edited(),
        lambda service: service.forget("file:///a.py"),
        lambda service: service.configure(Settings()),
        lambda service: service.moved(query_at("def f():\n    ¦\n")),
        lambda service: asyncio.ensure_future(
            service.complete(query_at("a = ¦\n", uri="file:///b.py"))
        ),
    ],
    ids=["key", "closed", "settings", "moved on", "request"],
)
@pytest.mark.parametrize("begun", [False, True])
async def test_a_rest_that_is_disturbed(
    happens: Callable[[CompletionService], object], begun: bool
) -> None:
    """Whatever happens ends it, though the engine is at it already."""
    engine = Reading()
    service = await opened(engine)
    service.moved(query_at(THERE))
    if begun:
        await rested()
    happens(service)
    await settle()
    assert engine.left == begun
    engine.go_on.set()
    await rested()
    assert engine.prewarmed == []
    await service.close()


async def test_another_document_is_closed() -> None:
    """Editors close what was looked at when they show something else."""
    engine = ScriptedEngine(says(TOKENIZER, "value\n"), keeps=True)
    service = await opened(engine)
    service.moved(query_at(THERE))
    service.forget("file:///z.py")
    await rested()
    assert len(engine.prewarmed) == 1
    await service.close()


async def test_who_asks_gets_the_engine() -> None:
    """A request does not wait for what is read ahead."""
    engine = Reading()
    service = await opened(engine)
    service.moved(query_at(THERE))
    await rested()
    assert shown(await asyncio.wait_for(service.complete(query_at("a = ¦\n")), 5)) == "value"
    assert engine.left == 1
    await service.close()


async def test_what_follows_a_suggestion_comes_first() -> None:
    """A client that tells of the cursor after every key spoils nothing."""
    engine = Halting("fetch(url)\n", 2)
    engine.go_on.set()
    service = serving(engine, READY)
    assert await service.complete(query_at("a = ¦\n"))
    engine.go_on.clear()
    await asyncio.sleep(AHEAD_SECONDS + 0.05)
    service.moved(query_at(THERE))
    await rested()
    assert (len(engine.requests), engine.cancelled, engine.prewarmed) == (2, 1, [])
    engine.go_on.set()
    await rested()
    assert (engine.cancelled, len(engine.prewarmed)) == (2, 1)  # stopped when it was whole
    await service.close()


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("prefetch", [False, True])
async def test_what_there_was_no_time_for_is_not_forgotten(prefetch: bool, told: bool) -> None:
    """It is read at the first rest, wherever typing along, or the editor's word, has led to."""
    engine = ScriptedEngine(says(TOKENIZER, "value\n"), keeps=True)
    service = serving(engine, Settings(prefetch=prefetch, suggestions="eager"), parameters=SLOW)
    assert shown(await service.complete(query_at(HERE))) == "value"
    assert len(engine.requests[0].prompt) <= 128
    for typed in ("v", "va", "val"):
        await asyncio.sleep(REST / 2)
        query = query_at(HERE.replace("¦", f"{typed}¦"))
        service.edited()
        assert await service.complete(query)
        if told:
            service.moved(query)
        assert engine.prewarmed == []
    await asyncio.sleep(REST + 0.2)
    if prefetch:  # what was computed ahead may have read it by then
        assert max(len(one.prompt) for one in engine.requests) > 500
    else:
        assert service.statistics()["prewarmed"] == 1
        assert len(engine.prewarmed[0]) > 500
    await service.close()


async def test_closing_leaves_nothing_to_be_read() -> None:
    """What was to be read when nobody waits is not, once the service is closed."""
    engine = ScriptedEngine(says(TOKENIZER, "value\n"), keeps=True)
    service = serving(engine, parameters=SLOW)
    before = asyncio.all_tasks()
    assert await service.complete(query_at(HERE))
    await service.close()
    assert asyncio.all_tasks() == before
    assert engine.prewarmed == []


async def test_closing_waits_for_who_is_leaving() -> None:
    """What was disturbed and has not left the engine yet does so before the model is closed."""
    engine, leave, left = Reading(), asyncio.Event(), list[bool]()

    class Leaving(Reading):
        async def prewarm(self, prompt: Prompt) -> None:
            try:
                await super().prewarm(prompt)
            finally:
                await leave.wait()
                left.append(self.closed)

    engine = Leaving()
    service = await opened(engine)
    service.moved(query_at(THERE))
    await rested()
    service.edited()
    closing = asyncio.ensure_future(service.close())
    await settle()
    assert not closing.done()
    leave.set()
    await closing
    assert left == [False]


async def test_a_failure_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody asked, so nobody is disturbed; and nobody's exception is never retrieved."""

    class Broken(Reading):
        async def prewarm(self, prompt: Prompt) -> None:
            raise OSError("secret")

    logging.getLogger("codegen_lsp").propagate = True
    service = await opened(Broken())
    service.moved(query_at(THERE))
    with caplog.at_level(logging.INFO):
        await rested()
    assert "nothing is read ahead: OSError" in caplog.text
    assert "secret" not in caplog.text
    assert shown(await service.complete(query_at("a = ¦\n"))) == "value"
    await service.close()
