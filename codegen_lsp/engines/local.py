"""An engine in this process: what all of them do alike, whatever computes.

Weights are loaded once, on a thread. A job runs on a thread of its own, waits there until it is
alone inside, and its tokens cross to the event loop one by one; who closes the stream waits until
the job has left, which it does at its next step. Closing ends what runs and is final; an
interpreter that ends closes what is still open.

Knows threads, locks and event loops. Does not know libraries: an engine says how a model is opened
(:meth:`LocalEngine._fresh`) and what becomes of a job inside (:meth:`LocalEngine._perform`).
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, Final

from codegen_lsp.engines.jobs import Job
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.engines.vocabulary import Words
from codegen_lsp.errors import CodegenError, EngineUnavailableError, GenerationError
from codegen_lsp.types import GenerationRequest, Prompt, Token

__all__ = ["CLOSE_SECONDS", "LocalEngine"]

CLOSE_SECONDS: Final = 10.0
"""How long closing waits for a job that cannot be interrupted at once."""

_LIVE: weakref.WeakSet[LocalEngine] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Stop what still runs: a job inside a library must not outlive the interpreter."""
    for engine in list(_LIVE):
        engine.shut(CLOSE_SECONDS)


class LocalEngine(ABC):
    """A model in this process. Threads and event loops may share it."""

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._words = Words()
        """The model's vocabulary, once it is loaded."""
        self._model: Any = None
        """What the library calls a model; ``None`` where none is loaded."""
        self._closed = False
        self._jobs: set[Job] = set()
        self._loading = threading.Lock()
        """Held while weights are read, which may take long: never taken on an event loop."""
        self._jobs_lock = threading.Lock()
        self._inside = threading.Lock()
        """Held by the job inside the library, and by whoever tidies up between jobs."""
        self._wanted = threading.Event()
        """Set when somebody wants the engine, or its end."""

    @abstractmethod
    def _fresh(self) -> Any:
        """Open the model and run one token through it; sets :attr:`_words`, too.

        :raises ModelDamagedError: the model is not whole.
        :raises EngineUnavailableError: library, device or memory missing.
        """

    @abstractmethod
    def _perform(self, job: Job) -> None:
        """Run *job* inside, where it is alone, until it ends or is cancelled.

        :raises GenerationError: the library failed, or an id is not in the vocabulary.
        """

    @abstractmethod
    def _emptied(self) -> None:
        """The model has gone, and with it all that was read."""

    @abstractmethod
    def tidy(self) -> None:
        """Use the time in which nobody may be waiting; called on a job's thread, once it left."""

    async def load(self) -> None:
        """Load the weights and run one token through them, on another thread.

        :raises ModelDamagedError: the file or the model's folder is not whole.
        :raises EngineUnavailableError: library, file, device or memory missing, or the engine was
            closed.
        """
        if self._model is None or self._closed:
            await asyncio.to_thread(self._load)

    def _load(self) -> None:
        with self._loading:
            self._refuse_closed()
            if self._model is None:
                self._adopt(self._fresh())
                _LIVE.add(self)

    def _adopt(self, model: Any) -> None:
        """Keep *model*, unless the engine was closed meanwhile: closing waits for no load."""
        self._model = model
        self._refuse_closed()

    def _refuse_closed(self) -> None:
        if self._closed:
            self._model = None
            raise EngineUnavailableError("the engine was closed", mend="open the model again")

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Token, None]:
        """Tokens as they are computed; ``aclose()`` cancels before the next step.

        A prompt that leaves no room for ``max_new_tokens`` loses its beginning; an empty one is
        read as the beginning of a document. Loads the model where :meth:`load` was not called.

        :raises GenerationError: the library failed, or an id is not in the vocabulary.
        """
        await self.load()
        job = self._start(request)
        try:
            while (token := await job.next()) is not None:
                yield token
        finally:
            await job.leave()

    async def _read_ahead(self, prompt: Prompt) -> None:
        """Read *prompt* as a job that fails silently."""
        job = self._start(GenerationRequest(prompt, 1), ahead=True)
        try:
            with suppress(CodegenError):
                while await job.next() is not None:
                    pass
        finally:
            await job.leave()

    def _start(self, request: GenerationRequest, *, ahead: bool = False) -> Job:
        job = Job(self, request, asyncio.get_running_loop(), end=self._words.end, ahead=ahead)
        with self._jobs_lock:
            self._jobs.add(job)
        self._wanted.set()
        job.start()
        return job

    def run(self, job: Job) -> None:
        """Run *job* to its end on the calling thread (the job's own).

        :raises GenerationError: the library failed, or the engine was closed.
        """
        with self._inside:
            if job.cancelled.is_set():
                return
            if self._closed:
                raise GenerationError("the engine was closed", mend="open the model again")
            self._perform(job)

    def forget(self, job: Job) -> None:
        """Called by a job when it has left."""
        with self._jobs_lock:
            self._jobs.discard(job)

    async def close(self) -> None:
        """Cancel what runs, wait for it, free the memory. Idempotent; final."""
        await asyncio.to_thread(self.shut, CLOSE_SECONDS)

    def shut(self, seconds: float) -> None:
        """:meth:`close` for callers without an event loop; waits at most *seconds*."""
        self._closed = True
        self._wanted.set()
        deadline = time.monotonic() + seconds
        with self._jobs_lock:
            jobs = list(self._jobs)
        for job in jobs:
            job.cancelled.set()
        for job in jobs:
            job.over.wait(max(0.0, deadline - time.monotonic()))
        # Who tidies up is no job any more. Whoever comes later finds the engine closed.
        if self._inside.acquire(timeout=max(0.0, deadline - time.monotonic())):
            self._inside.release()
        self._model = None
        self._emptied()
        _LIVE.discard(self)
