"""Text that nobody writes and every tool meets: each question about syntax is answered in time."""

from __future__ import annotations

import pytest

from codegen_lsp.completion.budget import plan
from codegen_lsp.completion.place import place_of
from codegen_lsp.completion.stopping import whole
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.collect import collect
from codegen_lsp.syntax.blocks import block_end, statement_end
from codegen_lsp.syntax.breaks import breaks
from codegen_lsp.syntax.expecting import expects
from codegen_lsp.syntax.near import inside
from codegen_lsp.syntax.outline import outline
from codegen_lsp.types import Snapshot, Trigger

LANGUAGES = ("python", "javascript", "typescript", "java", "go", "c", "cpp", "rust", "lua", "")
UNITS = (
    "\\",
    "\\n",
    '"',
    '"""',
    "'",
    "`",
    "${",
    "/*",
    "//",
    "#",
    "(",
    "{",
    ")",
    "=\\\n",
    "a.",
    "\t",
)
BEFORE = ("", 'x = """', "f('", "/* ", "def f():\n    ", 'return r"""')


@pytest.mark.timeout(60)
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("unit", UNITS)
def test_repetitions(unit: str, language: str) -> None:
    """Thousands of one sign in a row, in code and in what begins a string or a comment."""
    for begin in BEFORE:
        text = begin + unit * (1500 // len(unit))
        inside(text, language)
        expects(text, "\n", language)
        block_end(begin, text[:400], language)
        statement_end(begin, text[:400], language)
        breaks(text, "x = 1", "\n", language)
        outline(text, language)
        context = collect(Snapshot("file:///a", language, text), len(text), 1000)
        whole(plan(place_of(context), Trigger.AUTOMATIC, Settings()), text[:400])
