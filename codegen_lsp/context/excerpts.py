"""Excerpts: which lines of a page show what it defines.

Of a function its signature and the first lines of its body, or the signature alone; of a class the
signatures of its members. Knows outlines and rows of lines, nothing of why something is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from codegen_lsp.context.pages import Page
from codegen_lsp.syntax.outline import Definition, signature_of

__all__ = ["UNUSED", "definition_rows", "module_rows"]

UNUSED: Final = 100.0
"""The distance of a name that is not used near the cursor."""

BODY_ROWS: Final = 10
"""Lines of a function that is defined elsewhere, the signature among them."""

SIGNATURE_ROWS: Final = 6
CLASS_ROWS: Final = 20
MODULE_ROWS: Final = 24

_FUNCTIONS: Final = frozenset({"function", "method"})
_DOCSTRING: Final = re.compile(r"""\s*[rRbBuU]{0,2}(?:\"\"\"|''')""")


def module_rows(
    page: Page, uses: Mapping[str, float], near: Mapping[str, float]
) -> tuple[int, ...]:
    """The lines that show what a module offers, those used nearest first."""
    rows: set[int] = set()
    for name in sorted(uses, key=lambda name: (uses[name], name)):
        for definition in _outermost(page.defined.get(name, ())):
            more = rows.union(_outline_rows(page, definition, near))
            if len(more) <= MODULE_ROWS:
                rows = more
    return tuple(sorted(rows))


def _outermost(found: Sequence[Definition]) -> list[Definition]:
    """The first two (overloads) of the outermost definitions of a name."""
    depth = min((definition.depth for definition in found), default=0)
    return [definition for definition in found if definition.depth == depth][:2]


def definition_rows(
    page: Page, definition: Definition, near: Mapping[str, float]
) -> tuple[int, ...]:
    """The lines that show a definition: its signature and the first lines of its body.

    Of a class, its members' signatures; of a method, the class that it is in, too.
    """
    if definition.kind not in _FUNCTIONS:
        return _outline_rows(page, definition, near)
    first = _signature_rows(page, definition).start
    rows = set(range(first, min(_rows(page, definition).stop, first + BODY_ROWS)))
    for outer in _around(page, definition):
        rows.add(_signature_rows(page, outer).start)
    return tuple(sorted(rows))


def _outline_rows(page: Page, definition: Definition, near: Mapping[str, float]) -> tuple[int, ...]:
    """The lines that show how something is used: signatures, and what is said of it."""
    rows = set(_head(page, definition))
    members = _members(page, definition) if definition.kind not in _FUNCTIONS else []
    if not members and definition.kind not in _FUNCTIONS:
        rows.update(range(min(rows), min(_rows(page, definition).stop, min(rows) + BODY_ROWS)))
    members.sort(key=lambda member: near.get(member.name, UNUSED))
    for member in members:
        more = rows.union(_head(page, member))
        if len(more) <= CLASS_ROWS:
            rows = more
    return tuple(sorted(rows))


def _head(page: Page, definition: Definition) -> list[int]:
    """The lines of a signature and the first one of a docstring."""
    rows = _signature_rows(page, definition)
    after = rows.stop < len(page.lines) and rows.stop < _rows(page, definition).stop
    said = after and page.language_id == "python" and _DOCSTRING.match(page.lines[rows.stop])
    return [*rows, rows.stop] if said else list(rows)


def _members(page: Page, definition: Definition) -> list[Definition]:
    """What stands directly in a class and is not private."""
    return [
        member
        for member in ([] if page.outline is None else page.outline.definitions)
        if member.depth == definition.depth + 1
        and definition.start < member.start < definition.end
        and (not member.name.startswith("_") or member.name == "__init__")
    ]


def _around(page: Page, definition: Definition) -> Iterator[Definition]:
    """The classes a definition stands in."""
    for outer in () if page.outline is None else page.outline.definitions:
        inside = outer.start <= definition.start and definition.end <= outer.end
        if inside and outer.depth < definition.depth and outer.kind not in _FUNCTIONS:
            yield outer


def _rows(page: Page, definition: Definition) -> range:
    return range(page.line_at(definition.start), page.line_at(max(0, definition.end - 1)) + 1)


def _signature_rows(page: Page, definition: Definition) -> range:
    """The lines of a signature, at most :data:`SIGNATURE_ROWS`."""
    signature = signature_of(page.text, definition).rstrip()
    start = max(page.text.find(signature, definition.start, definition.end), definition.start)
    first = page.line_at(start)
    last = page.line_at(start + max(0, len(signature) - 1))
    return range(first, min(last + 1, first + SIGNATURE_ROWS))
