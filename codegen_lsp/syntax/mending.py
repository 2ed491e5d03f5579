"""Mending: definitions in text that is not finished, where the tree has lost them.

Where indentation counts, it says what stands in what, whatever a line holds; where braces count,
those that are missing at the end of the text are put there. Knows one text; does not know which
line the cursor is in.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from codegen_lsp.syntax.brackets import closers
from codegen_lsp.syntax.lines import above, indent_of, line_end, line_start

if TYPE_CHECKING:
    from codegen_lsp.syntax.grammars import Parsed
    from codegen_lsp.syntax.outline import Definition, Kind

__all__ = ["by_indentation", "with_closers"]

_DEFINITION: Final = re.compile(r"^([ \t]*)(?:async[ \t]+)?(def|class)[ \t]+(\w+)", re.MULTILINE)
_SIGNATURE: Final = re.compile(r"[()\[\]{}:\n]|#[^\n]*|'[^'\n]*'|\"[^\"\n]*\"")
_LINE: Final = re.compile(r"^[ \t]*(?=[^\s)\]}])", re.MULTILINE)
_DECORATOR: Final = re.compile(r"[ \t]*@\w")
_LONGEST_SIGNATURE: Final = 4_000


def with_closers(parsed: Parsed) -> Parsed | None:
    """The tree of the same text with the closing brackets that it lacks at its end, if any."""
    from codegen_lsp.syntax import grammars

    missing = closers(parsed)
    return grammars.parse(f"{parsed.text}\n{missing}\n", parsed.grammar) if missing else None


def by_indentation(parsed: Parsed, found: Sequence[Definition]) -> list[Definition]:
    """The definitions of a Python text: functions and classes by indentation, the others as
    *found* in its tree.
    """
    text = parsed.text
    strings = _strings(parsed)
    lines = [(at, line) for at, line in _lines(text) if not _inside(at, strings)]
    blocks = [
        block
        for match in _DEFINITION.finditer(text)
        if not _inside(match.start(), strings)
        for block in [_block(text, match, lines)]
    ]
    rest = [one for one in found if one.kind in ("variable", "type")]
    merged = sorted([*blocks, *rest], key=lambda one: (one.start, -one.end))
    return _with_depths(merged)


def _strings(parsed: Parsed) -> list[tuple[int, int]]:
    from codegen_lsp.syntax import grammars

    nodes = grammars.captures(parsed, "(string) @string").get("string", [])
    return sorted((node.start_byte, node.end_byte) for node in nodes)


def _inside(at: int, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether an offset is inside one of some spans, which are in order."""
    place = bisect_left(spans, (at, 0))
    return place > 0 and at < spans[place - 1][1]


def _lines(text: str) -> list[tuple[int, int]]:
    """Where lines that hold something begin, and their columns of indentation."""
    return [(found.start(), indent_of(found.group())) for found in _LINE.finditer(text)]


def _block(text: str, match: re.Match[str], lines: Sequence[tuple[int, int]]) -> Definition:
    from codegen_lsp.syntax.outline import Definition

    head, columns = match.start(), indent_of(match.group(1))
    colon = _colon(text, match.end())
    first = line_end(text, match.end() if colon is None else colon)
    one_line = colon is not None and text[colon : line_end(text, colon)].strip(": \t\r\n")
    end = first
    for place in range(bisect_left(lines, (first, 0)), len(lines)):
        at, deep = lines[place]
        if deep <= columns or one_line:
            break
        end = line_end(text, at)
    body = colon if one_line else first
    kind: Kind = "class" if match.group(2) == "class" else "function"
    start = _decorated(text, head)
    bare = head if head > start else None
    return Definition(match.group(3), kind, start, end, None if colon is None else body, 0, bare)


def _colon(text: str, at: int) -> int | None:
    """Behind the colon that ends a signature; ``None`` if there is none to be seen."""
    depth = 0
    for found in _SIGNATURE.finditer(text, at, at + _LONGEST_SIGNATURE):
        sign = found.group()
        if sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif sign == ":" and depth <= 0:
            return found.end()
        elif sign == "\n" and depth <= 0:
            return None
    return None


def _decorated(text: str, head: int) -> int:
    """Where decorators and comments above a definition begin."""
    start = above(text, head, "python")
    while start > 0:
        before = line_start(text, start - 1)
        if not _DECORATOR.match(text, before, start):
            break
        start = above(text, before, "python")
    return start


def _with_depths(found: Sequence[Definition]) -> list[Definition]:
    outer: list[Definition] = []
    nested = []
    for one in found:
        while outer and not (outer[-1].start <= one.start and one.end <= outer[-1].end):
            outer.pop()
        kind = one.kind
        if kind == "function" and outer and outer[-1].kind == "class":
            kind = "method"
        one = replace(one, kind=kind, depth=len(outer))
        nested.append(one)
        outer.append(one)
    return nested
