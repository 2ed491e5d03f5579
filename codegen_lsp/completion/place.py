"""The place of the cursor: what stands around it, as far as it decides about the answer.

Knows lines, indentation and the lexical state at the cursor. Knows no tokens and no settings.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

from codegen_lsp.completion.lexing import Lexed, lex
from codegen_lsp.syntax.languages import Syntax, syntax_of
from codegen_lsp.types import CompletionContext

__all__ = ["Place", "only_closes", "opens_block", "place_of", "width"]

_TAB: Final = 8
_PUNCTUATION: Final = frozenset(")]}>\"'`;,:")
_LINES_ABOVE: Final = 24


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
        """Fewest columns of indentation of the lines of the block that begins here."""
        if not self.blank:
            return self.indent + 1
        above = self.above[-1] if self.above else ""
        if above and opens_block(above, self.syntax):
            return max(self.indent, width(above) + 1)
        return self.indent

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
        language_id=context.language_id,
        syntax=syntax,
        lexed=lex(context.prefix, syntax),
    )


def only_closes(tail: str) -> bool:
    """Whether *tail* holds nothing but closers, punctuation and blanks."""
    return all(character in _PUNCTUATION or character.isspace() for character in tail)


def width(line: str) -> int:
    """Columns of indentation of *line*."""
    return len(line[: len(line) - len(line.lstrip(" \t"))].expandtabs(_TAB))


@functools.lru_cache(maxsize=256)
def opens_block(line: str, syntax: Syntax) -> bool:
    """Whether a deeper block follows *line*: its code ends in what opens one."""
    code = line[: lex(line, syntax).code_end]
    return any(
        code.endswith(opener) and (not opener.isalpha() or code.split()[-1] == opener)
        for opener in syntax.openers
    )
