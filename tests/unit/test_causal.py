"""Prompts of causal models: budget, cut and healing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.errors import ModelDamagedError
from codegen_lsp.prompts.causal import LONGEST_TAIL, SHORTEST_TAIL, prepare
from codegen_lsp.prompts.families import FAMILIES, family_of
from codegen_lsp.types import CompletionContext
from tests.support.cursor import word_tokenizer

TOKENIZER = word_tokenizer([".append", "return", " self", "\n        "])
EOS = TOKENIZER.eos_id


@given(st.text("ab.( \n", max_size=300), st.integers(1, 200), st.booleans())
def test_prompt_is_the_end_of_the_prefix(prefix: str, budget: int, start: bool) -> None:
    """A prompt fits its budget, is never empty, and says the text before the cursor."""
    context = CompletionContext(prefix, "", starts_document=start)
    prepared = prepare(context, TOKENIZER, budget)
    whole = prepared.unhealed or prepared.prompt
    assert 1 <= len(whole) <= budget
    assert prefix.endswith(TOKENIZER.decode(whole.tokens))
    assert TOKENIZER.decode(prepared.prompt.tokens) + prepared.healed == TOKENIZER.decode(
        whole.tokens
    )
    assert prepared.prompt.tail


@pytest.mark.parametrize(
    ("prefix", "healed"),
    [
        ("self._items.", "."),
        ("    retu", "retu"),
        ("x = ", " "),
        ("return", ""),
        ("if a:\n        ", ""),
        ("if a:\n    ", ""),
        ("if a:\n", ""),
        ("", ""),
        (".", "."),
    ],
)
def test_healing(prefix: str, healed: str) -> None:
    """What a longer token would begin with is left out, except at the beginning of a line."""
    prepared = prepare(CompletionContext(prefix, ""), TOKENIZER, 100)
    assert prepared.healed == healed
    assert (prepared.unhealed is None) is (not healed)


def test_a_documents_beginning_is_told() -> None:
    """The end-of-text token comes first where nothing was cut, and only there."""
    assert prepare(CompletionContext("", ""), TOKENIZER, 10).prompt.tokens == (EOS,)
    context = CompletionContext("a\n" * 20, "")
    assert prepare(context, TOKENIZER, 100).prompt.tokens[0] == EOS
    assert prepare(context, TOKENIZER, 20).prompt.tokens[0] != EOS


def test_stable_part_ends_before_a_line_break() -> None:
    """The tail begins with a line end and is long enough, but not too long."""
    prefix = "".join(f"line {i}\n" for i in range(50))
    prompt = prepare(CompletionContext(prefix, ""), TOKENIZER, 500).prompt
    assert TOKENIZER.decode(prompt.tail).startswith("\n")
    assert SHORTEST_TAIL <= len(prompt.tail) <= LONGEST_TAIL
    again = prepare(CompletionContext(prefix + "a", ""), TOKENIZER, 500).prompt
    assert again.stable == prompt.stable


def test_without_line_breaks_nothing_is_stable() -> None:
    """One long line has no place to cut at."""
    assert prepare(CompletionContext("ab" * 100, ""), TOKENIZER, 500).prompt.stable == ()


def test_a_long_prompt_keeps_its_beginning_while_one_types() -> None:
    """A prompt over its budget is cut in coarse steps."""
    prefix = "".join(f"line {i}\n" for i in range(200))
    starts = set()
    for typed in range(30):
        prompt = prepare(CompletionContext(prefix + "a" * typed, ""), TOKENIZER, 400).prompt
        starts.add(TOKENIZER.decode(prompt.tokens)[:12])
    assert len(starts) <= 2


def test_families() -> None:
    """The table is known by name; an unknown family says what there is."""
    assert all(family_of(name).name == name for name in FAMILIES)
    with pytest.raises(ModelDamagedError, match="known: causal"):
        family_of("t5")
