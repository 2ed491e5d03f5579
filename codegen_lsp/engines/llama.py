"""llama.cpp: an engine that keeps what it has read and extends it, on the CPU or a GPU.

llama.cpp's server runs in this process (``xllamacpp``) and is called directly. Each slot of it
holds what was read for one place in one document, so that a keystroke costs its own tokens and a
jump back costs nothing. It insists on listening on the loopback interface, too: there it answers
nobody, since every request needs a key that is drawn anew and told to no one.

A job runs on a thread of its own, which waits inside llama.cpp; its tokens and its progress in
reading a prompt come back by a callback, whose answer is also what stops it: after a token, or
after some tens of tokens that were read. One job at a time is inside; a second waits outside.

Knows llama.cpp's parameters, devices and failures; imports it when a model is loaded. What is said
to it and how its answers read is in ``llama_support``. Does not know text, or who makes a GGUF.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import re
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from codegen_lsp.engines.anchors import capacity_of
from codegen_lsp.engines.base import EngineInfo
from codegen_lsp.engines.gguf_header import read_header
from codegen_lsp.engines.hardware import default_threads, machine, refuse_if_too_large
from codegen_lsp.engines.jobs import Job
from codegen_lsp.engines.kept import Kept
from codegen_lsp.engines.llama_support import (
    NO_ID,
    body,
    fitting,
    on_gpu,
    parameters_of,
    plan_of,
    read_chunk,
    refusal,
    unavailable,
    wishing,
)
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.errors import (
    CodegenError,
    EngineUnavailableError,
    GenerationError,
    ModelDamagedError,
)
from codegen_lsp.types import GenerationRequest, Prompt, Token

__all__ = ["LlamaEngine"]

CLOSE_SECONDS: Final = 10.0
"""How long closing waits for a job that cannot be interrupted at once."""

_PADDING: Final = re.compile(r"<(extra_id|padding)_\d+>")
"""Entries of the vocabulary that stand for no text and are never generated."""

_LIVE: weakref.WeakSet[LlamaEngine] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Stop what still runs: a job inside llama.cpp must not outlive the interpreter."""
    for engine in list(_LIVE):
        engine.shut(CLOSE_SECONDS)


class LlamaEngine:
    """A GGUF file run by llama.cpp. Threads and event loops may share it."""

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._threads = spec.threads
        self._device, self._kind = spec.device, spec.compute_type
        self._context = spec.context_length
        self._server: Any = None
        self._kept = Kept(1)
        self._size = 0
        """Entries of the vocabulary."""
        self._end = 0
        self._padding: frozenset[int] = frozenset()
        self._never: list[tuple[int, float | bool]] = []
        """The padding as llama.cpp takes it."""
        self._closed = False
        self._jobs: set[Job] = set()
        self._loading = threading.Lock()
        """Held while weights are read, which may take long: never taken on an event loop."""
        self._jobs_lock = threading.Lock()
        self._inside = threading.Lock()
        """Held by the job inside llama.cpp."""

    @property
    def info(self) -> EngineInfo:
        """What runs here; device, type and threads are as asked for until :meth:`load`."""
        return EngineInfo(
            "llama", self._spec.name, self._device, self._kind, self._threads, self._context
        )

    async def load(self) -> None:
        """Load the weights and run one token through them, on another thread.

        :raises ModelDamagedError: the file or the model's folder is not whole.
        :raises EngineUnavailableError: library, file, device or memory missing, or the engine was
            closed.
        """
        if self._server is None or self._closed:
            await asyncio.to_thread(self._load)

    def _load(self) -> None:
        with self._loading:
            self._refuse_closed()
            if self._server is None:
                gguf = self._file()
                library = _library()
                self._read_vocabulary()
                server = self._open(library, gguf)
                self._probe(server)
                self._server = server
                self._refuse_closed()
                _LIVE.add(self)

    def _refuse_closed(self) -> None:
        if self._closed:
            self._server = None
            raise EngineUnavailableError("the engine was closed", mend="open the model again")

    def _file(self) -> Path:
        gguf = self._spec.gguf
        if gguf is None or not gguf.is_file():
            raise EngineUnavailableError(
                f"{self._spec.name} was not prepared for llama.cpp",
                mend="run: codegen-lsp bench engine --model NAME, which prepares it",
            )
        return gguf

    def _read_vocabulary(self) -> None:
        folder = self._spec.folder
        try:
            vocabulary = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            self._end = vocabulary.index(config["eos_token"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelDamagedError(
                f"vocabulary or configuration in {folder} is unreadable ({error})",
                mend="install the model again",
            ) from error
        self._size = len(vocabulary)
        self._padding = frozenset(i for i, t in enumerate(vocabulary) if _PADDING.fullmatch(t))
        self._never = [(i, False) for i in sorted(self._padding)]

    def _open(self, library: Any, gguf: Path) -> Any:
        """llama.cpp with the model in *gguf*."""
        size = gguf.stat().st_size
        memory = psutil.virtual_memory()
        plan = plan_of(
            read_header(gguf),
            size,
            self._spec.context_length,
            self._spec.threads or default_threads(machine(), size),
            capacity_of(self._spec.cache_memory, memory.total, memory.available),
        )
        gpu = on_gpu(library, self._spec.device)
        if not gpu:
            refuse_if_too_large(self._spec.name, plan.needed)
        try:
            server = library.Server(parameters_of(library, gguf, plan, self._spec.drafts, gpu=gpu))
        except (RuntimeError, ValueError, MemoryError, OSError) as error:
            raise unavailable(gguf, error) from error
        self._device = "cuda" if gpu else "cpu"
        self._kind = gguf.stem.rpartition("-")[2]
        self._threads, self._context = plan.threads, plan.context
        self._kept = Kept(plan.slots)
        return server

    def _probe(self, server: Any) -> None:
        """Run the last token of the vocabulary: a file of another model has none of that id."""
        heard = _Hearing(None, frozenset(), self._end)
        server.handle_completions(body([self._size - 1], 0, 0), heard)
        if heard.error:
            raise ModelDamagedError(
                f"{self._spec.gguf} is of another model than {self._spec.folder} ({heard.error})",
                mend="remove it; codegen-lsp bench engine makes it anew",
            )

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Token, None]:
        """Tokens as they are computed; ``aclose()`` cancels before the next step.

        A prompt that leaves no room for ``max_new_tokens`` loses its beginning; an empty one is
        read as the beginning of a document. Loads the model where :meth:`load` was not called.

        :raises GenerationError: llama.cpp failed, or an id is not in the vocabulary.
        """
        await self.load()
        job = self._start(Job(self, request, asyncio.get_running_loop(), end=self._end))
        try:
            while (item := await job.items.get()) is not None:
                if isinstance(item, CodegenError):
                    raise item
                yield item
        finally:
            job.cancelled.set()
            await job.left.wait()

    def _start(self, job: Job) -> Job:
        with self._jobs_lock:
            self._jobs.add(job)
        job.start()
        return job

    def warm(self, prompt: Prompt) -> int:
        """How many tokens at the beginning of *prompt* some slot holds."""
        return self._kept.warm(prompt.tokens)

    async def prewarm(self, prompt: Prompt) -> None:
        """Read the stable part of *prompt*, unless a slot holds it. Loads nothing."""
        wanted = Prompt(prompt.stable, ())
        if self._server is None or self._closed or self.warm(wanted) + 1 >= len(wanted):
            return
        request = GenerationRequest(wanted, 1)
        loop = asyncio.get_running_loop()
        job = self._start(Job(self, request, loop, end=self._end, ahead=True))
        try:
            while await job.items.get() is not None:
                pass
        finally:
            job.cancelled.set()
            await job.left.wait()

    def run(self, job: Job) -> None:
        """Run *job* to its end on the calling thread (the job's own).

        :raises GenerationError: llama.cpp failed, or the engine was closed.
        """
        with self._inside:
            if job.cancelled.is_set():
                return
            if self._server is None or self._closed:
                raise GenerationError("the engine was closed", mend="open the model again")
            request = job.wish(self._padding)
            ids, room = fitting(request, self._context, self._end)
            self._check_ids((*ids, *request.first_ids, *request.stop_ids))
            heard = self._ask(job, ids, 0 if job.ahead else room, frozenset(request.first_ids))
            if not heard.refused or job.cancelled.is_set():
                return
            # The likeliest token of all was none of those asked for: take theirs and go on.
            chosen = self._ask(job, ids, 1, frozenset(), wishing(request.first_ids))
            if chosen.said and room > 1 and chosen.known and not job.cancelled.is_set():
                self._ask(job, (*ids, *chosen.said), room - 1, frozenset())

    def _ask(
        self,
        job: Job,
        ids: tuple[int, ...],
        max_tokens: int,
        wanted: frozenset[int],
        biases: Sequence[tuple[int, float | bool]] = (),
    ) -> _Hearing:
        """Put one question to llama.cpp and hand on what it answers."""
        slot = self._kept.choose(ids)
        heard = _Hearing(job, wanted, self._end)
        question = body(ids, max_tokens, slot, job.request.sampling, (*self._never, *biases))
        try:
            self._server.handle_completions(question, heard)
        except (RuntimeError, ValueError, MemoryError) as error:
            self._kept.hold(slot, ())
            raise refusal(str(error)) from error
        # The last token was chosen, not read; who stops early leaves a part of the prompt.
        self._kept.hold(slot, (*ids, *heard.said[:-1]) if heard.began else ids[: heard.read])
        if heard.error:
            raise refusal(heard.error)
        return heard

    def _check_ids(self, ids: Sequence[int]) -> None:
        wrong = next((i for i in ids if not 0 <= i < self._size), None)
        if wrong is not None:
            raise GenerationError(
                f"token id {wrong} is not in the model's vocabulary of {self._size}",
                mend="use the tokenizer that belongs to the model",
            )

    def forget(self, job: Job) -> None:
        """Called by a job when it has left."""
        with self._jobs_lock:
            self._jobs.discard(job)

    def tidy(self) -> None:
        """Nothing to do between jobs: slots never grow."""

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
        self._server = None  # its own threads end with it
        self._kept = Kept(1)
        _LIVE.discard(self)


class _Hearing:
    """What comes of one question; called by llama.cpp with every chunk. True stops it."""

    def __init__(self, job: Job | None, wanted: frozenset[int], end: int) -> None:
        self.refused = False
        """Whether the first token was none of those wanted; it was handed to nobody."""
        self.began = False
        """Whether a token came, so that all of the prompt was read."""
        self.read = 0
        """How many tokens of the prompt were read."""
        self.said: list[int] = []
        """Ids of the tokens that came, as far as all of them are known."""
        self.known = True
        self.error = ""
        self._job = job
        self._wanted = wanted
        self._ends = {end, *(job.request.stop_ids if job is not None else ())}

    def __call__(self, chunk: Any) -> bool:
        try:
            return self._take(chunk)
        except Exception as error:  # nothing may be raised into llama.cpp
            self.error = f"an answer that cannot be read: {error!r}"
            return True

    def _take(self, chunk: Any) -> bool:
        heard = read_chunk(chunk)
        self.error = self.error or heard.error
        if heard.read is not None:
            self.read = heard.read
        stop = self._note(heard.token) if heard.token is not None else False
        return stop or bool(self.error) or (self._job is not None and self._job.cancelled.is_set())

    def _note(self, token: Token) -> bool:
        """Hand one token on, if it is to be heard; True if the answer ends with it."""
        first, self.began = not self.began, True
        if first and self._wanted and token.id not in self._wanted:
            self.refused = True
            return True
        if token.id in self._ends:
            return True
        self.known = self.known and token.id != NO_ID and token.text is None
        if self.known:
            self.said.append(token.id)
        if self._job is not None:
            self._job.hand_over(token)
        return False


def _library() -> Any:
    try:
        import xllamacpp
    except (ImportError, OSError) as error:
        raise EngineUnavailableError(
            f"llama.cpp cannot be imported ({error})", mend="pip install 'codegen-lsp[llama]'"
        ) from error
    return xllamacpp
