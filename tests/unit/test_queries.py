"""The queries: what they must not ask."""

from __future__ import annotations

import re

import pytest

from codegen_lsp.syntax import queries

PATTERNS = {
    f"{table}:{grammar}": pattern
    for table in ("DEFINITIONS", "IMPORTS")
    for grammar, pattern in getattr(queries, table).items()
}


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_no_query_reads_the_text(pattern: str) -> None:
    """A predicate would read it through the parser's callback, which ends the process (0.26)."""
    assert not re.search(r"#[\w-]+\?", pattern)
