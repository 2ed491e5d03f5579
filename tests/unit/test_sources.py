"""Which sources a prompt draws on: the user's word, else what pays for the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import codegen_lsp
from codegen_lsp.completion.sources import EVERY, PAYING, sources_for
from codegen_lsp.config.settings import ContextSource, Settings
from codegen_lsp.types import Origin


@pytest.mark.parametrize(
    ("model", "chosen", "sources"),
    [
        ("codegen-6M-mono", None, ("open", "similar", "header")),
        ("codegen-350M-mono", None, EVERY),
        ("codegen-6M-mono", ("imports",), ("imports",)),
        ("codegen-350M-mono", (), ()),
    ],
)
def test_the_settings_decide_and_else_the_model(
    model: str, chosen: tuple[ContextSource, ...] | None, sources: tuple[ContextSource, ...]
) -> None:
    """Nothing is a choice as well."""
    assert sources_for(model, Settings(context_sources=chosen)) == sources


def test_the_tables_name_what_there_is() -> None:
    """Every source of snippets, the header, and the model that ships."""
    assert set(EVERY) == {*(origin.value for origin in Origin), "header"}
    assert all(set(sources) <= set(EVERY) for sources in PAYING.values())
    folder = Path(codegen_lsp.__file__).parent / "models" / "bundled"
    manifest = json.loads((folder / "codegen-lsp.json").read_text(encoding="utf-8"))
    assert manifest["name"] in PAYING
