"""CTranslate2: an engine on the CPU or a CUDA device of this machine.

Knows CTranslate2's files, devices, threads and failures; imports it when a model is loaded. What
its two kinds of models are asked is in ``ct2_networks``. Does not know text (token ids go in and
out) or anchors: each prompt is read from its beginning.

A job runs on a thread of its own, which waits inside CTranslate2; tokens come back to the event
loop one by one from the step callback. That callback is also the only way to stop a job: it
answers "stop" after the step in which the job was cancelled, so the reading of a prompt, which
is one step, cannot be interrupted. One job at a time is inside; a second waits outside.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Set
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.engines.base import EngineInfo
from codegen_lsp.engines.ct2_networks import network_of
from codegen_lsp.engines.ct2_support import Attempt, attempts, likeliest, translate
from codegen_lsp.engines.hardware import default_threads, machine
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.errors import (
    CodegenError,
    EngineUnavailableError,
    GenerationError,
    ModelDamagedError,
)
from codegen_lsp.types import GenerationRequest, Token

__all__ = ["Ct2Engine", "cuda_devices"]

CLOSE_SECONDS: Final = 10.0
"""How long closing waits for a job that cannot be interrupted at once."""

SIZE_MULTIPLE: Final = 8
"""Some devices pad the output to a multiple of this."""

_LIVE: weakref.WeakSet[Ct2Engine] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Stop what still runs: a job inside CTranslate2 must not outlive the interpreter."""
    for engine in list(_LIVE):
        engine.shut(CLOSE_SECONDS)


def cuda_devices() -> int:
    """CUDA devices that CTranslate2 can use; 0 without it, a driver or a device."""
    try:
        import ctranslate2

        return int(ctranslate2.get_cuda_device_count())
    except (ImportError, RuntimeError):
        return 0


class Ct2Engine:
    """A model folder run by CTranslate2. Threads and event loops may share it."""

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._network = network_of(spec.architecture)
        self._threads = spec.threads or default_threads(machine())
        self._device, self._compute_type = spec.device, spec.compute_type
        self._model: Any = None
        """CTranslate2's Generator or Translator."""
        self._vocabulary: list[str] = []
        self._padding: frozenset[int] = frozenset()
        self._suppressed: list[list[str]] | None = None
        """The padding as CTranslate2 takes it. Measured with 905 entries: half a millisecond per
        answer, none per token."""
        self._end = 0
        self._closed = False
        self._jobs: set[_Job] = set()
        self._loading = threading.Lock()
        """Held while weights are read, which may take long: never taken on an event loop."""
        self._jobs_lock = threading.Lock()
        self._inside = threading.Lock()
        """Held by the job inside CTranslate2."""

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
                self._read_vocabulary()
                self._adopt(self._open())
                _LIVE.add(self)

    def _adopt(self, model: Any) -> None:
        """Keep *model*, unless the engine was closed meanwhile: closing waits for no load."""
        self._model = model
        self._refuse_closed()

    def _refuse_closed(self) -> None:
        if self._closed:
            self._model = None
            raise EngineUnavailableError("the engine was closed", mend="open the model again")

    def _read_vocabulary(self) -> None:
        folder = self._spec.folder
        for name in self._network.files:
            if not (folder / name).is_file():
                raise ModelDamagedError(f"{folder / name} is missing", mend="install it again")
        try:
            vocabulary = json.loads((folder / self._network.vocabulary).read_text(encoding="utf-8"))
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            self._end = vocabulary.index(config["eos_token"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelDamagedError(
                f"vocabulary or configuration in {folder} is unreadable ({error})",
                mend="install the model again",
            ) from error
        self._vocabulary = vocabulary
        padding = self._network.padding.fullmatch
        self._padding = frozenset(i for i, token in enumerate(vocabulary) if padding(token))
        self._suppressed = [[vocabulary[i]] for i in sorted(self._padding)] or None

    def _open(self) -> Any:
        """The model on the first device and in the first type that work."""
        try:
            import ctranslate2
        except (ImportError, OSError) as error:
            raise EngineUnavailableError(
                f"CTranslate2 cannot be imported ({error})", mend="pip install ctranslate2"
            ) from error
        failures: list[EngineUnavailableError] = []
        for attempt in attempts(
            self._spec.device,
            self._spec.compute_type,
            cuda_devices(),
            ctranslate2.get_supported_compute_types,
        ):
            try:
                return self._try(attempt)
            except EngineUnavailableError as error:
                failures.append(error)
        raise failures[0]

    def _try(self, attempt: Attempt) -> Any:
        import ctranslate2

        try:
            model = getattr(ctranslate2, self._network.loader)(
                str(self._spec.folder),
                device=attempt.device,
                compute_type=attempt.compute_type,
                inter_threads=1,
                intra_threads=self._threads,
                max_queued_batches=-1,
            )
            # A missing CUDA library or a wrong weight shows itself only here.
            rows = self._network.rows(model, self._vocabulary[self._end])
        except (RuntimeError, ValueError, MemoryError, OSError) as error:
            raise translate(error, self._spec.folder) from error
        if not 0 <= rows - len(self._vocabulary) < SIZE_MULTIPLE:
            vocabulary = self._spec.folder / self._network.vocabulary
            raise ModelDamagedError(
                f"{vocabulary} has {len(self._vocabulary)} entries, the model {rows}",
                mend="install the model again",
            )
        self._device, self._compute_type = str(model.device), str(model.compute_type)
        return model

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Token, None]:
        """Tokens as they are computed; ``aclose()`` cancels before the next step.

        A prompt that leaves no room for ``max_new_tokens`` loses its beginning; an empty one is
        read as the beginning of a document. Loads the model where :meth:`load` was not called.

        :raises GenerationError: CTranslate2 failed, or an id is not in the vocabulary.
        """
        await self.load()
        job = _Job(self, request, asyncio.get_running_loop())
        with self._jobs_lock:
            self._jobs.add(job)
        job.start()
        try:
            while (item := await job.items.get()) is not None:
                if isinstance(item, CodegenError):
                    raise item
                yield item
        finally:
            job.cancelled.set()
            await job.left.wait()

    def run(self, job: _Job) -> None:
        """Run *job* to its end on the calling thread (the job's own).

        :raises GenerationError: CTranslate2 failed, or the engine was closed.
        """
        with self._inside:
            if job.cancelled.is_set():
                return
            if job.request.sampling.temperature > 0 and job.request.sampling.seed is not None:
                self._reseed(job.request.sampling.seed)
            model = self._model
            if model is None or self._closed:
                raise GenerationError("the engine was closed", mend="open the model again")
            request = job.wish(self._padding)
            first = self._batch(model, job, request)
            if not job.refused:
                return
            # The likeliest token of all was none of those asked for: take theirs and go on.
            token = likeliest(_logits(first, job.given), request.first_ids)
            job.hand_over(token)
            rest = self._network.after(request, token)
            if rest.max_new_tokens > 0 and not job.cancelled.is_set():
                self._batch(model, job, rest)

    def _batch(self, model: Any, job: _Job, request: GenerationRequest) -> Any:
        """Run one request through CTranslate2; its result, once it has left."""
        question = self._network.ask(
            request, self._vocabulary, self._end, self._spec.context_length
        )
        job.given = question.given
        try:
            pending = getattr(model, self._network.method)(
                *question.batch,
                asynchronous=True,
                suppress_sequences=self._suppressed,
                callback=job.step,
                **question.options,
            )
            return pending[0].result()
        except (RuntimeError, ValueError, MemoryError) as error:
            raise GenerationError(
                f"CTranslate2 failed: {error}", mend="restart the server"
            ) from error

    def _reseed(self, seed: int) -> None:
        """Make the next job draw from *seed*.

        CTranslate2 seeds a worker's random numbers when it first draws, never again: only a new
        worker starts anew.
        """
        import ctranslate2

        with self._loading:
            self._refuse_closed()
            self._model = None
            ctranslate2.set_random_seed(seed)
            self._adopt(self._open())

    def forget(self, job: _Job) -> None:
        """Called by a job when it has left."""
        with self._jobs_lock:
            self._jobs.discard(job)

    async def close(self) -> None:
        """Cancel what runs, wait for it, free the memory. Idempotent; final."""
        await asyncio.to_thread(self.shut, CLOSE_SECONDS)

    def shut(self, seconds: float) -> None:
        """:meth:`close` for callers without an event loop; waits at most *seconds*."""
        self._closed = True
        deadline = time.monotonic() + seconds
        with self._jobs_lock:
            jobs = list(self._jobs)
        for job in jobs:
            job.cancelled.set()
        for job in jobs:
            job.thread.join(max(0.0, deadline - time.monotonic()))
        self._model = None
        _LIVE.discard(self)


def _logits(result: Any, step: int) -> NDArray[np.float32]:
    """The logits [vocabulary] that a token was chosen by, on the CPU in float32."""
    import ctranslate2

    view = result.logits[0][step].to_device(ctranslate2.Device.cpu)
    return np.array(view.to(ctranslate2.DataType.float32)).reshape(-1)


class _Job:
    """One request on its way through the engine, and the queue its tokens come back through."""

    def __init__(
        self, engine: Ct2Engine, request: GenerationRequest, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.request = request
        self.cancelled = threading.Event()
        self.items: asyncio.Queue[Token | CodegenError | None] = asyncio.Queue()
        self.left = asyncio.Event()
        self.thread = threading.Thread(target=self._run, name="ct2-job", daemon=True)
        self.refused = False
        """Whether the first token was not among those that were wished for."""
        self.given = 0
        """Tokens that come first and were not generated."""
        self._wanted: frozenset[int] = frozenset()
        self._ends = {engine._end, *request.stop_ids}
        self._engine = engine
        self._loop = loop

    def wish(self, padding: Set[int]) -> GenerationRequest:
        """The request, its first token wished for among those that may be generated at all."""
        first = self.request.first_ids
        if not padding.isdisjoint(first):
            first = tuple(i for i in first if i not in padding)
        self._wanted = frozenset(first)
        return replace(self.request, first_ids=first)

    def start(self) -> None:
        """Begin; where the system gives no thread, end at once with that failure."""
        try:
            self.thread.start()
        except RuntimeError as error:
            self._leave(GenerationError(f"no thread for the model: {error}"))

    def _run(self) -> None:
        failure: CodegenError | None = None
        try:
            self._engine.run(self)
        except CodegenError as error:
            failure = error
        except Exception as error:  # a thread's own end: what is lost here, nobody sees
            failure = GenerationError(f"the engine failed: {error!r}", mend="report this")
        self._leave(failure)

    def _leave(self, failure: CodegenError | None) -> None:
        self._engine.forget(self)
        self._call(self.items.put_nowait, failure)
        self._call(self.left.set)

    def step(self, result: Any) -> bool:
        """Hand one token over; True stops the job. Called on CTranslate2's thread."""
        if result.step < self.given:
            return self.cancelled.is_set()
        if self._wanted and not self.refused:
            self.refused = result.token_id not in self._wanted
            self._wanted = frozenset()
            if self.refused:
                return True
        if result.token_id not in self._ends:
            self.hand_over(Token(result.token_id, result.log_prob))
        return self.cancelled.is_set()

    def hand_over(self, token: Token) -> None:
        """Send one token to the reader, unless nobody reads any more."""
        if not self.cancelled.is_set():
            self._call(self.items.put_nowait, token)

    def _call(self, function: Any, *arguments: object) -> None:
        """Run *function* on the event loop; where that loop is gone, nobody waits any more."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            self.cancelled.set()
