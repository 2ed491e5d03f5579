"""llama.cpp: an engine that keeps what it has read and extends it, on the CPU or a GPU.

llama.cpp's server runs in this process (``xllamacpp``) and is called directly. Each slot of it
holds what was read for one place in one document, so that a keystroke costs its own tokens and a
jump back costs nothing. It insists on listening on the loopback interface, too: there it answers
nobody, since every request needs a key that is drawn anew and told to no one.

A job waits inside llama.cpp, which calls back with every token and with its progress in reading a
prompt; what the callback answers is also what stops it: after a token, or after some tens of tokens
that were read.

Knows llama.cpp's parameters, devices and failures; imports it when a model is loaded. What is said
to it and how its answers read is in ``llama_support``, the life of a job in ``local`` and ``jobs``.
Does not know text, or who makes a GGUF.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from codegen_lsp.engines.anchors import capacity_of
from codegen_lsp.engines.base import EngineInfo
from codegen_lsp.engines.gguf_header import read_header
from codegen_lsp.engines.hardware import (
    available_memory,
    default_threads,
    machine,
    refuse_if_too_large,
)
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
from codegen_lsp.engines.local import LocalEngine
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.engines.vocabulary import DECODER_PADDING, DECODER_VOCABULARY, read_words
from codegen_lsp.errors import EngineUnavailableError, GenerationError, ModelDamagedError
from codegen_lsp.types import Prompt, Token

__all__ = ["LlamaEngine"]

_FAILURES: Final = (RuntimeError, ValueError, MemoryError, OSError, AttributeError, TypeError)
"""What the library raises where it cannot do something, another version of it above all."""


class LlamaEngine(LocalEngine):
    """A GGUF file run by llama.cpp's server."""

    def __init__(self, spec: EngineSpec) -> None:
        super().__init__(spec)
        self._threads = spec.threads
        self._device, self._kind = spec.device, spec.compute_type
        self._context = spec.context_length
        self._kept = Kept(1)
        self._never: list[tuple[int, float | bool]] = []
        """The padding as llama.cpp takes it."""
        self._named = 0
        """How many tokens are named where the odds are wanted."""

    @property
    def info(self) -> EngineInfo:
        """What runs here; device, type and threads are as asked for until :meth:`load`."""
        return EngineInfo(
            "llama", self._spec.name, self._device, self._kind, self._threads, self._context
        )

    def _fresh(self) -> Any:
        gguf = self._file()
        library = _library()
        self._words = read_words(self._spec.folder, DECODER_VOCABULARY, DECODER_PADDING)
        self._never = [(i, False) for i in sorted(self._words.padding)]
        try:
            server = self._open(library, gguf)
            error = _tried(server, len(self._words.all) - 1)
        except _FAILURES as failure:
            raise unavailable(gguf, failure) from failure
        if error:
            raise ModelDamagedError(
                f"{gguf} is of another model than {self._spec.folder} ({error})",
                mend="remove it; codegen-lsp bench engine makes it anew",
            )
        return server

    def _file(self) -> Path:
        gguf = self._spec.gguf
        if gguf is None or not gguf.is_file():
            raise EngineUnavailableError(
                f"{self._spec.name} was not prepared for llama.cpp",
                mend="run: codegen-lsp bench engine --model NAME, which prepares it",
            )
        return gguf

    def _open(self, library: Any, gguf: Path) -> Any:
        """llama.cpp with the model in *gguf*."""
        size = gguf.stat().st_size
        on = machine()
        plan = plan_of(
            read_header(gguf),
            size,
            self._spec.context_length,
            self._spec.threads or default_threads(on, size),
            capacity_of(self._spec.cache_memory, on.memory, available_memory()),
        )
        gpu = on_gpu(library, self._spec.device)
        if not gpu:
            refuse_if_too_large(self._spec.name, plan.needed)
        server = library.Server(parameters_of(library, gguf, plan, self._spec.drafts, gpu=gpu))
        self._device = "cuda" if gpu else "cpu"
        self._kind = gguf.stem.rpartition("-")[2]
        self._threads, self._context, self._named = plan.threads, plan.context, plan.named
        self._kept = Kept(plan.slots)
        return server

    def warm(self, prompt: Prompt) -> int:
        """How many tokens at the beginning of *prompt* some slot holds."""
        return self._kept.warm(prompt.tokens)

    async def prewarm(self, prompt: Prompt) -> None:
        """Read the stable part of *prompt*, unless a slot holds it. Loads nothing."""
        wanted = Prompt(prompt.stable, ())
        if self._model is not None and self.warm(wanted) + 1 < len(wanted):
            await self._read_ahead(wanted)

    def _perform(self, job: Job) -> None:
        request = job.wish(self._words.padding)
        ids, room = fitting(request, self._context, self._words.end)
        self._check_ids((*ids, *request.first_ids, *request.stop_ids))
        self._ask(job, ids, 0 if job.ahead else room)
        if not job.refused or job.cancelled.is_set():
            return
        # The likeliest token of all was none of those asked for: take theirs and go on.
        chosen = self._ask(job, ids, 1, wishing(request.first_ids)).last
        if chosen is not None and room > 1 and not job.cancelled.is_set():
            self._ask(job, (*ids, chosen), room - 1)

    def _ask(
        self,
        job: Job,
        ids: tuple[int, ...],
        max_tokens: int,
        biases: Sequence[tuple[int, float | bool]] = (),
    ) -> _Hearing:
        """Put one question to llama.cpp and hand on what it answers."""
        slot = self._kept.choose(ids)
        heard = _Hearing(job)
        named = self._named if job.wants_odds else 1
        biases = (*self._never, *biases)
        question = body(ids, max_tokens, slot, job.request.sampling, biases, named)
        try:
            self._model.handle_completions(question, heard)
        except _FAILURES as error:
            self._kept.hold(slot, ())
            raise refusal(str(error)) from error
        # The last token was chosen, not read; who stops early leaves a part of the prompt.
        self._kept.hold(slot, (*ids, *heard.said[:-1]) if heard.began else ids[: heard.read])
        if heard.error:
            raise refusal(heard.error)
        return heard

    def _check_ids(self, ids: Sequence[int]) -> None:
        size = len(self._words.all)
        wrong = next((i for i in ids if not 0 <= i < size), None)
        if wrong is not None:
            raise GenerationError(
                f"token id {wrong} is not in the model's vocabulary of {size}",
                mend="use the tokenizer that belongs to the model",
            )

    def tidy(self) -> None:
        """Nothing to do between jobs: slots never grow."""

    def _emptied(self) -> None:
        self._kept = Kept(1)  # llama.cpp's own threads ended with the model


class _Hearing:
    """What comes of one question; called by llama.cpp with every chunk. True stops it."""

    def __init__(self, job: Job | None) -> None:
        self.began = False
        """Whether a token came, so that all of the prompt was read."""
        self.read = 0
        """How many tokens of the prompt were read."""
        self.said: list[int] = []
        """Ids of the tokens that came, as far as all of them are known."""
        self.last: int | None = None
        """Id of the last token that came, where it has one: of all, if only one was asked for."""
        self._known = True
        self.error = ""
        self._job = job

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
        if self._job is None:
            return bool(self.error)
        stop = heard.token is not None and self._note(self._job, heard.token)
        return stop or bool(self.error) or self._job.cancelled.is_set()

    def _note(self, job: Job, token: Token) -> bool:
        """Hand one token on; True if the answer ends with it."""
        self.began, before = True, job.handed
        stop = job.take(token)
        if job.handed > before:
            self.last = None if token.id == NO_ID else token.id
            self._known = self._known and self.last is not None and token.text is None
            if self._known:
                self.said.append(token.id)
        return stop


def _tried(server: Any, last: int) -> str:
    """What is wrong with reading *last*, the vocabulary's: another model's has none of that id."""
    heard = _Hearing(None)
    server.handle_completions(body([last], 0, 0), heard)
    return heard.error


def _library() -> Any:
    try:
        import xllamacpp
    except (ImportError, OSError) as error:
        raise EngineUnavailableError(
            f"llama.cpp cannot be imported ({error})", mend="pip install 'codegen-lsp[llama]'"
        ) from error
    return xllamacpp
