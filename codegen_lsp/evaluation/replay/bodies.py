"""Bodies of functions: what stands between a signature (with its docstring) and the last line.

Python's are found by its own parser, other languages' by ``syntax.outline``. Chooses nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from codegen_lsp.evaluation.replay.lines import parse_python
from codegen_lsp.syntax.outline import outline

__all__ = ["Body", "bodies"]

FEWEST_LINES: Final = 2
MOST_LINES: Final = 15
"""Non-blank lines of a body; longer ones nobody expects from a suggestion."""


@dataclass(frozen=True, slots=True)
class Body:
    """Where one body is; rows and columns from 0."""

    after_signature: tuple[int, int]
    """The end of the last line before the body."""

    first_line: tuple[int, int]
    """The first non-blank line of the body, behind its indentation."""

    last_row: int
    rows: Sequence[str]
    """All lines of the document."""

    def hidden(self, row: int, column: int) -> str:
        """The text from there to the end of the body's last line."""
        first = self.rows[row][column:]
        return "\n".join([first, *self.rows[row + 1 : self.last_row + 1]]).rstrip()


def bodies(text: str, language_id: str) -> list[Body]:
    """Every function's body of a fit length, in the document's order."""
    rows = text.split("\n")
    spans = _python(text, rows) if language_id == "python" else _outlined(text, language_id)
    found = []
    for begin, end in sorted(set(spans)):
        written = [row for row in range(begin, end + 1) if rows[row].strip()]
        if not FEWEST_LINES <= len(written) <= MOST_LINES:
            continue
        first = rows[written[0]]
        found.append(
            Body(
                (begin - 1, len(rows[begin - 1])),
                (written[0], len(first) - len(first.lstrip())),
                written[-1],
                rows,
            )
        )
    return found


def _python(text: str, rows: Sequence[str]) -> Iterator[tuple[int, int]]:
    """First and last row of each body that begins on a line of its own."""
    tree = parse_python(text)
    for node in ast.walk(tree) if tree else ():
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        statements = node.body
        before = node.lineno - 1
        if ast.get_docstring(node, clean=False) is not None:
            before = (statements[0].end_lineno or statements[0].lineno) - 1
            statements = statements[1:]
        if not statements:
            continue
        first = min([statements[0].lineno, *_decorators(statements[0])]) - 1
        begin = first
        while begin > before + 1 and _is_nothing(rows[begin - 1]):
            begin -= 1
        if rows[first][: statements[0].col_offset].strip():
            continue  # on the signature's or docstring's own line
        yield begin, (statements[-1].end_lineno or statements[-1].lineno) - 1


def _decorators(statement: ast.stmt) -> list[int]:
    found = getattr(statement, "decorator_list", [])
    return [decorator.lineno for decorator in found]


def _is_nothing(row: str) -> bool:
    """Blank or a comment: part of the body it stands in."""
    return not row.strip() or row.lstrip().startswith("#")


def _outlined(text: str, language_id: str) -> Iterator[tuple[int, int]]:
    """The same in a language with braces: rows between the opening and the closing one."""
    found = outline(text, language_id)
    for one in found.definitions if found else ():
        if one.kind not in ("function", "method") or one.body is None:
            continue
        begin = text.rfind("{", one.start, one.body + 1)
        end = text.rfind("}", one.body, one.end)
        if 0 <= begin < end:
            first, last = text.count("\n", 0, begin) + 1, text.count("\n", 0, end) - 1
            if first <= last:
                yield first, last
