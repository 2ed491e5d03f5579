"""What an engine is: something that turns a prompt of token ids into a stream of token ids.

An engine knows no documents, no languages and no LSP. It does not decide when an answer is
whole (``completion.stopping`` does, by closing the stream) and it does not queue: callers keep
at most one job inside (``completion.scheduler``).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from codegen_lsp.types import GenerationRequest, Prompt, Token

__all__ = ["Engine", "EngineInfo"]


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine runs, for status lines, logs and reports."""

    engine: str
    """The engine's name in ``engines.table``, for example ``ct2``."""

    model: str
    device: str
    """``cpu``, ``cuda`` or a URL."""

    compute_type: str
    """The type the weights are multiplied in, for example ``int8_float32``."""

    threads: int
    """Threads used for one job; 0 where it does not apply."""

    context_length: int
    """Most tokens of prompt and answer together."""

    remote: bool = False
    """Whether prompts leave this machine, so that they must be scrubbed first."""


class Engine(Protocol):
    """The seam between a completion and whatever computes it."""

    @property
    def info(self) -> EngineInfo:
        """What runs here. Cheap; valid before the model is loaded (as far as known)."""
        ...

    async def load(self) -> None:
        """Load the weights, if they are not loaded yet. Never blocks the event loop.

        :raises ModelDamagedError: the folder is not a complete model.
        :raises EngineUnavailableError: library or device missing.
        """
        ...

    def generate(self, request: GenerationRequest) -> AsyncGenerator[Token, None]:
        """Tokens as they are computed; ``aclose()`` cancels before the next step.

        Ends after ``max_new_tokens``, at end-of-text, or at a stop id (neither is yielded).
        After ``aclose()`` returned, the engine is free for the next job.

        :raises GenerationError: the engine failed.
        """
        ...

    def warm(self, prompt: Prompt) -> int:
        """How many tokens at the beginning of *prompt* need not be read again. Cheap; a guess."""
        ...

    async def prewarm(self, prompt: Prompt) -> None:
        """Read the stable part of *prompt* now, so that the next request need not.

        Loads nothing, fails silently; does nothing in an engine that keeps nothing. It is a job
        like any other: who is cancelled here leaves the engine as soon as it lets go.
        """
        ...

    async def close(self) -> None:
        """Cancel what runs, wait for it, free the memory. Idempotent; never hangs."""
        ...
