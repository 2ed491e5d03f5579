"""From what a model said to what is worth showing: clean-up, the gate, the line ends.

Knows drafts and probabilities. Does not know where the words came from: the engine a moment ago,
or the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen_lsp.completion.budget import Plan
from codegen_lsp.completion.cleanup import PART_STEPS, STEPS, Draft, Tidy, tidy
from codegen_lsp.completion.gate import LIMITS, align, confidence, select
from codegen_lsp.completion.generation import Generated
from codegen_lsp.context.window import to_line_end
from codegen_lsp.types import (
    Completion,
    CompletionContext,
    CompletionQuery,
    Piece,
    Source,
    Timings,
    Trigger,
)

__all__ = ["Judge", "Shown", "completion_of"]


@dataclass(frozen=True, slots=True)
class Judge:
    """What an answer is judged by."""

    plan: Plan
    context: CompletionContext
    suggestions: str
    """The setting of that name."""

    weights: Sequence[float]
    """The gate's."""

    def judge(self, generated: Generated) -> Shown | None:
        """As much of an answer as can stand there and is likely enough; all where it was asked for.

        On the thread of a worker, because this parses.
        """
        answer = generated.conclude()
        draft = Draft(answer.text, self.plan, self.context, answer.end)
        tidied = tidy(draft)
        pieces = () if tidied is None else align(generated.pieces, tidied.text)
        if tidied is None or not pieces:
            return None if tidied is None else Shown(tidied, (), None)
        asked = self.plan.trigger is Trigger.INVOKED
        part = select(pieces, LIMITS["eager" if asked else self.suggestions], self.weights)
        if part is not None and part.text != tidied.text:
            # What is left may close other brackets, or begin a block that now has no body.
            goes_on = not part.ends_line and "\n" not in part.text
            tidied = tidy(draft.to(part.text), PART_STEPS if goes_on else STEPS)
        if part is None or tidied is None:
            return None
        return Shown(tidied, align(part.pieces, tidied.text), confidence(part, self.weights))


@dataclass(frozen=True, slots=True)
class Shown:
    """What passed."""

    tidy: Tidy
    pieces: tuple[Piece, ...]
    confidence: float | None


def completion_of(
    query: CompletionQuery,
    shown: Shown,
    generated: Generated,
    context: CompletionContext,
    source: Source,
    model: str,
    timings: Timings,
) -> Completion:
    """What the editor is told, in the document's line ends."""
    return Completion(
        text=to_line_end(shown.tidy.text, context.line_end),
        start=query.offset,
        end=query.offset + shown.tidy.replaced,
        source=source,
        model=model,
        log_prob=generated.log_prob,
        confidence=shown.confidence,
        pieces=shown.pieces,
        timings=timings,
    )
