"""The texts that engines read in a benchmark, as token ids.

Ordinary code is the standard library's, which every machine has: for speed it matters little that
a model may have seen it. Knows tokenizers, no engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from codegen_lsp.errors import CorpusError
from codegen_lsp.evaluation.bench.rounds import Texts
from codegen_lsp.evaluation.positions import library_texts
from codegen_lsp.prompts.tokenizer import CodeTokenizer

__all__ = ["round_texts"]

CASES: Final = ("alpha", "beta", "gamma", "delta", "epsilon")

CASE: Final = (
    "def check_{0}(value):\n"
    '    """The part called {0} is what was expected."""\n'
    "    assert normalise(value, '{0}') == expected['{0}']\n"
    "    assert lengths['{0}'] == len(value.parts['{0}'])\n\n\n"
)


def round_texts(tokenizer: CodeTokenizer, tokens: int, rounds: int) -> list[Texts]:
    """A different text for each round, so that nothing of the one before helps.

    :raises CorpusError: this Python has no standard library in source form.
    """
    modules = [ids for text in library_texts() if len(ids := tokenizer.encode(text)) >= tokens]
    if not modules:
        raise CorpusError(
            f"no module of the standard library has {tokens} tokens of source",
            mend="install Python with its Lib folder",
        )
    repetitive = repetitive_text(tokenizer)
    return [Texts(_part(modules, number, tokens), repetitive) for number in range(rounds)]


def repetitive_text(tokenizer: CodeTokenizer) -> tuple[int, ...]:
    """Cases that are all alike, and the first line of one more."""
    whole = "".join(CASE.format(name) for name in CASES)
    return tuple(tokenizer.encode(whole + "def check_zeta(value):\n"))


def _part(modules: Sequence[Sequence[int]], number: int, tokens: int) -> tuple[int, ...]:
    """The *number*-th part: another module each time, and another place in it after that."""
    module = modules[number % len(modules)]
    turn = number // len(modules) + 1
    start = (turn * 997) % (len(module) - tokens + 1)
    return tuple(module[start : start + tokens])
