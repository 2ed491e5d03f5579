"""A server's answers beside this machine's: whoever is first, what agrees, and a server away."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence

import pytest

from codegen_lsp.completion import far as far_module
from codegen_lsp.completion.far import PAUSE_SECONDS
from codegen_lsp.completion.service import CompletionService
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.errors import EngineError, EngineUnavailableError, ModelError
from codegen_lsp.types import GenerationRequest, Source, Trigger
from tests.support.cursor import query_at, says
from tests.support.keystrokes import TOKENIZER, saying, serving, settle, shown

BOTH = Settings(prefetch=False, suggestions="eager", server="http://there", deadline=5000)
REMOTE = Settings(prefetch=False, suggestions="eager", server="http://there", answers="remote")

AT = "x = ¦\n"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests need not wait."""
    monkeypatch.setattr(far_module, "PAUSE_SECONDS", 0.0)


class Server(ScriptedEngine):
    """One that says *text* when it may, or is away."""

    def __init__(self, text: str, *, open_gate: bool = True) -> None:
        self.gate = asyncio.Event()
        if open_gate:
            self.gate.set()
        self.away = False
        self._says = says(TOKENIZER, text)
        super().__init__(
            self._said, gate=self.gate, remote=True, log_probs=[math.log(0.9)] * len(text)
        )

    def _said(self, request: GenerationRequest) -> Sequence[int]:
        if self.away:
            raise EngineUnavailableError("nobody is there", mend="see to the server")
        return self._says(request)


def sure(text: str) -> ScriptedEngine:
    return saying(text, *[0.9] * len(text))


async def closed(service: CompletionService) -> None:
    await service.close()


async def heard(service: CompletionService, count: int = 1) -> None:
    """Until the server has answered so often."""
    for _ in range(2000):
        if service.statistics()["server_answered"] >= count:
            await settle()
            return
        await asyncio.sleep(0.001)
    raise AssertionError("the server was not heard")


async def test_this_machine_is_first_and_the_server_extends() -> None:
    """What is in sight is shown at once; what goes on with it, from the next key on."""
    server = Server("fetch(url)\n", open_gate=False)
    service = serving(sure("fetch\n"), BOTH, far=server)
    first = await service.complete(query_at(AT))
    assert (shown(first), first and first.source) == ("fetch", Source.COLD)
    server.gate.set()
    await heard(service)
    longer = await service.complete(query_at("x = fe¦\n"))
    assert shown(longer) == "tch(url)"
    assert len(server.requests) == 1
    await closed(service)


async def test_what_contradicts_what_is_in_sight_waits() -> None:
    """Ghost text does not change under the eyes; who types the other thing is shown that."""
    server = Server("frame(url)\n", open_gate=False)
    service = serving(sure("fetch(a)\n"), BOTH, far=server)
    assert shown(await service.complete(query_at(AT))) == "fetch(a)"
    server.gate.set()
    await heard(service)
    assert shown(await service.complete(query_at("x = f¦\n"))) == "etch(a)"
    assert shown(await service.complete(query_at("x = fr¦\n"))) == "ame(url)"
    await closed(service)


async def test_the_server_may_be_first() -> None:
    """Then its answer is shown, and this machine's is none any more."""
    gate = asyncio.Event()
    near = ScriptedEngine(says(TOKENIZER, "other(a)\n"), gate=gate)
    service = serving(near, BOTH, far=Server("fetch(url)\n"))
    first = await service.complete(query_at(AT))
    assert (shown(first), first and first.source) == ("fetch(url)", Source.REMOTE)
    gate.set()
    await settle()
    assert shown(await service.complete(query_at(AT))) == "fetch(url)"
    await closed(service)


async def test_where_this_machine_has_nothing_the_server_is_waited_for() -> None:
    """Until the answer should be there; later it is there for the next key."""
    server = Server("fetch(url)\n", open_gate=False)
    service = serving(ScriptedEngine({}), BOTH, far=server)
    asked = asyncio.create_task(service.complete(query_at(AT)))
    await settle()
    assert not asked.done()
    server.gate.set()
    assert shown(await asked) == "fetch(url)"
    await closed(service)

    late = Server("fetch(url)\n", open_gate=False)
    hasty = Settings(prefetch=False, suggestions="eager", server="http://there", deadline=1)
    service = serving(ScriptedEngine({}), hasty, far=late)
    assert await service.complete(query_at(AT)) is None
    late.gate.set()
    await heard(service)
    assert shown(await service.complete(query_at(AT))) == "fetch(url)"
    await closed(service)


async def test_a_server_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """This machine answers; it is told once, and once more when the server is back."""
    caplog.set_level(logging.INFO)
    server = Server("fetch(url)\n")
    server.away = True
    service = serving(sure("near(a)\n"), BOTH, far=server)
    for before in "xyz":
        assert shown(await service.complete(query_at(f"{before} = ¦\n"))) == "near(a)"
        await settle()
    assert caplog.text.count("the server does not answer") == 1
    assert service._far.trouble
    server.away = False
    assert await service.complete(query_at("w = ¦\n"))
    await heard(service)
    assert caplog.text.count("the server answers again") == 1
    assert not service._far.trouble
    await closed(service)


async def test_a_server_alone() -> None:
    """No model of this machine is opened for it; where it is away, nothing is shown."""
    server, near = Server("fetch(url)\n"), sure("near(a)\n")
    service = serving(near, REMOTE, far=server)
    only = await service.complete(query_at(AT))
    assert (shown(only), only and only.source) == ("fetch(url)", Source.REMOTE)
    assert (near.requests, service._slot.ready) == ([], False)
    assert await service.explain(query_at(AT)) == "x = "
    server.away = True
    with pytest.raises(EngineError):
        await service.complete(query_at("y = ¦\n"))
    await closed(service)


async def test_no_model_here() -> None:
    """Where this machine has none, the server's answer is waited for; without one it is said."""

    async def missing(_: Settings) -> object:
        raise ModelError("no model", mend="pull one")

    server = Server("fetch(url)\n", open_gate=False)
    service = serving(ScriptedEngine({}), BOTH, far=server)
    service._slot._open = missing  # type: ignore[assignment]
    asked = asyncio.create_task(service.complete(query_at(AT)))
    await settle()
    server.gate.set()
    assert shown(await asked) == "fetch(url)"
    server.away = True
    with pytest.raises(ModelError):
        await service.complete(query_at("y = ¦\n"))
    await closed(service)


async def test_not_asked_at_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who types on in the pause costs the server nothing; who asks is not kept waiting."""
    monkeypatch.setattr(far_module, "PAUSE_SECONDS", 0.2)
    server = Server("something(else)\n")
    service = serving(sure("near(a)\n"), BOTH, far=server)
    for count in range(1, 6):
        await service.complete(query_at("q" * count + " = ¦\n"))
    await settle()
    assert server.requests == []
    await heard(service)
    assert len(server.requests) == 1
    await service.complete(query_at("other = ¦\n", Trigger.INVOKED))
    await asyncio.sleep(0.05)
    assert len(server.requests) == 2
    await closed(service)
    assert PAUSE_SECONDS > 0.1


async def test_typing_along_joins_the_server_too() -> None:
    """What it is saying is what is typed: it is not asked again."""
    server = Server("fetch(url)\n", open_gate=False)
    service = serving(ScriptedEngine({}), BOTH, far=server)
    first = asyncio.create_task(service.complete(query_at(AT)))
    await settle()
    second = asyncio.create_task(service.complete(query_at("x = fe¦\n")))
    await settle()
    server.gate.set()
    assert shown(await second) == "tch(url)"
    assert len(server.requests) == 1
    await asyncio.gather(first, return_exceptions=True)
    await closed(service)


async def test_closing_leaves_nothing() -> None:
    """A document that is closed, and the end of the service, end what the server is saying."""
    server = Server("fetch(url)\n", open_gate=False)
    service = serving(sure("near(a)\n"), BOTH, far=server)
    assert await service.complete(query_at(AT))
    await settle()
    service.forget(query_at(AT).snapshot.uri)
    await settle()
    assert server.cancelled == 1
    assert await service.complete(query_at(AT))
    await settle()
    await closed(service)
    assert (server.cancelled, server.closed) == (2, True)
    assert service._far._following == {}


@pytest.mark.parametrize(
    "settings", [Settings(prefetch=False), Settings(server="http://there", answers="local")]
)
async def test_nobody_is_asked_who_is_not_wanted(settings: Settings) -> None:
    """Without a server, or without the wish for its answers, nothing leaves this machine."""
    service = serving(sure("near(a)\n"), settings)
    assert shown(await service.complete(query_at(AT))) == "near(a)"
    await settle()
    assert service.statistics()["server_asked"] == 0
    await closed(service)
