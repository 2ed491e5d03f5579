"""Which sources of context a prompt draws on where the settings leave it open.

Knows what was measured to pay for which model. Does not know how code is found.

The table is the outcome of ``eval replay`` and of the likelihood of hidden lines
(``python -m tests.bench.sources``): a model of six million parameters predicts the next line
better with code that is like the code before the cursor, and no better, rather worse, with
definitions and signatures of imported modules before it. No larger model was measured: they are
given everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from codegen_lsp.config.settings import ContextSource, Settings

__all__ = ["EVERY", "PAYING", "sources_for"]

EVERY: Final[tuple[ContextSource, ...]] = ("open", "imports", "definitions", "similar", "header")

PAYING: Final[Mapping[str, tuple[ContextSource, ...]]] = {
    "codegen-6M-mono": ("open", "similar", "header"),
}
"""By the model's name, as its manifest gives it."""


def sources_for(model: str, settings: Settings) -> tuple[ContextSource, ...]:
    """The sources for *model*: those of the settings, else those that pay for it."""
    if settings.context_sources is not None:
        return settings.context_sources
    return PAYING.get(model, EVERY)
