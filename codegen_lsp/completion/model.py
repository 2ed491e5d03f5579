"""A model ready to use, and the slot that keeps one open.

Knows how a name in the settings becomes an engine, a tokenizer and a prompt format. Does not
know documents. Nothing heavy is imported before a model is opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from codegen_lsp.config.home import home
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.base import Engine
from codegen_lsp.engines.table import EngineSpec, create_engine
from codegen_lsp.errors import CodegenError, ModelDamagedError
from codegen_lsp.models.store import ModelFolder, find_model
from codegen_lsp.prompts.families import Family, family_of
from codegen_lsp.prompts.tokenizer import CodeTokenizer

__all__ = ["LoadedModel", "ModelSlot", "OpenModel", "open_model"]

RETRY_SECONDS: Final = 5.0
"""How long a model that could not be opened is not tried again."""


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
    loaded = await asyncio.to_thread(_assemble, folder, settings)
    try:
        await loaded.engine.load()
    except BaseException:
        await loaded.engine.close()
        raise
    return loaded


def _assemble(folder: ModelFolder, settings: Settings) -> LoadedModel:
    manifest = folder.manifest
    spec = EngineSpec(
        folder=folder.path,
        name=manifest.name,
        context_length=manifest.context_length,
        device=settings.device,
        compute_type=settings.compute_type,
        threads=settings.threads,
        architecture=manifest.architecture,
    )
    return LoadedModel(
        engine=create_engine(settings.engine, spec),
        tokenizer=CodeTokenizer.from_folder(folder.path),
        family=family_of(manifest.family),
        name=manifest.name,
        parameters=manifest.parameters or 0,
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
    ) -> None:
        self._settings = settings
        self._open = open_model
        self._clock = clock
        self._opening: asyncio.Task[LoadedModel] | None = None
        self._opened_with: Settings | None = None
        self._failure: CodegenError | None = None
        self._failed_at = 0.0
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether :meth:`get` answers at once."""
        task = self._opening
        return (
            task is not None
            and self._opened_with == _identity(self._settings)
            and task.done()
            and not task.cancelled()
            and task.exception() is None
        )

    def configure(self, settings: Settings) -> None:
        """Use other settings from the next :meth:`get` on."""
        self._settings = settings
        if _identity(settings) != self._opened_with:
            self._failure = None

    async def get(self) -> LoadedModel:
        """The model. Who is cancelled while it opens does not stop it from opening.

        :raises CodegenError: it cannot be opened; remembered for :data:`RETRY_SECONDS`.
        """
        if self._failure is not None and self._clock() < self._failed_at + RETRY_SECONDS:
            raise self._failure.with_traceback(None)
        wanted = _identity(self._settings)
        if self._opening is not None and self._opened_with != wanted:
            await self._drop()
        if self._opening is None:
            self._failure = None
            self._opened_with = wanted
            self._opening = asyncio.create_task(_started(self._open, self._settings))
            self._opening.add_done_callback(self._note)
        return await asyncio.shield(self._opening)

    async def failed(self, model: LoadedModel, error: CodegenError) -> None:
        """The engine of *model* failed while it was at work."""

    def _note(self, task: asyncio.Task[LoadedModel]) -> None:
        """Forget an opening that failed, so that another can be tried."""
        if not task.cancelled() and task.exception() is None:
            return
        if self._opening is task:
            self._opening = None
            error = None if task.cancelled() else task.exception()
            if isinstance(error, CodegenError):
                self._failure, self._failed_at = error, self._clock()

    async def _drop(self) -> None:
        """Close the model in the background; the event loop goes on."""
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


def _identity(settings: Settings) -> Settings:
    """Settings in which only those differ from the default that make another model or engine."""
    return Settings(
        model=settings.model,
        engine=settings.engine,
        device=settings.device,
        compute_type=settings.compute_type,
        threads=settings.threads,
    )
