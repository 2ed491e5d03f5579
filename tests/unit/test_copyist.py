"""Looking for copies beside the event loop: patience, cancellation, and what goes wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from codegen_lsp.completion import copyist
from codegen_lsp.completion.copyist import Copyist
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.copies_texts import Searched
from codegen_lsp.types import CompletionQuery, Source, Trigger
from tests.support.cursor import query_at
from tests.support.keystrokes import Neighbours, saying, serving, shown

CODE = "def third(rows):\n    for row in rows:\n        connection.execute(¦\n"
COPY = "INSERT_ROW, row.values())"


class Far(Neighbours):
    """Texts that have to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.arrived = threading.Event()

    def texts(self, query: CompletionQuery) -> Searched:
        """Once they have arrived."""
        self.asked += 1
        self.arrived.wait(30)
        return super().texts(query)


async def found(copyist: Copyist, *, copies: bool = True) -> str | None:
    copy = await copyist.find(query_at(CODE), Settings(copies=copies))
    assert copy is None or copy.source is Source.COPY
    return shown(copy)


async def test_a_copy() -> None:
    """What stands elsewhere, unless it is not wanted, or somebody asked for the model's."""
    one = Copyist(Neighbours())
    assert await found(one) == COPY
    assert await found(one, copies=False) is None
    assert await one.find(query_at(CODE, Trigger.INVOKED), Settings()) is None
    one.close()
    one.close()


async def test_texts_that_are_far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that does not answer is waited for once, not at every key, until it does."""
    monkeypatch.setattr(copyist, "COPY_SECONDS", 0.02)
    far = Far()
    one = Copyist(far)
    assert await found(one) is None
    monkeypatch.setattr(copyist, "COPY_SECONDS", 30)
    assert await asyncio.wait_for(found(one), 5) is None
    assert far.asked == 1
    far.arrived.set()
    while one._worker.busy:  # noqa: ASYNC110 - a thread
        await asyncio.sleep(0.001)
    await found(one)
    assert far.asked == 2
    one.close()


async def test_where_somebody_may_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """The texts are chosen by then; one choice at a time, none where copies are not wanted, and
    what goes wrong is nobody's concern.
    """
    far = Far()
    one = Copyist(far)
    one.look(query_at(CODE), Settings(copies=False))
    await asyncio.sleep(0.02)
    assert far.asked == 0
    one.look(query_at(CODE), Settings())
    while not far.asked:  # noqa: ASYNC110 - a thread
        await asyncio.sleep(0.001)
    one.look(query_at(CODE), Settings())
    far.broken = True
    far.arrived.set()
    while one._worker.busy:  # noqa: ASYNC110 - a thread
        await asyncio.sleep(0.001)
    far.broken = False
    assert far.asked == 1
    monkeypatch.setattr(copyist, "COPY_SECONDS", 30)
    assert await found(one) == COPY
    one.look(query_at(CODE), Settings())
    one.close()


@pytest.mark.parametrize("ticks", range(6))
async def test_a_cancellation_is_never_lost(ticks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one that comes at the moment when the copy is found."""
    one, at_last = Copyist(Neighbours()), asyncio.get_running_loop().create_future()

    async def run(_: Callable[[], object]) -> object:
        return await at_last

    monkeypatch.setattr(one._worker, "run", run)
    looking = asyncio.create_task(one.find(query_at(CODE), Settings()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    at_last.set_result(None)
    for _ in range(ticks):
        await asyncio.sleep(0)
    told = looking.cancel()
    await asyncio.wait({looking})
    assert looking.cancelled() == told


async def test_settings_that_change_meanwhile() -> None:
    """A copy that was found for settings which hold no more is not remembered."""
    far, engine = Far(), saying("value\n")
    service = serving(engine, neighbours=far)
    asked = asyncio.ensure_future(service.complete(query_at(CODE)))
    while not far.asked:  # noqa: ASYNC110 - a thread
        await asyncio.sleep(0.001)
    service.configure(Settings(prefetch=False, copies=False))
    far.arrived.set()
    await asked
    assert shown(await service.complete(query_at(CODE))) == "value"
    await service.close()
