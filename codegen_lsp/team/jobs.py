"""One sequence on its way through the model, and the queue that has a limit.

Knows prompts, budgets and states. Does not know text, requests, or when a batch pays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from codegen_lsp.engines.ct2_batch import Step
from codegen_lsp.errors import CodegenError
from codegen_lsp.types import Sampling

__all__ = ["Job"]


@dataclass(eq=False, slots=True)
class Job:
    """One sequence. The batcher's threads run it; any thread may cancel it."""

    prompt: tuple[int, ...]
    """Token ids, at least one."""

    most: int
    """New tokens, at least 1."""

    sampling: Sampling

    take: Callable[[Step], bool]
    """Given each new token, on a thread of the model's; True: that was enough."""

    leave: Callable[[CodegenError | None], None]
    """Called once, when nothing comes any more: with ``None``, or with why it failed."""

    logits: bool = False
    """Whether the steps are to have theirs."""

    group: object = None
    """Jobs that must be drawn together: those of one seeded request."""

    made: list[int] = field(default_factory=list)
    """Tokens so far, the last of them not necessarily part of the answer."""

    cancelled: threading.Event = field(default_factory=threading.Event)
    began_at: float = 0.0
    """When it first was in a batch."""

    over: bool = False
    """Whether nothing comes any more."""

    gave_way: bool = False
    """Whether it was put off, and is to go on."""

    @property
    def kind(self) -> object:
        """Jobs of one kind can be in one batch."""
        seeded = self.sampling.temperature > 0 and self.sampling.seed is not None
        return (self.sampling, self.logits, self.group if seeded else None)

    @property
    def pinned(self) -> bool:
        """Whether it must be run in one go, because its draws are to be repeatable."""
        return self.sampling.temperature > 0 and self.sampling.seed is not None

    @property
    def text(self) -> list[int]:
        """What the model reads next: the prompt and what was made of it."""
        return [*self.prompt, *self.made]

    @property
    def left(self) -> int:
        """How many tokens may still come."""
        return self.most - len(self.made)

    def step(self, step: Step, end: int) -> bool:
        """Note a token; True ends the sequence."""
        if self.cancelled.is_set():
            return True
        if step.token == end:
            return True
        self.made.append(step.token)
        return self.take(step) or self.left <= 0

    def finish(self, failure: CodegenError | None = None) -> None:
        """Nothing comes any more; tells that once."""
        if not self.over:
            self.over = True
            self.leave(failure)
