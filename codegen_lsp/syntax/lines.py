"""Lines: where they begin and end, how deep they are, and what belongs to the line below it.

Knows line ends, blanks and the comment signs of the language table. Parses nothing.
"""

from __future__ import annotations

import re
from typing import Final

from codegen_lsp.syntax.languages import syntax_of

__all__ = ["above", "bare", "indent_of", "line_end", "line_start"]

TAB: Final = 8
"""Columns between two tab stops, as Python counts them."""

_LONGEST_COMMENT: Final = 4_000

_ATTRIBUTES: Final = ("#[", "[[")
"""What begins a line above a definition that says something of it, in Rust and C++."""


_REMARK: Final = re.compile(r"[ \t]+#[^\n'\"]*\Z")


def bare(code: str) -> str:
    """Python code without blanks and without a comment at the end of its last line."""
    code = code.rstrip()
    found = _REMARK.search(code, line_start(code, len(code)))
    return code if found is None else code[: found.start()].rstrip() or code


def line_start(text: str, offset: int) -> int:
    """Where the line of *offset* begins."""
    return text.rfind("\n", 0, offset) + 1


def line_end(text: str, offset: int) -> int:
    """Where the line of *offset* ends, its line end included."""
    end = text.find("\n", offset)
    return len(text) if end < 0 else end + 1


def indent_of(line: str) -> int:
    """The columns of blanks that a line begins with."""
    blanks = line[: len(line) - len(line.lstrip(" \t"))]
    return len(blanks.expandtabs(TAB))


def above(text: str, start: int, language_id: str) -> int:
    """Where the comments and attributes begin that stand right above the line at *start*."""
    blanks = text[start : line_end(text, start)]
    deep = indent_of(blanks)
    signs = (*syntax_of(language_id).line_comment, *_ATTRIBUTES)
    while start > 0:
        before = line_start(text, start - 1)
        line = text[before : start - 1]
        said = line.strip()
        if said.endswith("*/"):
            begin = text.rfind("/*", max(0, before - _LONGEST_COMMENT), start)
            before = line_start(text, begin)
            if begin < 0 or text[before:begin].strip() or "*/" in text[begin : start - 3]:
                break
        elif not said.startswith(signs) or indent_of(line) != deep:
            break
        start = before
    return start
