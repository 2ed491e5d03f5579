"""CTranslate2, several sequences at a time: what the team's server computes with.

Knows how a decoder is opened for several workers, how a batch is run and left, and how a text is
scored. Blocks: callers bring threads, one per worker. Does not know who waits for an answer, which
sequences go well together (``team.batching`` does), or text.

CTranslate2 reads what the shortest prompt of a batch and the others have in length at once, and
the rest of the longer ones token by token; it takes no sequence into a batch that runs. A sequence
leaves when its callback says so, and the batch is narrower from then on. Nothing is kept of what
was read (``ct2`` does that for one user): what CTranslate2 keeps for many it would never forget.
"""

from __future__ import annotations

import contextlib
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.engines.base import EngineInfo
from codegen_lsp.engines.ct2_loading import check_files, open_model, weights_size
from codegen_lsp.engines.ct2_networks import network_of
from codegen_lsp.engines.ct2_support import give_back
from codegen_lsp.engines.hardware import MOST_THREADS, SMALL, default_threads, machine
from codegen_lsp.engines.local import CLOSE_SECONDS
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.engines.vocabulary import Words, read_words
from codegen_lsp.errors import EngineUnavailableError, GenerationError
from codegen_lsp.types import Sampling

__all__ = ["BatchModel", "Step", "Take", "workers_and_threads"]


@dataclass(frozen=True, slots=True)
class Step:
    """One token of one sequence of a batch."""

    token: int

    log_prob: float
    """Natural logarithm of the probability it was drawn with."""

    logits: NDArray[np.float32] | None
    """[vocabulary], where they were asked for; what comes of temperature is not in them."""


Take = Callable[[int, Step], bool]
"""Called with the place of a sequence in its batch and its next token; True ends that sequence.
On a thread of CTranslate2's, which waits."""

_SEED_BITS: Final = 31


def workers_and_threads(weights: int | None, cores: int) -> tuple[int, int]:
    """How many batches run at a time on *cores*, and with how many threads each.

    A small model computes faster on one thread, so that each core has a batch of its own, and a
    copy of the weights; a large one is read from memory at each step, which one batch of many
    sequences does once for all.
    """
    if weights is not None and weights < SMALL:
        return max(1, min(cores, MOST_THREADS)), 1
    return 1, max(1, cores)


class BatchModel:
    """A decoder's folder, opened for batches. Threads may share it."""

    def __init__(self, spec: EngineSpec) -> None:
        """Open the model in *spec*; ``spec.threads`` are those of all workers together.

        :raises ModelDamagedError: the folder is not a complete model.
        :raises EngineUnavailableError: library, device or memory missing, or no decoder.
        """
        if spec.architecture != "decoder":
            raise EngineUnavailableError(
                f"{spec.name} is an encoder-decoder, which answers one at a time",
                mend="serve a model that is a decoder",
            )
        self._spec = spec
        self._network = network_of(spec.architecture)
        weights = weights_size(spec)
        cores = spec.threads or max(default_threads(machine()), machine().usable_cores)
        self.workers, self._threads = workers_and_threads(weights, cores)
        self.seeds: Final = weights is not None and weights < SMALL
        """Whether draws can be repeated: that takes a model opened for it alone."""
        check_files(spec.folder, self._network)
        self._words: Words = read_words(
            spec.folder, self._network.vocabulary, self._network.padding
        )
        self._suppressed = [[self._words.all[i]] for i in sorted(self._words.padding)] or None
        self._seeding = threading.Lock()
        self._closed = False
        self._closing = threading.Lock()
        first = self._open()
        self._device, self._compute_type = str(first.device), str(first.compute_type)
        if self._device != "cpu":
            self.workers = 1  # what two workers of a GPU would compute, one does in one batch
        self._free: queue.LifoQueue[Any] = queue.LifoQueue()
        """Models that nobody uses, one for each worker."""
        for model in (first, *(self._open() for _ in range(self.workers - 1))):
            self._free.put(model)

    def _open(self) -> Any:
        return open_model(self._spec, self._network, self._words, self._threads)

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[Any]:
        model = self._free.get()
        try:
            if self._closed:
                raise GenerationError("the engine was closed", mend="open the model again")
            yield model
        finally:
            self._free.put(model)

    @property
    def info(self) -> EngineInfo:
        """What runs here."""
        return EngineInfo(
            "ct2",
            self._spec.name,
            self._device,
            self._compute_type,
            self._threads * self.workers,
            self._spec.context_length,
        )

    @property
    def end(self) -> int:
        """The id of end-of-text."""
        return self._words.end

    def accepts(self, token: int) -> bool:
        """Whether *token* is one that a prompt may hold."""
        return 0 <= token < len(self._words.all) and token not in self._words.padding

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        most: int,
        sampling: Sampling,
        take: Take,
        *,
        logits: bool = False,
    ) -> None:
        """Run one batch to its end: until each of *prompts* (not empty) has *most* tokens, came to
        end-of-text, which is no token, or was ended by *take*.

        A seed makes the draws of this batch repeatable; see :attr:`seeds`.

        :raises GenerationError: CTranslate2 failed, or a prompt holds what is no token.
        """
        if sampling.temperature > 0 and sampling.seed is not None:
            self._seeded(prompts, most, sampling, take, logits)
            return
        with self._borrowed() as model:
            self._run(model, prompts, most, sampling, take, logits)

    def _seeded(
        self,
        prompts: Sequence[Sequence[int]],
        most: int,
        sampling: Sampling,
        take: Take,
        logits: bool,
    ) -> None:
        """CTranslate2 seeds a worker when it first draws, and never again: this takes a new one."""
        import ctranslate2

        if not self.seeds:
            raise GenerationError(
                f"draws of {self._spec.name} cannot be repeated", mend="ask without a seed"
            )
        with self._seeding:
            model = self._open()
            ctranslate2.set_random_seed((sampling.seed or 0) % (1 << _SEED_BITS))
            try:
                self._run(model, prompts, most, sampling, take, logits)
            finally:
                # A worker that has not drawn yet must not draw what was drawn here.
                ctranslate2.set_random_seed(secrets.randbits(_SEED_BITS))

    def _run(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        most: int,
        sampling: Sampling,
        take: Take,
        logits: bool,
    ) -> None:
        greedy = sampling.temperature <= 0

        def step(result: Any) -> bool:
            found = _floats(result.logits) if logits and result.logits is not None else None
            return take(result.batch_id, Step(result.token_id, result.log_prob, found))

        try:
            model.generate_batch(
                [self._named(prompt) for prompt in prompts],
                max_length=most,
                include_prompt_in_result=False,
                return_scores=True,
                return_logits_vocab=logits,
                end_token=[self._words.end],
                suppress_sequences=self._suppressed,
                sampling_topk=1 if greedy else sampling.top_k,
                sampling_topp=1.0 if greedy else sampling.top_p,
                sampling_temperature=1.0 if greedy else sampling.temperature,
                callback=step,
            )
        except (RuntimeError, ValueError, MemoryError) as error:
            raise GenerationError(
                f"CTranslate2 failed: {error}", mend="restart the server"
            ) from error

    def score(self, prompt: Sequence[int]) -> NDArray[np.float32]:
        """Log-probabilities [tokens, vocabulary]: row *i* is what follows ``prompt[: i + 1]``.

        :raises GenerationError: CTranslate2 failed.
        """
        import ctranslate2

        named = [self._named(prompt)]
        try:
            with self._borrowed() as model:
                scored = model.forward_batch(named, return_log_probs=True)
            host = scored.to_device(ctranslate2.Device.cpu).to(ctranslate2.DataType.float32)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise GenerationError(
                f"CTranslate2 failed: {error}", mend="restart the server"
            ) from error
        rows: NDArray[np.float32] = np.array(host, dtype=np.float32)[0]
        return rows

    def close(self) -> None:
        """Wait for what runs, at most some seconds, and free the memory. Idempotent; final."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            deadline = time.monotonic() + CLOSE_SECONDS
            with contextlib.suppress(queue.Empty):
                for _ in range(self.workers):
                    self._free.get(timeout=max(0.0, deadline - time.monotonic()))
            self._free.put(None)  # whoever comes later finds it closed
        give_back()

    def _named(self, prompt: Sequence[int]) -> list[str]:
        wrong = next((i for i in prompt if not self.accepts(i)), None)
        if wrong is not None:
            raise GenerationError(
                f"token id {wrong} is not in the model's vocabulary of {len(self._words.all)}",
                mend="use the tokenizer that belongs to the model",
            )
        return [self._words.all[i] for i in prompt]


def _floats(logits: Any) -> NDArray[np.float32]:
    """The logits [vocabulary] of a step, on the CPU in float32."""
    import ctranslate2

    view = logits.to_device(ctranslate2.Device.cpu)
    return np.array(view.to(ctranslate2.DataType.float32)).reshape(-1)
