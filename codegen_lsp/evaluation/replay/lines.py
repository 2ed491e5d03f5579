"""Lines of code, and where a cursor may stand in them.

Knows tokens: Python's by its own tokenizer, other languages' by the signs of ``syntax``. Comments,
docstrings and lines of strings that go over several are no code. Chooses nothing.
"""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from keyword import iskeyword
from typing import Final, Literal

from codegen_lsp.syntax.languages import Syntax, syntax_of

__all__ = ["CodeLine", "code_lines", "parse_python"]

_FORMATTED_BEGIN: Final = frozenset(
    getattr(tokenize, name, -1) for name in ("FSTRING_START", "TSTRING_START")
)
_FORMATTED_END: Final = frozenset(
    getattr(tokenize, name, -1) for name in ("FSTRING_END", "TSTRING_END")
)
_LAYOUT: Final = frozenset(
    {tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
)

_Kind = Literal["name", "code", "comment"]


@dataclass(frozen=True, slots=True)
class CodeLine:
    """One line that holds code and nothing else."""

    row: int
    """From 0."""

    text: str
    """Without its line end and without blanks at its end."""

    boundaries: tuple[int, ...]
    """Columns where a token begins or ends, without the beginning and the end of the code."""

    names: tuple[tuple[int, int], ...]
    """First column of each identifier, and the column after it."""

    @property
    def indent(self) -> int:
        """The column where the code begins."""
        return len(self.text) - len(self.text.lstrip())


@dataclass(frozen=True, slots=True)
class _Token:
    kind: _Kind
    start: tuple[int, int]
    end: tuple[int, int]
    """Row and column, from 0."""


@functools.lru_cache(maxsize=2048)
def code_lines(text: str, language_id: str) -> tuple[CodeLine, ...]:
    """The lines of code of a document whose line end is the line feed; none if it is not read."""
    if language_id == "python":
        tree = parse_python(text)
        if tree is None:
            return ()
        return _lines(text, _python_tokens(text), _string_rows(tree))
    return _lines(text, _tokens(text, syntax_of(language_id)), frozenset())


def parse_python(text: str) -> ast.Module | None:
    """The syntax tree, or ``None`` where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _lines(text: str, tokens: Iterable[_Token], strings: frozenset[int]) -> tuple[CodeLine, ...]:
    spoilt = set(strings)
    by_row: dict[int, list[_Token]] = {}
    for token in tokens:
        if token.kind == "comment" or token.start[0] != token.end[0]:
            spoilt.update(range(token.start[0], token.end[0] + 1))
        else:
            by_row.setdefault(token.start[0], []).append(token)
    rows = text.split("\n")
    return tuple(
        _line(row, rows[row].rstrip(), found)
        for row, found in sorted(by_row.items())
        if row not in spoilt
    )


def _line(row: int, text: str, tokens: list[_Token]) -> CodeLine:
    first, last = tokens[0].start[1], len(text)
    columns = {column for token in tokens for column in (token.start[1], token.end[1])}
    return CodeLine(
        row,
        text,
        tuple(sorted(column for column in columns if first < column < last)),
        tuple((token.start[1], token.end[1]) for token in tokens if token.kind == "name"),
    )


def _string_rows(tree: ast.Module) -> frozenset[int]:
    """Rows of strings that stand alone: docstrings, and comments written as strings."""
    return frozenset(
        row - 1
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for row in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    )


def _python_tokens(text: str) -> Iterator[_Token]:
    """Formatted strings are one token, whatever the interpreter makes of them."""
    begins: list[tuple[int, int]] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            start, end = (token.start[0] - 1, token.start[1]), (token.end[0] - 1, token.end[1])
            if token.type in _FORMATTED_BEGIN:
                begins.append(start)
            elif token.type in _FORMATTED_END:
                start = begins.pop()
                if not begins:
                    yield _Token("code", start, end)
            elif not begins and token.type not in _LAYOUT:
                yield _Token(_python_kind(token), start, end)
    except (tokenize.TokenError, SyntaxError):  # it parses, so this is not expected
        return


def _python_kind(token: tokenize.TokenInfo) -> _Kind:
    if token.type == tokenize.COMMENT:
        return "comment"
    return "name" if token.type == tokenize.NAME and not iskeyword(token.string) else "code"


def _tokens(text: str, syntax: Syntax) -> Iterator[_Token]:
    """Tokens by their looks."""
    row, begin = 0, 0
    for found in _pattern(syntax).finditer(text):
        row += text.count("\n", begin, found.start())
        begin = found.start()
        column = begin - (text.rfind("\n", 0, begin) + 1)
        rows = found.group().count("\n")
        tail = len(found.group()) - (found.group().rfind("\n") + 1)
        end = (row + rows, tail if rows else column + tail)
        kind: _Kind = "code"
        if found.lastgroup in ("comment", "name"):
            kind = "comment" if found.lastgroup == "comment" else "name"
        yield _Token(kind, (row, column), end)


@functools.cache
def _pattern(syntax: Syntax) -> re.Pattern[str]:
    comments = [rf"{re.escape(sign)}[^\n]*" for sign in syntax.line_comment]
    comments += [rf"(?s:{re.escape(a)}.*?{re.escape(b)})" for a, b in syntax.block_comment]
    strings = [
        rf"{re.escape(quote)}(?s:\\.|(?!{re.escape(quote)}).)*{re.escape(quote)}"
        for quote in syntax.long_strings
    ]
    strings += [
        rf"{re.escape(quote)}(?:\\.|(?!{re.escape(quote)})[^\n])*{re.escape(quote)}"
        for quote in syntax.strings
    ]
    parts = [rf"(?P<comment>{'|'.join(comments)})"] if comments else []
    parts += [*strings, r"(?P<name>[^\W\d]\w*)", r"\d[\w.]*", r"[^\w\s]"]
    return re.compile("|".join(parts))
