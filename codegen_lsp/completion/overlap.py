"""Repetition of what follows the cursor: its next line, and the beginning of its text.

Knows two texts and how alike lines are. Does not know when an answer is whole or what is closed by
whom (``closers`` does).
"""

from __future__ import annotations

import difflib
import re
from typing import Final

from codegen_lsp.completion.place import width

__all__ = ["overlap", "same_line"]

_SIMILARITY: Final = 0.9
"""Lines that differ in less than a tenth repeat each other."""

_SERIES: Final = 0.7
"""Lines this much alike are rows of one table."""

_LONG: Final = 10
"""Only lines of at least this many characters are compared by similarity."""

_IMPORT: Final = re.compile(r"(?:#\s*include|import|from|use|using|require)\b")
"""What a line begins with that stands among others like it."""

_LITERAL: Final = re.compile(r"\"(?:\\.|[^\"\\])*\"?|'(?:\\.|[^'\\])*'?|\b\d\w*(?:\.\w+)?|\d+")
"""Literals, and numbers in names."""

_WORD: Final = re.compile(r"\w+")


def same_line(line: str, other: str, above: str = "") -> bool:
    """Whether *line* says what *other* says: the same, or so nearly that it repeats it.

    Rows of a table are alike without repeating each other: lines that differ only in a literal or
    in more than one word, imports, and lines that go on with a series to which the line *above*
    belongs as well.
    """
    equally_deep = width(line) == width(other)
    line, other = line.strip(), other.strip()
    if not other or not (equally_deep or (line == other and len(line) >= _LONG)):
        return False
    if line == other:
        return True
    if min(len(line), len(other)) < _LONG or _LITERAL.sub("0", line) == _LITERAL.sub("0", other):
        return False
    if _IMPORT.match(line) or not _one_word_apart(line, other):
        return False
    return _alike(line, other, _SIMILARITY) and not _alike(above.strip(), other, _SERIES)


def _one_word_apart(line: str, other: str) -> bool:
    """Whether lines have the same words but for one at most."""
    words, others = _WORD.findall(line), _WORD.findall(other)
    same = len(words) == len(others)
    return same and sum(one != two for one, two in zip(words, others, strict=True)) <= 1


def _alike(line: str, other: str, least: float) -> bool:
    matcher = difflib.SequenceMatcher(None, line, other, autojunk=False)
    return matcher.quick_ratio() > least and matcher.ratio() > least


def overlap(text: str, suffix: str) -> int:
    """How many characters at the end of *text* are the beginning of *suffix*; 0 if none.

    Halves of words that happen to be the same are no overlap.
    """
    for length in range(min(len(text), len(suffix)), 0, -1):
        if suffix.startswith(text[-length:]) and _is_telling(text, suffix, length):
            return length
    return 0


def _is_telling(text: str, suffix: str, length: int) -> bool:
    """Whether the common part is one of words, not of halves of words."""
    common, before, after = text[-length:], text[-length - 1 : -length], suffix[length : length + 1]
    if not common.strip():
        return False
    torn_left = _in_word(before) and _in_word(common[0])
    torn_right = _in_word(after) and _in_word(common[-1])
    return not torn_left and not torn_right


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"
