"""The table of families."""

from __future__ import annotations

import pytest

from codegen_lsp.errors import ModelDamagedError
from codegen_lsp.prompts.families import FAMILIES, family_of
from codegen_lsp.prompts.infill import FORMATS
from codegen_lsp.types import CompletionContext
from tests.support.marks import MARKS, family_tokenizer


def test_families() -> None:
    """The table is known by name; an unknown family says what there is."""
    assert all(family_of(name).name == name for name in FAMILIES)
    assert set(FAMILIES) == {"causal", *FORMATS} == set(MARKS)
    with pytest.raises(ModelDamagedError, match="known: causal, codegen2, "):
        family_of("t5")


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_prepares_its_own_prompts(name: str) -> None:
    """An entry's format is the one of its name: its marks are all in its own tokenizer."""
    tokenizer = family_tokenizer(name)
    prompt = family_of(name).prepare(CompletionContext("a", "b"), tokenizer, 64)
    said = tokenizer.render(prompt.prompt.tokens)
    assert ("b" in said) is (name != "causal")
