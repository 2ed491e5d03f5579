"""Outlines: which names a text defines where, and what it imports.

Knows definitions and imports of the languages that have a grammar (:mod:`queries` has the table of
patterns). Of code that is not finished it finds what is left whole by tree-sitter's recovery;
:mod:`mending` finds the rest. Does not know what a name refers to, nor other files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from codegen_lsp.syntax.lines import above, indent_of, line_end, line_start
from codegen_lsp.syntax.queries import DEFINITIONS

if TYPE_CHECKING:
    from codegen_lsp.syntax.grammars import Parsed

__all__ = [
    "Definition",
    "Import",
    "Kind",
    "Outline",
    "cut_points",
    "outline",
    "scopes_at",
    "signature_of",
]

Kind = Literal["function", "method", "class", "variable", "type"]


@dataclass(frozen=True, slots=True)
class Definition:
    """A name that a text defines, and the whole lines that do."""

    name: str
    kind: Kind

    start: int
    """Offset of the beginning of the line of its first decorator, comment line above it, or
    modifier."""

    end: int
    """Offset behind its last line, the line end included where there is one."""

    body: int | None
    """Offset at which the body begins, behind its opening brace or at the beginning of its first
    line: ``text[start:body]`` is the signature. ``None`` where there is none, nor a block."""

    depth: int
    """How many definitions it stands in."""

    head: int | None = None
    """Offset of the line the signature itself begins on, behind decorators and comments;
    ``None`` if that is ``start``."""


@dataclass(frozen=True, slots=True)
class Import:
    """A statement, or a part of one, that imports from one module."""

    start: int
    """Offset of the beginning of the statement's first line."""

    end: int
    """Offset behind its last line, the line end included where there is one."""

    module: str
    """As written, without quotes: ``a.b``, ``..pkg``, ``./util``, ``stdio.h``, ``crate::x``."""

    names: tuple[str, ...]
    """The names imported, as the module calls them; ``*`` for all of them; empty for the module
    itself. A script's default import is called what the importer calls it."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What a text defines and imports."""

    definitions: tuple[Definition, ...]
    """In document order, at all depths."""

    imports: tuple[Import, ...]
    """In document order."""

    broken: bool
    """Whether some of the text could not be parsed."""

    statements: tuple[int, ...] = ()
    """Offsets of the lines on which top-level statements begin, comments above them included."""

    text: str = field(default="", repr=False)
    """What was read."""

    indented: bool = False
    """Whether indentation says what stands in what."""


_RANK: Final[dict[str, int]] = {"function": 0, "method": 0, "class": 1, "type": 2, "variable": 3}
"""Where several patterns find a name, the first of these kinds is what it is."""

_HOLDS_METHODS: Final = frozenset({"class", "type"})

_BY_NAME: Final = frozenset({"java", "javascript", "javascriptreact", "python"}) | {
    "typescript",
    "typescriptreact",
}
"""Languages in which decorators are a part of what they decorate: the signature's line is that of
the name."""

_HEADERS: Final = frozenset({"c", "cpp"})


@dataclass(slots=True)
class _Found:
    """What the patterns say of one name: offsets of nodes, not of lines."""

    name: str
    kind: str
    at: int
    start: int
    end: int
    body: int | None
    inside: int | None
    """Where what stands in it begins."""


def outline(text: str, language_id: str) -> Outline | None:
    """The outline of *text*; ``None`` where there is no grammar, and for text that is no code."""
    from codegen_lsp.syntax import grammars, imports, mending

    parsed = grammars.parse(text, language_id)
    if parsed is None:
        return None
    broken = parsed.root.has_error
    indented = parsed.grammar == "python"
    definitions = _definitions(parsed)
    if broken and indented:
        definitions = mending.by_indentation(parsed, definitions)
    elif broken and (closed := mending.with_closers(parsed)) is not None:
        more = [_within(one, len(text)) for one in _definitions(closed) if one.start < len(text)]
        definitions = more if len(more) >= len(definitions) else definitions
    return Outline(
        definitions=tuple(definitions),
        imports=tuple(Import(*found) for found in imports.imports(parsed)),
        broken=broken,
        statements=tuple(_statements(parsed)),
        text=text,
        indented=indented,
    )


def scopes_at(outline: Outline, offset: int) -> tuple[Definition, ...]:
    """The definitions around *offset*, outermost first.

    Where indentation counts, a blank line below a body belongs to it if the cursor is as deep.
    """
    text = outline.text
    start = line_start(text, offset)
    below = outline.indented and not text[start:offset].strip()
    columns = indent_of(text[start:offset])
    found = []
    for one in outline.definitions:
        if one.start > offset:
            break
        inside = offset < one.end or (offset == one.end and not _ends_line(text, offset))
        if inside or (below and _reaches(text, one, start, columns)):
            found.append(one)
    return tuple(one for one in found if one.body is not None or offset < one.end)


def cut_points(outline: Outline, text: str) -> tuple[int, ...]:
    """Offsets at which a definition or a top-level statement begins, ascending.

    *text* is what the outline is of.
    """
    points = {one.start for one in outline.definitions} | set(outline.statements)
    return tuple(sorted(point for point in points if point < len(text)))


def signature_of(text: str, definition: Definition) -> str:
    """The lines a definition begins with, without decorators, comments above it and body.

    Ends with a line end. In languages with braces the opening one is part of it.
    """
    start = definition.start if definition.head is None else definition.head
    end = definition.end if definition.body is None else definition.body
    return text[start:end].rstrip() + "\n"


def _reaches(text: str, one: Definition, start: int, columns: int) -> bool:
    """Whether a blank line at *start* with a cursor in *columns* goes on with a body."""
    head = one.start if one.head is None else one.head
    own = text[head : line_end(text, head)]
    return one.end <= start and not text[one.end : start].strip() and columns > indent_of(own)


def _within(one: Definition, length: int) -> Definition:
    body = None if one.body is None else min(one.body, length)
    return replace(one, end=min(one.end, length), body=body)


def _definitions(parsed: Parsed) -> list[Definition]:
    found = sorted(_found(parsed), key=lambda one: (one.start, -one.end))
    return sorted(_nested(parsed, found), key=lambda one: one.start)


def _found(parsed: Parsed) -> list[_Found]:
    """What the patterns find, once per name."""
    from codegen_lsp.syntax import grammars, naming

    by_name: dict[int, _Found] = {}
    for settings, nodes in grammars.matches(parsed, DEFINITIONS[parsed.grammar]):
        named = naming.name_in(parsed, nodes)
        if named is None:
            continue
        name, at = named
        node, kind = nodes["def"], str(settings["kind"])
        if kind == "function" and naming.of_a_class(parsed, nodes, at):
            kind = "method"
        body = nodes.get("body")
        begins = naming.body_start(parsed, body) if body is not None else None
        inside = None if body is None else body.start_byte
        new = _Found(name, kind, at, node.start_byte, node.end_byte, begins, inside)
        old = by_name.setdefault(at, new)
        if old is not new:
            _join(old, new)
    return list(by_name.values())


def _join(old: _Found, new: _Found) -> None:
    old.start, old.end = min(old.start, new.start), max(old.end, new.end)
    old.body = new.body if old.body is None else old.body
    old.inside = new.inside if old.inside is None else old.inside
    old.kind = min(old.kind, new.kind, key=_RANK.__getitem__)


def _nested(parsed: Parsed, found: list[_Found]) -> Iterator[Definition]:
    """Definitions with their depths: what stands inside a class is a method."""
    outer: list[_Found] = []
    for one in found:
        while outer and not _holds(outer[-1], one):
            outer.pop()
        around = outer[-1].kind if outer else ""
        if around == "function" and parsed.grammar in _HEADERS and one.body is None:
            continue  # a local declaration
        kind = "method" if one.kind == "function" and around in _HOLDS_METHODS else one.kind
        yield _definition(parsed, one, kind, len(outer))
        outer.append(one)


def _holds(outer: _Found, one: _Found) -> bool:
    begin = outer.start if outer.inside is None else outer.inside
    same = (outer.start, outer.end) == (one.start, one.end)
    return begin <= one.start and one.end <= outer.end and not same


def _definition(parsed: Parsed, one: _Found, kind: str, depth: int) -> Definition:
    text = parsed.text
    head = line_start(text, one.at if parsed.grammar in _BY_NAME else one.start)
    start = above(text, line_start(text, one.start), parsed.grammar)
    end = one.end if text[: one.end].endswith("\n") else line_end(text, one.end)
    return Definition(
        name=one.name,
        kind=kind,  # type: ignore[arg-type] # a word of the table of patterns
        start=start,
        end=end,
        body=one.body,
        depth=depth,
        head=head if head > start else None,
    )


def _statements(parsed: Parsed) -> Iterator[int]:
    """Where top-level statements begin, each with the comments right above it."""
    text, joined = parsed.text, -1
    for node in parsed.root.named_children:
        start = line_start(text, node.start_byte)
        if start != joined and not text[start : node.start_byte].strip():
            yield start
        joined = -1
        if "comment" in node.type or node.type == "attribute_item":
            end = node.end_byte
            joined = end if _ends_line(text, end) else line_end(text, end)


def _ends_line(text: str, end: int) -> bool:
    """Whether a line end is right before *end*."""
    return end > 0 and text[end - 1] == "\n"
