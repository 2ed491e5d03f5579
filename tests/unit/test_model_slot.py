"""Opening a model once, closing it, and not trying a broken one at every key."""

from __future__ import annotations

import asyncio

import pytest

from codegen_lsp.completion.choosing import Choice
from codegen_lsp.completion.model import (
    RESTART_SECONDS,
    RETRY_SECONDS,
    LoadedModel,
    ModelSlot,
    open_model,
)
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.errors import (
    CodegenError,
    EngineUnavailableError,
    GenerationError,
    ModelNotFoundError,
)
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


class Lingering(ScriptedEngine):
    """Takes its time to close."""

    def __init__(self) -> None:
        super().__init__({})
        self.free = asyncio.Event()

    async def close(self) -> None:
        """Once it may."""
        await self.free.wait()
        await super().close()


async def with_one_that_lingers() -> tuple[Lingering, list[str], ModelSlot]:
    """A slot with an open model that lingers, and the names of all that it opens."""
    lingering, names = Lingering(), list[str]()

    async def opener(settings: Settings) -> LoadedModel:
        names.append(settings.model)
        engine = ScriptedEngine({}) if names[1:] else lingering
        return LoadedModel(engine, TOKENIZER, FAMILIES["causal"], settings.model)

    slot = ModelSlot(Settings(), opener)
    await slot.get()
    return lingering, names, slot


async def test_two_models_are_never_in_memory() -> None:
    """Nor where the request that changed the model was given up while the old one closed."""
    lingering, names, slot = await with_one_that_lingers()
    slot.configure(Settings(model="second"))
    given_up = asyncio.create_task(slot.get())
    await asyncio.sleep(0.001)
    given_up.cancel()
    await asyncio.wait({given_up})
    slot.configure(Settings(model="third"))
    asked = asyncio.create_task(slot.get())
    await asyncio.sleep(0.001)
    assert names == ["bundled"]
    lingering.free.set()
    assert (await asked).name == "third"
    assert (names, slot.ready) == (["bundled", "third"], True)
    await slot.close()


async def test_settings_that_change_while_a_model_closes() -> None:
    """What is opened is what is wanted by then, once."""
    lingering, names, slot = await with_one_that_lingers()
    slot.configure(Settings(model="second"))
    asked = asyncio.create_task(slot.get())
    await asyncio.sleep(0.001)
    slot.configure(Settings(model="third"))
    lingering.free.set()
    assert (await asked).name == "third"
    assert slot.ready
    assert (await slot.get()).name == "third"
    assert names == ["bundled", "third"]
    await slot.close()


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


async def test_an_engine_that_dies_is_started_once_more() -> None:
    """Then it is left alone for a while, and tried again after it; never in a loop."""
    now = 100.0
    opener = Opener()
    slot = ModelSlot(Settings(), opener, clock=lambda: now)
    dead = GenerationError("the device is gone")
    first = await slot.get()
    await slot.failed(first, dead)
    assert opener.opened[0].closed
    second = await slot.get()
    assert (len(opener.opened), second is first) == (2, False)
    now += RESTART_SECONDS - 1
    await slot.failed(second, dead)
    assert opener.opened[1].closed
    for _ in range(3):
        with pytest.raises(GenerationError, match="device is gone"):
            await slot.get()
        now += RETRY_SECONDS
    assert len(opener.opened) == 2
    now += RESTART_SECONDS
    third = await slot.get()
    await slot.failed(third, dead)  # long ago: it may be started again
    await slot.get()
    assert len(opener.opened) == 4


async def test_who_fails_late_ends_no_other_model() -> None:
    """A model that was replaced, or is closed, is nobody's business any more."""
    opener = Opener()
    slot = ModelSlot(Settings(), opener)
    first = await slot.get()
    await slot.failed(first, GenerationError("gone"))
    second = await slot.get()
    await slot.failed(first, GenerationError("gone"))
    assert await slot.get() is second
    assert not opener.opened[1].closed
    await slot.close()
    await slot.failed(second, GenerationError("gone"))
    assert len(opener.opened) == 2


async def test_other_settings_end_the_waiting() -> None:
    """Who changes the engine after it failed twice need not wait."""
    opener = Opener()
    slot = ModelSlot(Settings(), opener, clock=lambda: 5.0)
    for _ in range(2):
        await slot.failed(await slot.get(), GenerationError("gone"))
    with pytest.raises(GenerationError):
        await slot.get()
    slot.configure(Settings(engine="ct2"))
    await slot.get()
    assert len(opener.opened) == 3


@pytest.mark.parametrize("engine", ["auto", "llama"])
async def test_llama_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    """Chosen by a measurement, it makes way for CTranslate2; asked for by name, it is an error."""
    monkeypatch.setattr(
        "codegen_lsp.completion.model.choose_engine", lambda *_: Choice("llama", "measured")
    )
    opening = open_model(Settings(engine=engine))  # type: ignore[arg-type]
    if engine == "llama":
        with pytest.raises(EngineUnavailableError):
            await opening
        return
    loaded = await opening
    assert loaded.engine.info.engine == "ct2"
    await loaded.engine.close()
