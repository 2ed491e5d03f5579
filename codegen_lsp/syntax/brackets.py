"""Brackets: which are open where, by the tokens of a syntax tree.

A grammar knows better than any pattern which brackets are code and which are text. Knows nothing
of what brackets hold.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from codegen_lsp.syntax.queries import BRACKETS

if TYPE_CHECKING:
    from codegen_lsp.syntax.grammars import Parsed

__all__ = ["CLOSERS", "Bracket", "brackets", "closer_of", "closers", "open_at", "opens_nothing"]

_NEEDY: Final = re.compile(r"\b(try|do)\s*(?:\([^{}]*\)\s*)?\Z")

_TYPED: Final = frozenset({"c", "cpp"})
_NAMED: Final = re.compile(r"\btypedef\b[^;{}]*\Z")
"""What stands before a brace behind whose partner a name is wanted."""

_VALUE: Final = r"(?:[^=!<>;{}]=(?![=>])|\b(?:return|let|use)\b)[^;{}]*\Z"
_TYPE: Final = r"|(?:\b(?:class|struct|union|enum)\b[^;{}()]*|\]\s*(?:\([^{}]*\)[^;{}()]*)?)\Z"
_ENDED: Final[Mapping[str, re.Pattern[str]]] = {
    "c": re.compile(_VALUE + _TYPE),
    "cpp": re.compile(_VALUE + _TYPE),
    "java": re.compile(_VALUE),
    "rust": re.compile(_VALUE),
}
"""What stands before a brace behind whose partner a semicolon is wanted: a value, a type in C, a
lambda. One too many does no harm."""

_SCRIPT: Final = {"try": " finally {}", "do": " while (0);"}
_CLAUSES: Final[Mapping[str, Mapping[str, str]]] = {
    "c": {"try": "", "do": " while (0);"},
    "cpp": {"try": " catch (...) {}", "do": " while (0);"},
    "java": {"try": " finally {}", "do": " while (true);"},
    "javascript": _SCRIPT,
    "javascriptreact": _SCRIPT,
    "typescript": _SCRIPT,
    "typescriptreact": _SCRIPT,
}

CLOSERS: Final = {"(": ")", "[": "]", "{": "}"}


class Bracket(NamedTuple):
    """One bracket of a text."""

    at: int
    sign: str
    opens: bool


def brackets(parsed: Parsed) -> list[Bracket]:
    """The brackets of a text, in order; those that the parser made up are left out.

    Not to be changed: it is found once for a tree.
    """
    from codegen_lsp.syntax import grammars

    known: list[Bracket] | None = parsed.found.get(grammars.BRACKETS)
    if known is None:
        before: list[Bracket] = []
        until = 0
        if parsed.earlier is not None:
            earlier, until = parsed.earlier
            before = earlier[grammars.BRACKETS]
            before = before[: bisect.bisect_left(before, (until,))]
        nodes = grammars.captures(parsed, BRACKETS[parsed.grammar], start=until)
        behind = sorted(one for one in _real(parsed, nodes) if one.at >= until)
        known = parsed.found[grammars.BRACKETS] = before + behind
    return known


def opens_nothing(parsed: Parsed, start: int, end: int) -> bool:
    """Whether what stands between two offsets leaves no bracket open, and closes no brace but its
    own.
    """
    from codegen_lsp.syntax import grammars

    nodes = grammars.captures(parsed, BRACKETS[parsed.grammar], start=start, end=end)
    stack: list[str] = []
    for one in sorted(one for one in _real(parsed, nodes) if start <= one.at < end):
        if one.opens:
            stack.append(CLOSERS[one.sign])
        elif one.sign == "}" if not stack else one.sign != stack.pop():
            return False
    return not stack


def _real(parsed: Parsed, found: dict[str, list]) -> Iterator[Bracket]:  # type: ignore[type-arg]
    for kind, nodes in found.items():
        for node in nodes:
            if node.end_byte > node.start_byte:
                at = node.end_byte - 1  # "${" is a brace, too
                yield Bracket(at, parsed.text[at], kind == "open")


def open_at(found: Iterable[Bracket], offset: int) -> tuple[list[Bracket], int]:
    """The brackets open at *offset*, outermost first, and how many were closed but never opened.

    A closer that does not fit closes what is outside, where there is an opener that it fits.
    """
    stack: list[Bracket] = []
    stray = 0
    for one in found:
        if one.at >= offset:
            break
        if one.opens:
            stack.append(one)
        elif stack and CLOSERS[stack[-1].sign] == one.sign:
            stack.pop()
        elif any(CLOSERS[other.sign] == one.sign for other in stack):
            while CLOSERS[stack.pop().sign] != one.sign:
                pass
        else:
            stray += one.sign == "}"
    return stack, stray


def closer_of(found: Iterable[Bracket], opener: Bracket) -> int:
    """Where a bracket is closed; -1 if it is not."""
    stack: list[Bracket] = []
    for one in found:
        if one.at < opener.at:
            continue
        if one.opens:
            stack.append(one)
            continue
        while len(stack) > 1 and CLOSERS[stack[-1].sign] != one.sign:
            stack.pop()
        if CLOSERS[stack[-1].sign] != one.sign:
            return -1
        stack.pop()
        if not stack:
            return one.at
    return -1


def closers(parsed: Parsed) -> str:
    """What a text lacks at its end: closing brackets, with what must follow some of them."""
    stack, _ = open_at(brackets(parsed), len(parsed.text))
    found = [CLOSERS[one.sign] + _clause(parsed, one) for one in reversed(stack)]
    # A value that ends in a brace needs no sign where a bracket follows.
    return "".join(found).replace(";)", ")").replace(";]", "]")


def _clause(parsed: Parsed, one: Bracket) -> str:
    """What a block needs behind its brace: a ``try`` how it ends, a ``do`` its condition."""
    if one.sign != "{":
        return ""
    least = max(0, one.at - 200)
    found = _NEEDY.search(parsed.text, least, one.at)
    if found is not None and parsed.grammar in _CLAUSES:
        return _CLAUSES[parsed.grammar][found.group(1)]
    if parsed.grammar in _TYPED and _NAMED.search(parsed.text, least, one.at):
        return " x;"
    ended = _ENDED.get(parsed.grammar)
    return ";" if ended is not None and ended.search(parsed.text, least, one.at) else ""
