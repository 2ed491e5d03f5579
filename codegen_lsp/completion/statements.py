"""What a line of code says about its statement: does it leave the block, does the next go on?

Knows words and signs of languages, one line at a time, for decisions that must be made before
there is anything to parse. Does not know brackets, indentation or documents.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Final

from codegen_lsp.completion.lexing import lex
from codegen_lsp.syntax.languages import syntax_of

__all__ = [
    "Next",
    "after",
    "continues",
    "is_label",
    "leaves",
    "may_become_clause",
    "may_become_label",
    "may_have_clause",
    "opens_clause",
]


class Next(enum.Enum):
    """What the line after one whose brackets are all closed may be."""

    ENDED = "ended"
    """Another statement: this one is complete."""

    OPEN = "open"
    """More of the statement, if it is indented deeper or begins with what goes on."""

    SAME = "same"
    """More of the statement, whatever it is."""


_LEAVING: Final[Mapping[str, re.Pattern[str]]] = {
    language: re.compile(rf"(?:{words})\b")
    for languages, words in (
        ("python", "return|raise|break|continue"),
        ("c cpp go", "return|break|continue|goto|throw"),
        ("java javascript javascriptreact typescript typescriptreact csharp dart kotlin scala php",
         "return|break|continue|throw"),
        ("rust swift", "return|break|continue"),
    )
    for language in languages.split()
}  # fmt: skip
"""What a statement begins with after which nothing of its block is reached."""

_CLAUSES: Final[Mapping[str, frozenset[str]]] = {
    language: frozenset(words.split())
    for languages, words in (
        ("python", "else elif except finally"),
        ("c cpp go rust", "else catch"),
        ("java javascript javascriptreact typescript typescriptreact csharp dart kotlin scala php",
         "else catch finally"),
    )
    for language in languages.split()
}  # fmt: skip
"""What goes on with a statement at its own indentation."""

_BY_SEMICOLON: Final = frozenset({"c", "cpp", "java", "rust", "csharp", "dart", "php"})
_BY_CHOICE: Final = frozenset(
    {"javascript", "javascriptreact", "typescript", "typescriptreact", "kotlin", "scala", "swift"}
)
"""A semicolon ends a statement; where there is none, the next line tells."""

_CONTINUING: Final = frozenset(".?:&|")
"""What a line begins with that goes on with the statement above it."""

_LABELLED: Final = frozenset({"c", "cpp", "go"})
_LABEL: Final = re.compile(r"\s*(?:#\s*\w+|(?!case\b|default\b)[A-Za-z_][\w ]*:(?![:=]))")
"""A label, an access specifier or a line of the preprocessor: not indented like its block."""


def begins_statement(line: str, language_id: str) -> bool:
    """Whether *line* holds code, and not only what stands above a statement, as a decorator."""
    code = line[: lex(line, syntax_of(language_id)).code_end].strip()
    return bool(code) and not code.startswith("@")


def leaves(line: str, language_id: str) -> bool:
    """Whether a statement that begins with *line* leaves its block, as ``return`` does."""
    pattern = _LEAVING.get(language_id)
    return pattern is not None and pattern.match(line.lstrip()) is not None


def after(line: str, language_id: str) -> Next:
    """What may follow *line*, at the end of which no bracket or string is open."""
    syntax = syntax_of(language_id)
    code = line[: lex(line, syntax).code_end].rstrip()
    stripped = code.lstrip()
    if not stripped:  # a comment belongs to what it stands above
        return Next.SAME
    if code.endswith("\\") or (stripped.startswith("@") and language_id != "go"):
        return Next.SAME
    if stripped.startswith("#"):  # an attribute in Rust; the preprocessor elsewhere
        return Next.SAME if language_id == "rust" else Next.ENDED
    if language_id in _BY_SEMICOLON or language_id in _BY_CHOICE:
        return Next.ENDED if code[-1] in ";}," else Next.OPEN
    return Next.ENDED


def continues(line: str) -> bool:
    """Whether *line*, of which the first visible character is known, goes on with the one above."""
    return line.lstrip()[:1] in _CONTINUING


def opens_clause(line: str, language_id: str) -> bool:
    """Whether *line* goes on with the statement above it, as ``else`` does."""
    word = re.match(r"\w*", line.lstrip())
    return word is not None and word.group() in _CLAUSES.get(language_id, frozenset())


def may_have_clause(statement: str, line: str, language_id: str) -> bool:
    """Whether a *statement* that a bracket on *line* ends may go on with a clause of its own."""
    word = re.match(r"\w*", statement.lstrip())
    begins = word is not None and word.group() in ("if", "try", "else", "catch")
    return begins and language_id in _CLAUSES and line.rstrip().endswith("}")


def may_become_clause(line: str, language_id: str) -> bool:
    """Whether *line*, which is not complete, may turn out to go on with the statement above it."""
    begun = line.lstrip()
    clauses = _CLAUSES.get(language_id, frozenset())
    return any(word.startswith(begun) for word in clauses)


def is_label(line: str, language_id: str) -> bool:
    """Whether *line* stands outside the indentation of its block by custom."""
    return language_id in _LABELLED and _LABEL.match(line) is not None


def may_become_label(line: str, language_id: str) -> bool:
    """Whether *line*, which is not complete, may turn out to be a label."""
    return language_id in _LABELLED and re.match(r"\s*(?:#|[\w ]*\Z)", line) is not None
