"""An engine that answers from a table: for tests, and for trying a client without a model.

Keeps the contract of ``base.Engine`` and computes nothing; probabilities are told to it as well.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from codegen_lsp.engines.base import EngineInfo
from codegen_lsp.types import GenerationRequest, Prompt, Token

__all__ = ["ScriptedEngine"]

Answers = Mapping[tuple[int, ...], Sequence[int]] | Callable[[GenerationRequest], Sequence[int]]


class ScriptedEngine:
    """Yields what *answers* gives for a prompt; nothing for a prompt it does not know.

    *answers* maps the whole prompt, or is called with the request; what it raises is raised to
    the reader of the stream. *delay* seconds pass before each token; with a *gate*, each token
    waits until the gate is open. *log_probs* are those of the tokens, in order; the rest has none.
    One that *keeps* has stable parts warm once it has read them.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        delay: float = 0.0,
        gate: asyncio.Event | None = None,
        log_probs: Sequence[float] = (),
        remote: bool = False,
        keeps: bool = False,
    ) -> None:
        self.requests: list[GenerationRequest] = []
        """Every request, in order."""
        self.cancelled = 0
        """How many streams were closed before their end."""
        self.loads = 0
        """How often :meth:`load` was called."""
        self.prewarmed: list[Prompt] = []
        """What :meth:`prewarm` was given, in order."""
        self.closed = False
        self._answers = answers
        self._delay = delay
        self._gate = gate
        self._log_probs = log_probs
        self._remote = remote
        self._kept: set[tuple[int, ...]] | None = set() if keeps else None

    @property
    def info(self) -> EngineInfo:
        """A context of 2048 tokens on no device."""
        return EngineInfo("scripted", "scripted", "none", "none", 0, 2048, self._remote)

    async def load(self) -> None:
        """Nothing to load; counted."""
        self.loads += 1

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Token, None]:
        """The scripted tokens, up to ``max_new_tokens`` or the first stop id."""
        self.requests.append(request)
        self._keep(request.prompt.stable)
        try:
            said = self._answer(request)[: request.max_new_tokens]
            for token, log_prob in itertools.zip_longest(said, self._log_probs[: len(said)]):
                await asyncio.sleep(self._delay)
                if self._gate is not None:
                    await self._gate.wait()
                if token in request.stop_ids:
                    return
                yield Token(token, log_prob)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise

    def _answer(self, request: GenerationRequest) -> Sequence[int]:
        if isinstance(self._answers, Mapping):
            return self._answers.get(request.prompt.tokens, ())
        return self._answers(request)

    def warm(self, prompt: Prompt) -> int:
        """What :meth:`prewarm` was given, and what was generated from, needs no reading."""
        if self._kept is None:
            return 0
        return next((len(one) for one in self._kept if one and prompt.tokens[: len(one)] == one), 0)

    async def prewarm(self, prompt: Prompt) -> None:
        """Remembered in :attr:`prewarmed`."""
        self.prewarmed.append(prompt)
        if self._kept is not None:
            await asyncio.sleep(self._delay)
            self._keep(prompt.stable)

    def _keep(self, tokens: tuple[int, ...]) -> None:
        if self._kept is not None:
            self._kept.add(tokens)

    async def close(self) -> None:
        """Nothing to free; remembered."""
        self.closed = True
