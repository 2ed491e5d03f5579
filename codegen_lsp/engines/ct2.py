"""CTranslate2: an engine on the CPU or a CUDA device of this machine.

Knows what may be inside CTranslate2, and when; the library is imported when a model is loaded
(``ct2_loading``). What its two kinds of models are asked is in ``ct2_networks``, the life of a job
in ``local`` and ``jobs``. Does not know text: token ids go in and out.

A job waits inside CTranslate2, which calls back after every step. That callback is also the only
way to stop a job: it answers "stop" after the step in which the job was cancelled, so the reading
of a prompt, which is one step, cannot be interrupted.

CTranslate2 keeps what it has read of a prompt where it is told to (``anchors`` says what that is),
and forgets nothing but with the whole model: where it keeps too much the model is opened again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.engines.anchors import AHEAD, SLACK, Anchors, capacity_of
from codegen_lsp.engines.base import EngineInfo
from codegen_lsp.engines.ct2_loading import check_files, cuda_devices, open_model, weights_size
from codegen_lsp.engines.ct2_networks import Choose, Question, network_of
from codegen_lsp.engines.ct2_support import give_back, likeliest, token_bytes
from codegen_lsp.engines.hardware import available_memory, default_threads, machine
from codegen_lsp.engines.jobs import Job
from codegen_lsp.engines.local import LocalEngine
from codegen_lsp.engines.odds import Logits
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.engines.vocabulary import read_words
from codegen_lsp.errors import CodegenError, GenerationError
from codegen_lsp.types import GenerationRequest, Prompt, Token

__all__ = ["Ct2Engine", "cuda_devices"]

IDLE_SECONDS: Final = 5.0
"""After so long without a request, time may be taken to free memory."""


class Ct2Engine(LocalEngine):
    """A model folder run by CTranslate2: its Generator or its Translator."""

    def __init__(self, spec: EngineSpec) -> None:
        super().__init__(spec)
        self._network = network_of(spec.architecture)
        self._threads = spec.threads or default_threads(machine(), weights_size(spec))
        self._device, self._compute_type = spec.device, spec.compute_type
        self._suppressed: list[list[str]] | None = None
        """The padding as CTranslate2 takes it. Measured with 905 entries: half a millisecond per
        answer, none per token."""
        self._anchors = Anchors(0, 0)

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

    def _fresh(self) -> Any:
        folder = self._spec.folder
        check_files(folder, self._network)
        self._words = read_words(folder, self._network.vocabulary, self._network.padding)
        self._suppressed = [[self._words.all[i]] for i in sorted(self._words.padding)] or None
        model = self._open()
        self._anchors = self._room()
        return model

    def _room(self) -> Anchors:
        """Room for what the model that was just loaded is going to keep."""
        file, memory = self._spec.folder / "model.bin", machine().memory
        kept = token_bytes(file, self._compute_type) if self._network.anchored else 0
        whole = kept * self._spec.context_length
        room = capacity_of(self._spec.cache_memory, memory, available_memory(), whole)
        return Anchors(kept, room)

    def _open(self) -> Any:
        model = open_model(self._spec, self._network, self._words, self._threads)
        self._device, self._compute_type = str(model.device), str(model.compute_type)
        return model

    def warm(self, prompt: Prompt) -> int:
        """How many tokens of *prompt* a request would find read."""
        return self._anchors.warm(prompt)

    async def prewarm(self, prompt: Prompt) -> None:
        """Read the stable part of *prompt*, unless most of it has been read.

        Reading cannot be interrupted: who is cancelled here waits until it is done.
        """
        if self._model is None or not self._anchors.unread(prompt, AHEAD):
            return
        await self._read_ahead(Prompt(prompt.stable, prompt.tail[:1]))

    def _perform(self, job: Job) -> None:
        if job.ahead and not self._anchors.unread(job.request.prompt, AHEAD):
            return
        if job.request.sampling.temperature > 0 and job.request.sampling.seed is not None:
            self._reseed(job.request.sampling.seed)
        request = job.wish(self._words.padding)
        question, first = self._batch(job, request)
        if not job.refused:
            return
        # The likeliest token of all was none of those asked for: take theirs and go on.
        logits = _floats(first.logits[0][question.given])
        token = likeliest(logits, request.first_ids)
        job.hand_over(replace(token, odds=Logits(logits) if job.wants_odds else None))
        rest = self._network.after(request, token)
        if rest.max_new_tokens > 0 and not job.cancelled.is_set():
            self._batch(job, rest)

    def _batch(self, job: Job, request: GenerationRequest) -> tuple[Question, Any]:
        """Run one request through CTranslate2; its result, once it has left."""
        slack = AHEAD if job.ahead else SLACK
        question = self._question(request, lambda prompt: self._anchors.choose(prompt, slack))
        if self._anchors.bursts(question.anchor):
            self._reopen()
            if job.cancelled.is_set():  # that took a while
                return question, None
        return question, self._run(question, partial(_step, job, question.given))

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
                suppress_sequences=self._suppressed,
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

    def _emptied(self) -> None:
        self._anchors.forget()
        give_back()


def _step(job: Job, given: int, result: Any) -> bool:
    """Hand one token of CTranslate2's over; True stops it. Called on its thread."""
    if result.step < given:
        return job.cancelled.is_set()
    wanted = job.wants_odds and result.logits is not None
    odds = Logits(_floats(result.logits)) if wanted else None
    return job.take(Token(result.token_id, result.log_prob, odds=odds))


def _floats(logits: Any) -> NDArray[np.float32]:
    """The logits [vocabulary] of a step, on the CPU in float32."""
    import ctranslate2

    view = logits.to_device(ctranslate2.Device.cpu)
    return np.array(view.to(ctranslate2.DataType.float32)).reshape(-1)
