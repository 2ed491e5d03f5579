"""The place of the cursor: what stands around it, as far as it decides about the answer.

Knows lines, indentation and the lexical state at the cursor. Knows no tokens and no settings.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from codegen_lsp.completion.lexing import PAIRS, START, Lexed, lex, state_after
from codegen_lsp.syntax.languages import Syntax, syntax_of
from codegen_lsp.types import CompletionContext

__all__ = ["Place", "only_closes", "opens_block", "place_of", "width"]

_TAB: Final = 8
_PUNCTUATION: Final = frozenset(")]}>\"'`;,:")
_LINES_ABOVE: Final = 24
_NEAR: Final = 2048
"""Characters after the cursor in which a closing bracket is looked for."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer is to stand."""

    head: str
    """The cursor's line before the cursor."""

    tail: str
    """The cursor's line after the cursor."""

    above: tuple[str, ...]
    """The last non-blank lines above the cursor's line, in order."""

    below: str
    """The next non-blank line below the cursor's line; ``""`` if there is none."""

    gap: bool
    """Whether a blank line stands directly above the cursor's line."""

    before: str
    """The text before the cursor, as far as it is looked at, behind the lines that open the blocks
    it begins in: where there is a method, its class is, too."""

    after: str
    """The text after the cursor, as far as it is looked at."""

    language_id: str
    syntax: Syntax

    lexed: Lexed
    """Open brackets, strings and comments at the cursor."""

    @property
    def blank(self) -> bool:
        """Whether nothing but blanks stands before the cursor on its line."""
        return not self.head.strip()

    @property
    def indent(self) -> int:
        """Columns of indentation of the cursor's line, as far as it is written."""
        return width(self.head)

    @property
    def closing_tail(self) -> bool:
        """Whether nothing but closers and punctuation follows on the line."""
        return only_closes(self.tail)

    @property
    def fresh_block(self) -> bool:
        """Whether the answer is the beginning of a block."""
        if self.tail.strip() or self.lexed.inside:
            return False
        if not self.blank:
            return opens_block(self.head, self.syntax)
        return bool(self.above) and (
            opens_block(self.above[-1], self.syntax) or self._after_docstring
        )

    @property
    def floor(self) -> int:
        """Fewest columns of indentation of the lines of the block that begins here.

        What brackets hold need not be indented (a namespace in C++, a ``case`` in Go): there it is
        the closing bracket that ends the block.
        """
        inside = bool(self.lexed.brackets)
        if not self.blank:
            return self.indent + (not inside)
        if self.above and not inside and opens_block(self.above[-1], self.syntax):
            return max(self.indent, width(self._header) + 1)
        return self.indent

    @property
    def _header(self) -> str:
        """The first line of the statement that the line above ends."""
        for count in range(1, len(self.above) + 1):
            lines = self.above[-count:]
            if not lex("\n".join(lines), self.syntax).unmatched:
                return lines[0]
        return self.above[-1]

    @property
    def awaits_opener(self) -> bool:
        """Whether what follows closes a bracket that nothing before the cursor opens."""
        if not self.syntax.balanced:
            return False
        return _closes_more(self.after[:_NEAR], self.syntax, self.lexed)

    def closed_below(self, columns: int) -> bool:
        """Whether the document closes the innermost bracket that is open at the cursor.

        A closer that begins a line closes what stands at its own indentation: one at another than
        *columns* belongs to another bracket.
        """
        after = self.after[:_NEAR]
        state = replace(START, inside=self.lexed.inside, string=self.lexed.string)
        unmatched = lex(after, self.syntax, state).unmatched
        if not unmatched or PAIRS[after[unmatched[0]]] != self.lexed.brackets[-1]:
            return False
        start = after.rfind("\n", 0, unmatched[0]) + 1
        line = after[start : unmatched[0]]
        return bool(line.strip()) or not start or width(line) == columns

    @property
    def _after_docstring(self) -> bool:
        """Whether the line above ends the docstring of a function (Python only)."""
        if self.language_id != "python" or self.gap:
            return False
        last = self.above[-1].strip()
        quote = last[-3:]
        if quote not in ('"""', "'''"):
            return False
        if last.startswith(quote) and len(last) > 5:
            return len(self.above) > 1 and _is_definition(self.above[-2])
        for line, before in zip(self.above[-2::-1], self.above[-3::-1], strict=False):
            if line.strip().startswith(quote):
                return _is_definition(before)
        return False


def _is_definition(line: str) -> bool:
    return line.rstrip().endswith(":") and line.lstrip().startswith(("def ", "async def ", ")"))


def place_of(context: CompletionContext) -> Place:
    """The place of the cursor of *context*."""
    syntax = syntax_of(context.language_id)
    above, _, head = context.prefix.rpartition("\n")
    tail, _, below = context.suffix.partition("\n")
    lines = above.split("\n")
    return Place(
        head=head,
        tail=tail,
        above=tuple([line for line in lines[-2 * _LINES_ABOVE :] if line.strip()][-_LINES_ABOVE:]),
        below=next((line for line in below.split("\n") if line.strip()), ""),
        gap=not lines[-1].strip(),
        before="".join([*_opened(context), context.prefix]),
        after=context.suffix,
        language_id=context.language_id,
        syntax=syntax,
        lexed=state_after(context.prefix, syntax, whole=context.starts_document),
    )


def _opened(context: CompletionContext) -> Iterator[str]:
    """The lines above the window that open the blocks around it."""
    return (one.text for one in context.kept if one.opens and one.offset < 0)


def only_closes(tail: str) -> bool:
    """Whether *tail* holds nothing but closers, punctuation and blanks."""
    return all(character in _PUNCTUATION or character.isspace() for character in tail)


def width(line: str) -> int:
    """Columns of indentation of *line*."""
    return len(line[: len(line) - len(line.lstrip(" \t"))].expandtabs(_TAB))


@functools.lru_cache(maxsize=16)
def _closes_more(text: str, syntax: Syntax, state: Lexed) -> bool:
    """Whether *text* closes a bracket that neither it nor *state* opens."""
    return bool(lex(text, syntax, state).unmatched)


@functools.lru_cache(maxsize=256)
def opens_block(line: str, syntax: Syntax) -> bool:
    """Whether a deeper block follows *line*: its code ends in what opens one."""
    code = line[: lex(line, syntax).code_end]
    return any(
        code.endswith(opener) and (not opener.isalpha() or code.split()[-1] == opener)
        for opener in syntax.openers
    )
