"""A completion service for programs that are not asynchronous.

Knows how to keep an event loop on a thread of its own, so that it works in scripts, in several
threads and in notebooks alike, and when a folder is read. What a completion is and how it is made
is not decided here (``completion.service``).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
import weakref
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from codegen_lsp.completion.model import LoadedModel, open_model
from codegen_lsp.completion.scheduler import Superseded
from codegen_lsp.completion.service import CompletionService
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.surroundings import Surroundings
from codegen_lsp.engines.base import EngineInfo
from codegen_lsp.errors import DocumentError
from codegen_lsp.syntax.languages import language_of
from codegen_lsp.types import Completion, CompletionQuery, Snapshot, Trigger

__all__ = ["Completer"]

T = TypeVar("T")

READING_SECONDS: Final = 3.0
"""How long the first call waits for the folder to be read; then what is known by then counts."""


class Completer:
    """Completes code with one model; a context manager that frees the model at its end.

    The model is loaded by the first call. Calls may come from several threads; one job at a
    time is inside the engine.
    """

    def __init__(self, settings: Settings | None = None, *, folder: Path | None = None) -> None:
        """*folder*: where code may be found that the model should see, too; ``None``: nowhere."""
        settings = settings or Settings()
        self._loaded: LoadedModel | None = None
        self._waited = False
        self._surroundings = Surroundings()
        self._surroundings.configure(settings)
        self._surroundings.set_folders(() if folder is None else (folder,))
        self._surroundings.start()
        self._service = CompletionService(
            settings,
            open_model=self._open,
            neighbours=None if folder is None else self._surroundings,
        )
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_run, args=(self._loop,), name="completer", daemon=True)
        thread.start()
        self._finalizer = weakref.finalize(
            self, _stop, self._loop, thread, self._service, self._surroundings
        )

    def complete(
        self,
        text: str,
        offset: int,
        *,
        path: str = "",
        language_id: str = "",
        trigger: Trigger = Trigger.INVOKED,
    ) -> Completion | None:
        """What stands at ``offset`` (in code points) of ``text``; ``None``: nothing to suggest.

        Of two calls at once for one ``path`` the later one wins; the other gets ``None``.

        :param path: the file's name; tells the language unless ``language_id`` does.
        :raises DocumentError: ``offset`` is outside ``text``.
        :raises ModelError: the model is missing or damaged.
        :raises EngineError: the engine cannot run here, or failed.
        """
        query = _query(text, offset, path, language_id, trigger)
        self._read_folder()
        try:
            return self._await(self._service.complete(query))
        except Superseded:
            return None

    def explain(self, text: str, offset: int, *, path: str = "", language_id: str = "") -> str:
        """The prompt that the model would read for the same call of :meth:`complete`."""
        query = _query(text, offset, path, language_id, Trigger.INVOKED)
        self._read_folder()
        return self._await(self._service.explain(query))

    @property
    def info(self) -> EngineInfo | None:
        """What runs the model; ``None`` before the first completion."""
        return None if self._loaded is None else self._loaded.engine.info

    def close(self) -> None:
        """Cancel what runs and free the model. Idempotent."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def _open(self, settings: Settings) -> LoadedModel:
        self._loaded = await open_model(settings)
        return self._loaded

    def _read_folder(self) -> None:
        """Let the folder be read before the first answer, as far as that is quick."""
        if not self._waited:
            self._waited = True
            self._surroundings.wait_ready(READING_SECONDS)

    def _await(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if not self._finalizer.alive:
            coroutine.close()
            raise RuntimeError("this Completer is closed")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # an interrupt here must not leave the engine computing
            raise


def _query(
    text: str, offset: int, path: str, language_id: str, trigger: Trigger
) -> CompletionQuery:
    if not 0 <= offset <= len(text):
        raise DocumentError(f"offset {offset} is outside the text of {len(text)} code points")
    language = language_id or language_of(path)
    return CompletionQuery(Snapshot(path or "untitled", language, text), offset, trigger)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


def _stop(
    loop: asyncio.AbstractEventLoop,
    thread: threading.Thread,
    service: CompletionService,
    surroundings: Surroundings,
) -> None:
    surroundings.close()
    closing = asyncio.run_coroutine_threadsafe(service.close(), loop)
    with contextlib.suppress(concurrent.futures.TimeoutError):
        closing.result(timeout=5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=5)
    if not loop.is_running():
        loop.close()
