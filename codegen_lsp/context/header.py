"""The header of a cursor: what of a long document a prompt must say wherever it begins.

Knows imports, the signatures around the cursor, and where a text is cut best. Does not know how
much of that there is room for, nor tokens.

*What is read* is the document without what the cursor's line says: so what is found stays the same
while one types in that line, is found once for a line, and half a statement breaks no parse. Where
indentation says what stands in what, nothing behind that line is read at all.

*Where there is no grammar*, and in texts too long to be parsed between two keystrokes, imports are
what looks like one, and scopes are told by indentation.
"""

from __future__ import annotations

import functools
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from codegen_lsp.context.looks import (
    IMPORTS_WITHIN,
    SCOPES_WITHIN,
    imports_like,
    scopes_like,
    starts_like,
)
from codegen_lsp.context.window import plain
from codegen_lsp.syntax.latest import latest
from codegen_lsp.syntax.outline import Outline, cut_points, outline, scopes_at, signature_of
from codegen_lsp.types import Kept

__all__ = ["Header", "header_at"]

IMPORT_LINES: Final = 40
"""Most lines of imports that are kept."""

PARSED: Final = 50_000
"""Texts longer than this, in code points, are not parsed: each new line would take too long."""

NEAR: Final = 8_000
"""So far before the cursor a name counts as used."""

_REMEMBERED: Final = 8

_LINE_END: Final = re.compile(r"\r\n?|\n")

_INDENT: Final = re.compile(r"[ \t]*")

_BELOW: Final = re.compile(r"\s*[\r\n]([ \t]*)[^\s)\]}]")
"""Blank lines and the indentation of the one that follows them, unless it closes something."""

_WORD: Final = re.compile(r"[^\W\d]\w*")

_INDENTED: Final = frozenset({"python"})
"""Languages in which indentation counts."""

_IMPORT_WORDS: Final = frozenset(
    _WORD.findall(
        "as const crate default export extern from import include let mod package pub require"
        " static type use using var"
    )
)
"""Words of imports that name nothing."""


@dataclass(frozen=True, slots=True)
class Header:
    """Offsets are into the document."""

    kept: tuple[Kept, ...] = ()
    """Imports and signatures before the cursor's line, in their order."""

    starts: tuple[int, ...] = ()
    """Where definitions and top-level statements before that line begin, ascending."""


def header_at(text: str, offset: int, language_id: str) -> Header:
    """The header of a cursor at *offset* of *text*."""
    begin = 1 + max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset))
    found = _LINE_END.search(text, offset)
    end = found.start() if found else len(text)
    blanks = _indent(text[begin:end], offset - begin, text, end)
    room = PARSED - begin - len(blanks)
    rest = "" if language_id in _INDENTED or room < 0 else text[end:]
    if language_id not in _INDENTED and (not rest or rest.isspace()):
        rest = ";"  # nothing closes the bodies that are open: the line is in them if it says so
    if len(rest) > room:
        return _looked_at(text, begin, blanks, language_id)
    return _read(text[:begin], blanks, rest, language_id)


@latest
def _read(above: str, blanks: str, rest: str, language_id: str) -> Header:
    """The header below the lines *above*."""
    begin = len(above)
    found = _outline(f"{above}{blanks}{rest}", language_id)
    if found is None:
        return _looked_at(above, begin, blanks, language_id)
    outlined, cuts = found
    imports = _chosen(above, begin, list(_imports(above, begin, outlined, language_id)))
    scopes = list(_signatures(above, begin, begin + len(blanks), outlined))
    kept = sorted((*imports, *scopes), key=lambda one: one.offset)
    return Header(tuple(kept), tuple(cut for cut in cuts if cut < begin))


def _indent(line: str, column: int, text: str, end: int) -> str:
    """How deep the cursor is in: in a blank line as deep as the line that follows.

    So that an empty line in the midst of a body, which nobody indents, is in that body.
    """
    blanks = _INDENT.match(line, 0, column)
    if line.strip() or column:
        return blanks.group() if blanks else ""
    below = _BELOW.match(text, end)
    return below.group(1) if below else ""


@functools.lru_cache(maxsize=_REMEMBERED)
def _outline(text: str, language_id: str) -> tuple[Outline, tuple[int, ...]] | None:
    """What is found in *text* and where it is cut best; ``None`` without a grammar."""
    found = outline(text, language_id)
    return None if found is None else (found, cut_points(found, text))


def _imports(text: str, begin: int, found: Outline, language_id: str) -> Iterator[Kept]:
    """Each import before *begin* that is not inside a definition, as it would stand alone."""
    behind = 0
    for one in found.imports:
        if one.start < behind or one.end > begin or _inside(found, one.start):
            continue
        behind = one.end
        lines = textwrap.dedent(plain(text[one.start : one.end])).rstrip()
        if language_id == "go" and not lines.startswith("import"):
            lines = f"import {lines}"  # one of a group
        yield Kept(one.start, f"{lines}\n")


def _inside(found: Outline, offset: int) -> bool:
    return any(scope.kind != "variable" for scope in scopes_at(found, offset))


def _signatures(text: str, begin: int, offset: int, found: Outline) -> Iterator[Kept]:
    """What the definitions around *offset* begin with, outermost first."""
    for scope in scopes_at(found, offset):
        if scope.body is None or scope.body > begin:
            continue  # the cursor is in the signature itself
        head = scope.start if scope.head is None else scope.head
        yield Kept(head, plain(signature_of(text, scope)).rstrip() + "\n", opens=True)


def _looked_at(text: str, begin: int, blanks: str, language_id: str) -> Header:
    """The header by what lines look like."""
    head, recent = text[: min(begin, IMPORTS_WITHIN)], text[max(0, begin - SCOPES_WITHIN) : begin]
    return _looks(head, recent, begin, blanks, language_id)


@latest
def _looks(head: str, recent: str, begin: int, blanks: str, language_id: str) -> Header:
    """The same, by the beginning of a text and by what stands before *begin*."""
    before = begin - len(recent)
    imports = _chosen(recent, begin, imports_like(head, len(head), language_id), before)
    found = scopes_like(recent, len(recent), blanks)
    scopes = [replace(one, offset=before + one.offset) for one in found]
    kept = sorted((*imports, *scopes), key=lambda one: one.offset)
    return Header(tuple(kept), tuple(before + one for one in starts_like(recent, len(recent))))


def _chosen(text: str, begin: int, imports: Sequence[Kept], before: int = 0) -> list[Kept]:
    """Of *imports* as many lines as are kept: first those that are used near the cursor.

    *text* lacks so many characters *before* it.
    """
    sizes = [one.text.count("\n") for one in imports]
    if sum(sizes) <= IMPORT_LINES:
        return list(imports)
    behind = imports[-1].offset + len(imports[-1].text)
    near = max(behind, begin - NEAR) - before
    used = set(_WORD.findall(text, near, begin - before))
    order = sorted(range(len(imports)), key=lambda place: not _names(imports[place]) & used)
    room, chosen = IMPORT_LINES, []
    for place in order:
        if sizes[place] <= room:
            room -= sizes[place]
            chosen.append(place)
    return [imports[place] for place in sorted(chosen)]


def _names(one: Kept) -> set[str]:
    return set(_WORD.findall(one.text)) - _IMPORT_WORDS
