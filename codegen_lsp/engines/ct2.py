"""CTranslate2: an engine on the CPU or a CUDA device of this machine.

Knows what may be inside CTranslate2, and when; the library is imported when a model is loaded
(``ct2_loading``). What its two kinds of models are asked is in ``ct2_networks``, what a job is in
``jobs``. Does not know text: token ids go in and out.

A job runs on a thread of its own, which waits inside CTranslate2; tokens come back to the event
loop one by one from the step callback. That callback is also the only way to stop a job: it
answers "stop" after the step in which the job was cancelled, so the reading of a prompt, which
is one step, cannot be interrupted. One job at a time is inside; a second waits outside.

CTranslate2 keeps what it has read of a prompt where it is told to (``anchors`` says what that is),
and forgets nothing but with the whole model: where it keeps too much the model is opened again.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.engines.anchors import AHEAD, SLACK, Anchors, capacity_of
from codegen_lsp.engines.base import EngineInfo
from codegen_lsp.engines.ct2_loading import (
    Words,
    cuda_devices,
    open_model,
    read_words,
    weights_size,
)
from codegen_lsp.engines.ct2_networks import Choose, Question, network_of
from codegen_lsp.engines.ct2_support import give_back, likeliest, token_bytes
from codegen_lsp.engines.hardware import available_memory, default_threads, machine
from codegen_lsp.engines.jobs import Job
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.errors import (
    CodegenError,
    EngineUnavailableError,
    GenerationError,
)
from codegen_lsp.types import GenerationRequest, Prompt, Token

__all__ = ["Ct2Engine", "cuda_devices"]

CLOSE_SECONDS: Final = 10.0
"""How long closing waits for a job that cannot be interrupted at once."""

IDLE_SECONDS: Final = 5.0
"""After so long without a request, time may be taken to free memory."""

_LIVE: weakref.WeakSet[Ct2Engine] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Stop what still runs: a job inside CTranslate2 must not outlive the interpreter."""
    for engine in list(_LIVE):
        engine.shut(CLOSE_SECONDS)


class Ct2Engine:
    """A model folder run by CTranslate2. Threads and event loops may share it."""

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._network = network_of(spec.architecture)
        self._threads = spec.threads or default_threads(machine(), weights_size(spec))
        self._device, self._compute_type = spec.device, spec.compute_type
        self._model: Any = None
        """CTranslate2's Generator or Translator."""
        self._words = Words()
        self._closed = False
        self._jobs: set[Job] = set()
        self._loading = threading.Lock()
        """Held while weights are read, which may take long: never taken on an event loop."""
        self._jobs_lock = threading.Lock()
        self._inside = threading.Lock()
        """Held by the job inside CTranslate2, and by whoever tidies up between jobs."""
        self._anchors = Anchors(0, 0)
        self._wanted = threading.Event()
        """Set when somebody wants the engine, or its end."""

    @property
    def info(self) -> EngineInfo:
        """What runs here; device and compute type are as asked for until :meth:`load`."""
        return EngineInfo(
            "ct2",
            self._spec.name,
            self._device,
            self._compute_type,
            self._threads,
            self._spec.context_length,
        )

    async def load(self) -> None:
        """Load the weights and run one token through them, on another thread.

        :raises ModelDamagedError: the folder is not a complete model.
        :raises EngineUnavailableError: library or device missing, or the engine was closed.
        """
        if self._model is None or self._closed:
            await asyncio.to_thread(self._load)

    def _load(self) -> None:
        with self._loading:
            self._refuse_closed()
            if self._model is None:
                self._words = read_words(self._spec.folder, self._network)
                model = self._open()
                self._anchors = self._room()
                self._adopt(model)
                _LIVE.add(self)

    def _adopt(self, model: Any) -> None:
        """Keep *model*, unless the engine was closed meanwhile: closing waits for no load."""
        self._model = model
        self._refuse_closed()

    def _room(self) -> Anchors:
        """Room for what the model that was just loaded is going to keep."""
        file, memory = self._spec.folder / "model.bin", machine().memory
        kept = token_bytes(file, self._compute_type) if self._network.anchored else 0
        whole = kept * self._spec.context_length
        room = capacity_of(self._spec.cache_memory, memory, available_memory(), whole)
        return Anchors(kept, room)

    def _refuse_closed(self) -> None:
        if self._closed:
            self._model = None
            raise EngineUnavailableError("the engine was closed", mend="open the model again")

    def _open(self) -> Any:
        model = open_model(self._spec, self._network, self._words, self._threads)
        self._device, self._compute_type = str(model.device), str(model.compute_type)
        return model

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Token, None]:
        """Tokens as they are computed; ``aclose()`` cancels before the next step.

        A prompt that leaves no room for ``max_new_tokens`` loses its beginning; an empty one is
        read as the beginning of a document. Loads the model where :meth:`load` was not called.

        :raises GenerationError: CTranslate2 failed, or an id is not in the vocabulary.
        """
        await self.load()
        async with aclosing(self._tokens(request)) as tokens:
            async for token in tokens:
                yield token

    async def _tokens(
        self, request: GenerationRequest, *, ahead: bool = False
    ) -> AsyncGenerator[Token, None]:
        loop = asyncio.get_running_loop()
        job = Job(self, request, loop, end=self._words.end, ahead=ahead, floats=_floats)
        with self._jobs_lock:
            self._jobs.add(job)
        self._wanted.set()
        job.start()
        try:
            while (item := await job.items.get()) is not None:
                if isinstance(item, CodegenError):
                    raise item
                yield item
        finally:
            job.cancelled.set()
            await job.left.wait()

    def warm(self, prompt: Prompt) -> int:
        """How many tokens of *prompt* a request would find read."""
        return self._anchors.warm(prompt)

    async def prewarm(self, prompt: Prompt) -> None:
        """Read the stable part of *prompt*, unless most of it has been read.

        Reading cannot be interrupted: who is cancelled here waits until it is done.
        """
        if self._model is None or not self._anchors.unread(prompt, AHEAD):
            return
        start = Prompt(prompt.stable, prompt.tail[:1])
        with suppress(CodegenError):
            async with aclosing(self._tokens(GenerationRequest(start, 1), ahead=True)) as tokens:
                async for _ in tokens:
                    pass

    def run(self, job: Job) -> None:
        """Run *job* to its end on the calling thread (the job's own).

        :raises GenerationError: CTranslate2 failed, or the engine was closed.
        """
        with self._inside:
            if job.cancelled.is_set():
                return
            if job.ahead and not self._anchors.unread(job.request.prompt, AHEAD):
                return
            if job.request.sampling.temperature > 0 and job.request.sampling.seed is not None:
                self._reseed(job.request.sampling.seed)
            if self._closed:
                raise GenerationError("the engine was closed", mend="open the model again")
            request = job.wish(self._words.padding)
            first = self._batch(job, request)
            if not job.refused:
                return
            # The likeliest token of all was none of those asked for: take theirs and go on.
            logits = _floats(first.logits[0][job.given])
            token = likeliest(logits, request.first_ids)
            job.hand_over(replace(token, odds=job.odds_of(logits)))
            rest = self._network.after(request, token)
            if rest.max_new_tokens > 0 and not job.cancelled.is_set():
                self._batch(job, rest)

    def _batch(self, job: Job, request: GenerationRequest) -> Any:
        """Run one request through CTranslate2; its result, once it has left."""
        slack = AHEAD if job.ahead else SLACK
        question = self._question(request, lambda prompt: self._anchors.choose(prompt, slack))
        job.given = question.given
        if self._anchors.bursts(question.anchor):
            self._reopen()
        return self._run(question, job.step)

    def _question(self, request: GenerationRequest, choose: Choose) -> Question:
        context_length = self._spec.context_length
        return self._network.ask(request, self._words.all, self._words.end, context_length, choose)

    def _run(self, question: Question, step: Callable[[Any], bool]) -> Any:
        """Give *question* to CTranslate2 and wait for its result."""
        model = self._present()
        try:
            pending = getattr(model, self._network.method)(
                *question.batch,
                asynchronous=True,
                suppress_sequences=self._words.suppressed,
                callback=step,
                **question.options,
            )
            return pending[0].result()
        except (RuntimeError, ValueError, MemoryError) as error:
            raise GenerationError(
                f"CTranslate2 failed: {error}", mend="restart the server"
            ) from error
        finally:
            # Counted also where it failed: what was kept before that is unknown.
            self._anchors.add(question.anchor)

    def _present(self) -> Any:
        """The model; loaded again where it could not be reopened before."""
        model = self._model
        if model is None:
            self._load()
            model = self._model
        return model

    def _reseed(self, seed: int) -> None:
        """Make the next job draw from *seed*.

        CTranslate2 seeds a worker's random numbers when it first draws, never again: only a new
        worker starts anew.
        """
        import ctranslate2

        self._reopen(lambda: ctranslate2.set_random_seed(seed))

    def _reopen(self, prepare: Callable[[], None] = lambda: None) -> None:
        """The same model anew, which has read nothing; *prepare* is called in between.

        Measured: opening takes no longer than CTranslate2's own unloading and loading.
        """
        with self._loading:
            self._refuse_closed()
            self._model = None
            self._anchors.forget()
            give_back()
            prepare()
            self._adopt(self._open())

    def tidy(self) -> None:
        """Free memory while nobody waits, and read again what was read last.

        Called by a job's thread once the job has left.
        """
        self._wanted.clear()
        if not self._anchors.crowded or self._busy() or self._wanted.wait(IDLE_SECONDS):
            return
        with self._inside, suppress(CodegenError):
            newest = self._anchors.newest
            if not self._busy():
                self._reopen()
                self._read(newest)

    def _busy(self) -> bool:
        with self._jobs_lock:
            return self._closed or bool(self._jobs)

    def _read(self, anchor: tuple[int, ...]) -> None:
        """Keep *anchor* again, where there is one and nobody waits."""
        if anchor and not self._busy():
            # To read a prompt is to ask for one token behind it.
            request = GenerationRequest(Prompt(anchor, (self._words.end,)), 1)
            self._run(self._question(request, lambda _: anchor), lambda _: True)

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
            job.thread.join(max(0.0, deadline - time.monotonic()))
        # Who tidies up is no job any more. Whoever comes later finds the engine closed.
        if self._inside.acquire(timeout=max(0.0, deadline - time.monotonic())):
            self._inside.release()
        self._model = None
        self._anchors.forget()
        give_back()
        _LIVE.discard(self)


def _floats(logits: Any) -> NDArray[np.float32]:
    """The logits [vocabulary] of a step, on the CPU in float32."""
    import ctranslate2

    view = logits.to_device(ctranslate2.Device.cpu)
    return np.array(view.to(ctranslate2.DataType.float32)).reshape(-1)
