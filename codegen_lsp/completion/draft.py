"""A draft: an answer on its way through the clean-up, and what the steps are made of.

Knows nothing of what the steps do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from codegen_lsp.completion.budget import Plan
from codegen_lsp.completion.place import Place
from codegen_lsp.completion.stopping import End
from codegen_lsp.types import CompletionContext

__all__ = ["Draft", "Step"]


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer on its way through the steps."""

    text: str
    plan: Plan
    context: CompletionContext
    end: End

    replaced: int = 0
    """How many characters after the cursor the text replaces."""

    def to(self, text: str) -> Draft:
        """The same draft with another text."""
        return self if text == self.text else replace(self, text=text)

    @property
    def place(self) -> Place:
        """Where the answer is to stand."""
        return self.plan.place


Step = Callable[[Draft], Draft]
"""A pure function; an empty text stays empty."""
