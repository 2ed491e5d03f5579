"""Connections share models: each is opened once, used by one job at a time, closed by the last."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import pytest

from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.base import Engine
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.errors import GenerationError, ModelNotFoundError
from codegen_lsp.server.sharing import SharedModels
from codegen_lsp.types import GenerationRequest, Prompt

REQUEST = GenerationRequest(Prompt((1,), (2,)), max_new_tokens=3)


@dataclasses.dataclass(frozen=True)
class Model:
    """The part of a loaded model that sharing knows."""

    engine: Engine


class Opener:
    """Opens scripted models and remembers them."""

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.engines: list[ScriptedEngine] = []
        self._gate = gate

    async def __call__(self, settings: Settings) -> Any:
        """A model, except for the name ``missing``."""
        if settings.model == "missing":
            raise ModelNotFoundError("no model 'missing'")
        await asyncio.sleep(0)
        self.engines.append(ScriptedEngine({(1, 2): (7, 8, 9)}, gate=self._gate))
        return Model(self.engines[-1])


def closed(opener: Opener) -> list[bool]:
    """Which engines are closed, in the order in which they were opened."""
    return [engine.closed for engine in opener.engines]


async def open_all(models: SharedModels, *settings: Settings) -> list[Engine]:
    """The engines that as many connections get."""
    opened = await asyncio.gather(*(models.open(one) for one in settings))
    return [cast(Model, one).engine for one in opened]


async def test_a_model_is_opened_once_and_closed_by_its_last_user() -> None:
    """Settings that do not concern the engine do not open another one."""
    opener = Opener()
    models = SharedModels(opener)
    one, two, other = await open_all(
        models, Settings(), Settings(max_new_tokens=5), Settings(model="other")
    )
    assert len(opener.engines) == 2
    assert one.info == two.info
    await one.load()
    await one.close()
    await one.close()
    assert [token.id async for token in two.generate(REQUEST)] == [7, 8, 9]
    assert closed(opener) == [False, False]
    await two.close()
    assert closed(opener) == [True, False]
    await other.close()
    (again,) = await open_all(models, Settings())
    assert closed(opener) == [True, True, False]
    await again.close()


async def test_jobs_wait_for_each_other_and_leave_when_cancelled() -> None:
    """One job is inside; a cancelled one, inside or waiting, makes room for the next."""
    gate = asyncio.Event()
    opener = Opener(gate)
    one, two, three = await open_all(SharedModels(opener), *[Settings()] * 3)

    async def tokens(engine: Engine) -> list[int]:
        async with contextlib.aclosing(engine.generate(REQUEST)) as stream:
            return [token.id async for token in stream]

    first, second, third = (asyncio.create_task(tokens(one)) for one in (one, two, three))
    await asyncio.sleep(0.01)
    (engine,) = opener.engines
    assert len(engine.requests) == 1
    second.cancel()
    first.cancel()
    await asyncio.wait([first, second])
    assert engine.cancelled == 1
    gate.set()
    assert await third == [7, 8, 9]
    assert len(engine.requests) == 2


async def test_an_engine_that_failed_is_opened_anew() -> None:
    """Though another connection, which asks for nothing, has it, too; that one gets the new one."""
    opener = Opener()
    models = SharedModels(opener)
    idle, one = await open_all(models, Settings(), Settings())

    def fail(_: GenerationRequest) -> Sequence[int]:
        raise GenerationError("no")

    opener.engines[0]._answers = fail
    with pytest.raises(GenerationError):
        [token async for token in one.generate(REQUEST)]
    assert closed(opener) == [False]
    await one.close()
    (new,) = await open_all(models, Settings())
    assert closed(opener) == [True, False]
    assert [token.id async for token in new.generate(REQUEST)] == [7, 8, 9]
    await idle.close()
    (again,) = await open_all(models, Settings())
    assert closed(opener) == [True, False]
    for lease in (new, again):
        await lease.close()
    assert closed(opener) == [True, True]


async def test_a_model_that_cannot_be_opened_is_tried_again() -> None:
    """The failure is the connection's; nothing of it stays."""
    models = SharedModels(Opener())
    for _ in range(2):
        with pytest.raises(ModelNotFoundError):
            await models.open(Settings(model="missing"))
    await open_all(models, Settings())
