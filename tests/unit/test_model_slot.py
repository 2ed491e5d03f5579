"""Opening a model once, closing it, and not trying a broken one at every key."""

from __future__ import annotations

import asyncio

import pytest

from codegen_lsp.completion.model import RETRY_SECONDS, LoadedModel, ModelSlot
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.errors import CodegenError, ModelNotFoundError
from codegen_lsp.prompts.families import FAMILIES
from tests.support.cursor import word_tokenizer

TOKENIZER = word_tokenizer()


class Opener:
    """Counts what is opened; may fail or wait."""

    def __init__(self) -> None:
        self.opened: list[ScriptedEngine] = []
        self.names: list[str] = []
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, settings: Settings) -> LoadedModel:
        """Open a scripted model."""
        self.names.append(settings.model)
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        engine = ScriptedEngine({})
        self.opened.append(engine)
        return LoadedModel(engine, TOKENIZER, FAMILIES["causal"], settings.model)


async def test_a_model_is_opened_once() -> None:
    """However many ask at once, and whoever gives up."""
    opener = Opener()
    opener.gate.clear()
    slot = ModelSlot(Settings(), opener)
    tasks = [asyncio.create_task(slot.get()) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    assert not slot.ready
    opener.gate.set()
    first, second, third = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, asyncio.CancelledError)
    assert second is third is await slot.get()
    assert (len(opener.opened), slot.ready) == (1, True)


async def test_a_failure_is_remembered_for_a_while() -> None:
    """A broken model is not opened at every key; a mended one is found."""
    now = 100.0
    opener = Opener()
    opener.failure = ModelNotFoundError("none", mend="pull one")
    slot = ModelSlot(Settings(), opener, clock=lambda: now)
    for _ in range(3):
        with pytest.raises(ModelNotFoundError):
            await slot.get()
    assert len(opener.names) == 1
    opener.failure = None
    now += RETRY_SECONDS
    assert (await slot.get()).name == "bundled"
    assert slot.ready


async def test_other_settings_forget_the_failure() -> None:
    """Who names another model need not wait."""
    opener = Opener()
    opener.failure = ModelNotFoundError("none")
    slot = ModelSlot(Settings(), opener)
    with pytest.raises(CodegenError):
        await slot.get()
    opener.failure = None
    slot.configure(Settings(model="other"))
    assert (await slot.get()).name == "other"


async def test_unexpected_failures_are_not_remembered() -> None:
    """What nobody foresaw is tried again."""
    opener = Opener()
    opener.failure = OSError("disk")
    slot = ModelSlot(Settings(), opener)
    with pytest.raises(OSError, match="disk"):
        await slot.get()
    opener.failure = None
    assert await slot.get()


async def test_another_model_replaces_the_open_one() -> None:
    """The old one is closed first; settings that make no other model change nothing."""
    opener = Opener()
    slot = ModelSlot(Settings(), opener)
    first = await slot.get()
    slot.configure(Settings(max_new_tokens=7))
    assert await slot.get() is first
    slot.configure(Settings(model="other"))
    assert not slot.ready
    assert (await slot.get()).name == "other"
    assert [engine.closed for engine in opener.opened] == [True, False]


async def test_close() -> None:
    """Closing closes what is open, waits for what opens, and may be repeated."""
    opener = Opener()
    slot = ModelSlot(Settings(), opener)
    await slot.close()
    await slot.get()
    await slot.close()
    await slot.close()
    assert opener.opened[0].closed
    opener.gate.clear()
    task = asyncio.create_task(slot.get())
    await asyncio.sleep(0)
    await slot.close()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(opener.opened) == 1
