"""Blocks: where an answer ends the block or the statement that a cursor is in.

Knows the syntax trees of the languages that have a grammar, of the nearest part of a text only
(:mod:`near`). Does not know models, tokens or how much is asked for. What is expected at a cursor
is found in :mod:`expecting`, which this module speaks for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from codegen_lsp.syntax.brackets import Bracket, brackets, closer_of, closers, open_at
from codegen_lsp.syntax.expecting import BLOCKS, Expectation, expects, is_block
from codegen_lsp.syntax.lines import bare, indent_of, line_end, line_start
from codegen_lsp.syntax.near import near

if TYPE_CHECKING:
    from tree_sitter import Node

    from codegen_lsp.syntax.grammars import Parsed

__all__ = ["BlockEnd", "Expectation", "block_end", "expects", "statement_end"]


@dataclass(frozen=True, slots=True)
class BlockEnd:
    """Where an answer ends a block: two offsets into the answer."""

    content: int
    """Behind the last line of the block and its line end, or before the closer that stands in that
    line."""

    closed: int
    """Behind what closes it: a brace, with what must follow it on its line (``);``). Where
    indentation ends blocks, the same as ``content``."""


_REST: Final = re.compile(r"[ \t]*[;,]?")
_NOT_STATEMENTS: Final = frozenset({"attribute_item", "line_comment", "block_comment", "comment"})
_CASES: Final = frozenset(
    {
        "case_statement",
        "communication_case",
        "default_case",
        "expression_case",
        "switch_block_statement_group",
        "switch_case",
        "switch_default",
        "type_case",
    }
)
"""Nodes that hold a label and the statements below it."""


_HOLDERS: Final = BLOCKS | {"statement_list"}


def block_end(before: str, answer: str, language_id: str) -> BlockEnd | None:
    """Where *answer* ends the innermost block that is open at its beginning.

    ``None`` if it does not, if no block is open, and where there is no grammar. That the
    document may have the closing brace already is the caller's to know.
    """
    from codegen_lsp.syntax import grammars

    piece = near(before, language_id)
    parsed = grammars.parse(piece.text + answer, language_id)
    if parsed is None:
        return None
    cursor = len(piece.text)
    found = _suite_end if parsed.grammar == "python" else _brace_end
    return found(parsed, cursor)


def statement_end(before: str, answer: str, language_id: str) -> int | None:
    """The offset in *answer* behind the first statement in it, if it goes beyond that.

    That is the statement the cursor is in, or the next one where that is complete or none. Its
    blocks and clauses (``else``, ``catch``) belong to it, comments above it do not. ``None``
    where it has an error, and where there is no grammar.
    """
    from codegen_lsp.syntax import grammars

    piece = near(before, language_id)
    cursor = len(piece.text)
    parsed = grammars.parse(piece.text + answer, language_id)
    if parsed is None:
        return None
    if parsed.grammar != "python":
        parsed = _ended(parsed)
    end = _statement_end(parsed, cursor, cursor + len(answer))
    return end if end is not None and answer[end:].strip() else None


def _brace_end(parsed: Parsed, cursor: int) -> BlockEnd | None:
    text, found = parsed.text, brackets(parsed)
    stack, _ = open_at(found, cursor)
    place, closer, ended = len(stack), -1, None
    # What is around an open brace is open, too: then nothing more is to be found out.
    while closer < 0 or not _is_block(ended or parsed, stack[place]):
        place = next((n for n in range(place - 1, -1, -1) if stack[n].sign == "{"), -1)
        if place < 0 or (closer := closer_of(found, stack[place])) < cursor:
            return None
        ended = ended or _ended(parsed)
    start = line_start(text, closer)
    own_line = start >= cursor and not text[start:closer].strip()
    content = start if own_line else max(closer, cursor)
    return BlockEnd(content - cursor, _with_rest(parsed, found, stack[:place], closer) - cursor)


def _ended(parsed: Parsed) -> Parsed:
    """The tree of the same text and what it lacks at its end."""
    from codegen_lsp.syntax import grammars

    if not parsed.root.has_error or not (missing := closers(parsed)):
        return parsed
    return grammars.parse(f"{parsed.text}\n{missing}\n", parsed.grammar) or parsed


def _with_rest(parsed: Parsed, found: list[Bracket], outer: list[Bracket], closer: int) -> int:
    """Behind the closers of what a block is an argument of, and the sign that ends its line."""
    left = 0
    while left < len(outer) and outer[-1 - left].sign != "{":
        left += 1
    end = _behind(found, closer, left)
    if parsed.text[end : end + 1] == "(":  # called where it is written
        end = _behind(found, end, 1)
    rest = _REST.match(parsed.text, end)
    return rest.end() if rest and rest.group().strip() else end


def _behind(found: list[Bracket], at: int, left: int) -> int:
    """Behind the bracket that closes the last of so many that are open behind *at*."""
    depth = left
    for one in found if left else ():
        if one.at > at:
            depth += 1 if one.opens else -1
            if not depth:
                return one.at + 1
    return at + 1


def _is_block(parsed: Parsed, one: Bracket) -> bool:
    """Whether a bracket begins a block of statements or members."""
    if one.sign != "{":
        return False
    node = parsed.root.descendant_for_byte_range(one.at, one.at + 1)
    around = None if node is None else node.parent
    return node is not None and around is not None and is_block(parsed, around, node)


def _suite_end(parsed: Parsed, cursor: int) -> BlockEnd | None:
    """The same by indentation; lines in brackets and strings have none."""
    found = brackets(parsed)
    floor, begin = _floor(parsed, found, cursor)
    if not floor:
        return None
    text, at = parsed.text, begin
    last = begin if text[cursor:begin].strip() else cursor
    while at < len(text):
        end = line_end(text, at)
        line = text[at:end]
        if line.strip():
            if _is_free(parsed, found, at) and indent_of(line) < floor:
                return BlockEnd(last - cursor, last - cursor)
            last = end
        at = end
    return None


def _floor(parsed: Parsed, found: list[Bracket], cursor: int) -> tuple[int, int]:
    """The columns of the suite at a cursor, and the first line that may end it.

    0 columns where nothing can: at the top level.
    """
    text = parsed.text
    start = line_start(text, cursor)
    head = text[start:cursor]
    if head.strip():
        own = indent_of(text[_logical_start(parsed, found, start) :])
        if not bare(head).endswith(":") or not _opens(parsed, found, cursor):
            return own, line_end(text, cursor)
        first = text[cursor : line_end(text, cursor)]
        return (100_000 if first.strip() else own + 1), line_end(text, cursor)
    code = bare(text[:start])
    written = text[cursor:].lstrip("\n")
    first = (head if written == text[cursor:] else "") + written
    columns = indent_of(first) if first.strip() else indent_of(head)
    if code.endswith(":") and _opens(parsed, found, len(code)):
        return indent_of(
            text[_logical_start(parsed, found, line_start(text, len(code))) :]
        ) + 1, start
    return columns, start


def _opens(parsed: Parsed, found: list[Bracket], end: int) -> bool:
    """Whether the colon that ends there, blanks left out, is in no bracket and no string."""
    return _is_free(parsed, found, parsed.text.rfind(":", 0, end))


def _is_free(parsed: Parsed, found: list[Bracket], at: int) -> bool:
    """Whether an offset is in no bracket and no string."""
    return _outer_start(parsed, found, at) == at


def _outer_start(parsed: Parsed, found: list[Bracket], at: int) -> int:
    """Where the outermost bracket or the string around an offset begins; the offset itself where
    there is none.
    """
    stack, _ = open_at(found, at)
    if stack:
        return stack[0].at
    node = parsed.root.descendant_for_byte_range(at, at)
    while node is not None:
        if node.type == "string" and node.start_byte < at:
            return node.start_byte
        node = node.parent
    return at


def _logical_start(parsed: Parsed, found: list[Bracket], start: int) -> int:
    """Where the line begins that a line at *start* goes on with, being in brackets or a string."""
    return line_start(parsed.text, _outer_start(parsed, found, start))


def _statement_end(parsed: Parsed, cursor: int, length: int) -> int | None:
    text = parsed.text
    head = text[line_start(text, cursor) : cursor]
    at = cursor - len(head) + len(head.rstrip()) - 1 if head.strip() else _visible(text, cursor)
    while at < length:
        found = _statement(parsed, at)
        if found is None:
            return None
        end = max(found.end_byte, at + 1)
        end -= len(text[found.start_byte : end]) - len(text[found.start_byte : end].rstrip())
        if found.type not in _NOT_STATEMENTS and end > cursor:
            rest = _REST.match(text, end) if parsed.grammar != "python" else None
            end = rest.end() if rest and rest.group().strip() else end
            return None if found.has_error else end - cursor
        at = _visible(text, max(end, cursor))
    return None


def _visible(text: str, at: int) -> int:
    """The next offset with something to see."""
    found = _VISIBLE.search(text, at)
    return found.start() if found else len(text)


_VISIBLE: Final = re.compile(r"\S")


def _statement(parsed: Parsed, at: int) -> Node | None:
    """The innermost statement at an offset; ``None`` where an error hides it."""
    node = parsed.root.descendant_for_byte_range(at, at + 1)
    while node is not None and (around := node.parent) is not None:
        if around.type == "ERROR":
            return None
        if around.parent is None:
            return node
        if around.type in _HOLDERS and _is_content(node, around):
            return node
        node = around
    return None


def _is_content(node: Node, around: Node) -> bool:
    if around.type in _CASES and node.start_byte == around.start_byte:
        return False
    if around.child_by_field_name("value") == node:
        return False
    return node.is_named
