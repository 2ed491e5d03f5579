"""A model ready to use, and the slot that keeps one open.

Knows how a name in the settings becomes an engine, a tokenizer and a prompt format. Does not
know documents. Nothing heavy is imported before a model is opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from codegen_lsp.completion.choosing import Choice, choose_engine
from codegen_lsp.config.home import home
from codegen_lsp.config.settings import Settings, engine_part
from codegen_lsp.engines.base import Engine
from codegen_lsp.engines.table import EngineSpec, create_engine
from codegen_lsp.errors import CodegenError, EngineUnavailableError, ModelDamagedError
from codegen_lsp.models.store import ModelFolder, find_model
from codegen_lsp.prompts.families import Family, family_of
from codegen_lsp.prompts.tokenizer import CodeTokenizer

__all__ = ["LoadedModel", "ModelSlot", "OpenModel", "open_model"]

RETRY_SECONDS: Final = 5.0
"""How long a model that could not be opened is not tried again."""

RESTART_SECONDS: Final = 60.0
"""An engine that fails is opened once more; one that fails again within this time is left alone for
as long."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Everything that answering takes."""

    engine: Engine
    tokenizer: CodeTokenizer
    family: Family

    name: str
    """As completions report it."""

    parameters: int = 0
    """How many it has; 0 where that is not known."""


OpenModel = Callable[[Settings], Awaitable[LoadedModel]]


async def open_model(settings: Settings) -> LoadedModel:
    """The model that *settings* name, its weights loaded; files are read on another thread.

    :raises ModelError: it is missing or damaged.
    :raises EngineError: the engine cannot run here.
    """
    folder = await asyncio.to_thread(find_model, settings.model, home())
    try:
        return await _load(folder, settings)
    except ModelDamagedError:
        # Another process may have put a new version in its place while we read the old one.
        now = await asyncio.to_thread(find_model, settings.model, home())
        if now.path == folder.path:
            raise
    return await _load(now, settings)


async def _load(folder: ModelFolder, settings: Settings) -> LoadedModel:
    choice = await asyncio.to_thread(choose_engine, folder, settings, home())
    try:
        return await _loaded(folder, settings, choice)
    except EngineUnavailableError as error:
        if settings.engine != "auto" or choice.engine == "ct2":
            raise
        logger.warning("%s cannot be used, CTranslate2 is: %s", choice.engine, error)
    return await _loaded(folder, settings, Choice("ct2", "llama.cpp could not be used"))


async def _loaded(folder: ModelFolder, settings: Settings, choice: Choice) -> LoadedModel:
    model = await asyncio.to_thread(_assemble, folder, settings, choice)
    try:
        await model.engine.load()
    except BaseException:
        await model.engine.close()
        raise
    return model


def _assemble(folder: ModelFolder, settings: Settings, choice: Choice) -> LoadedModel:
    manifest = folder.manifest
    spec = EngineSpec(
        folder=folder.path,
        name=manifest.name,
        context_length=manifest.context_length,
        device=settings.device,
        compute_type=settings.compute_type,
        threads=settings.threads,
        architecture=manifest.architecture,
        cache_memory=settings.cache_memory,
        drafts=settings.drafts,
        gguf=choice.gguf,
    )
    return LoadedModel(
        engine=create_engine(choice.engine, spec),
        tokenizer=CodeTokenizer.from_folder(folder.path),
        family=family_of(manifest.family),
        name=manifest.name,
        parameters=manifest.parameters,
    )


class ModelSlot:
    """Opens the model when it is first asked for, and again when the settings name another.

    Callers see to it that no job uses the model while :meth:`get` replaces it.
    """

    def __init__(
        self,
        settings: Settings,
        open_model: OpenModel,
        clock: Callable[[], float] = time.monotonic,
        part: Callable[[Settings], tuple[object, ...]] = engine_part,
        retry: float = RETRY_SECONDS,
    ) -> None:
        """*part* of the settings is what the model depends on; where it could not be opened that is
        tried again after *retry* seconds.
        """
        self._settings = settings
        self._open = open_model
        self._part = part
        self._retry = retry
        self._clock = clock
        self._opening: asyncio.Task[LoadedModel] | None = None
        self._opened_with: tuple[object, ...] | None = None
        self._failure: CodegenError | None = None
        self._retry_at = 0.0
        """When what failed may be tried again."""
        self._restarted_at = -RESTART_SECONDS
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def model(self) -> LoadedModel | None:
        """The model, where it is open."""
        task = self._opening
        if task is None or self._opened_with != self._part(self._settings) or not task.done():
            return None
        return None if task.cancelled() or task.exception() is not None else task.result()

    @property
    def ready(self) -> bool:
        """Whether :meth:`get` answers at once."""
        return self.model is not None

    def configure(self, settings: Settings) -> None:
        """Use other settings from the next :meth:`get` on."""
        self._settings = settings
        if self._part(settings) != self._opened_with:
            self._failure = None

    async def get(self) -> LoadedModel:
        """The model. Who is cancelled while it opens does not stop it from opening.

        :raises CodegenError: it cannot be opened; remembered for a few seconds. Or its
            engine failed twice; remembered for :data:`RESTART_SECONDS`.
        """
        if self._failure is not None and self._clock() < self._retry_at:
            raise self._failure.with_traceback(None)
        if self._opening is not None and self._opened_with != self._part(self._settings):
            await self._drop()
        while self._leaving:  # also one that was dropped for who was cancelled meanwhile
            await asyncio.wait(self._leaving)
        if self._opening is None:
            self._failure = None
            self._opened_with = self._part(self._settings)
            self._opening = asyncio.create_task(_started(self._open, self._settings))
            self._opening.add_done_callback(self._note)
        return await asyncio.shield(self._opening)

    async def failed(self, model: LoadedModel, error: CodegenError) -> None:
        """The engine of *model* failed while it was at work: close it, so that :meth:`get` opens it
        once more. Where that was done a short while ago, it is left alone instead.

        Does nothing where *model* was replaced already. Callers see to it that no job uses it.
        """
        task = self._opening
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return
        if task.result() is not model:
            return
        now = self._clock()
        again = now < self._restarted_at + RESTART_SECONDS
        if again:
            self._failure, self._retry_at = error, now + RESTART_SECONDS
            logger.error("the engine failed again and is left alone for a while: %s", error)
        else:
            self._restarted_at = now
            logger.warning("the engine failed and is restarted: %s", error)
        await self._drop()

    def _note(self, task: asyncio.Task[LoadedModel]) -> None:
        """Forget an opening that failed, so that another can be tried."""
        if not task.cancelled() and task.exception() is None:
            return
        if self._opening is task:
            self._opening = None
            error = None if task.cancelled() else task.exception()
            if isinstance(error, CodegenError):
                self._failure, self._retry_at = error, self._clock() + self._retry

    async def _drop(self) -> None:
        """Close the model, to the end even if who waits for that is cancelled."""
        task, self._opening = self._opening, None
        if task is not None:
            leaving = asyncio.create_task(_close(task))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
            # Two models in memory at a time may be one too many.
            await asyncio.shield(leaving)

    async def close(self) -> None:
        """Close the model, if it was opened. Idempotent."""
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
        await self._drop()
        await asyncio.gather(*self._leaving, return_exceptions=True)


async def _started(open_model: OpenModel, settings: Settings) -> LoadedModel:
    """A coroutine, as a task needs, whatever kind of awaitable *open_model* gives."""
    return await open_model(settings)


async def _close(opening: asyncio.Task[LoadedModel]) -> None:
    """Close what *opening* opened, or may still open."""
    with contextlib.suppress(asyncio.CancelledError, Exception):
        model = await opening
        await model.engine.close()
