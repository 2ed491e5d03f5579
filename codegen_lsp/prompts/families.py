"""Families: which prompt format a model was trained on. The table is the whole list.

Knows names and formats. Does not know which model belongs to which family (its manifest does).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from codegen_lsp.errors import ModelDamagedError
from codegen_lsp.prompts import causal, infill
from codegen_lsp.prompts.causal import PreparedPrompt
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.types import CompletionContext

__all__ = ["FAMILIES", "Family", "family_of"]

Prepare = Callable[[CompletionContext, CodeTokenizer, int], PreparedPrompt]


@dataclass(frozen=True, slots=True)
class Family:
    """A prompt format."""

    name: str
    """As manifests write it."""

    prepare: Prepare
    """A context, the tokenizer and the most tokens allowed, to a prompt."""

    apart: bool = False
    """Whether prompt and answer have a context each, as an encoder-decoder's do."""


FAMILIES: Final[Mapping[str, Family]] = {
    "causal": Family("causal", causal.prepare),
    "codegen2": Family("codegen2", functools.partial(infill.prepare, "codegen2")),
    "codegen25": Family("codegen25", functools.partial(infill.prepare, "codegen25")),
    "starcoder": Family("starcoder", functools.partial(infill.prepare, "starcoder")),
    "santacoder": Family("santacoder", functools.partial(infill.prepare, "santacoder")),
    "codet5p": Family("codet5p", functools.partial(infill.prepare, "codet5p"), apart=True),
}


def family_of(name: str) -> Family:
    """The family called *name*.

    :raises ModelDamagedError: there is none of that name.
    """
    if name not in FAMILIES:
        raise ModelDamagedError(
            f"unknown model family {name!r}; known: {', '.join(FAMILIES)}",
            mend="update codegen-lsp, or mend the model's manifest",
        )
    return FAMILIES[name]
