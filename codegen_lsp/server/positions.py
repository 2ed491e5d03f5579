r"""Lines and positions: the one place where LSP positions meet code-point offsets.

A line ends at ``\n``, ``\r\n`` or ``\r`` and nowhere else, as LSP has it (``str.splitlines``
also splits at form feeds, NEL or U+2028, which shifts every position below them). A *column*
counts code points; a *character* counts code units of the encoding that was agreed on with the
editor. Positions outside the text are clamped: past the end of a line means its end, past the
last line means the end of the text.

This module knows neither lsprotocol's types nor documents.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

__all__ = ["Encoding", "LineIndex", "Place", "characters_of", "column_of", "split_lines"]

MOST_EDITS = 4
"""After more edits than this a text is put together anew."""

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)")


class Encoding(enum.Enum):
    """The code units in which an editor counts the characters of a line."""

    UTF8 = "utf-8"
    UTF16 = "utf-16"
    UTF32 = "utf-32"


class Place(NamedTuple):
    """A position as an editor counts, both from 0."""

    line: int

    character: int
    """Code units of the agreed encoding from the start of the line."""


def _utf8_units(code_point: int) -> int:
    return 1 + (code_point > 0x7F) + (code_point > 0x7FF) + (code_point > 0xFFFF)


def _utf16_units(code_point: int) -> int:
    return 1 + (code_point > 0xFFFF)


_UNITS: dict[Encoding, Callable[[int], int] | None] = {
    Encoding.UTF8: _utf8_units,
    Encoding.UTF16: _utf16_units,
    Encoding.UTF32: None,  # a code unit is a code point
}


def column_of(line: str, character: int, encoding: Encoding) -> int:
    """Code points before ``character``, clamped to ``line`` (given without its line end).

    A position inside a code point, which no editor should send, becomes the place before it.
    """
    if character <= 0:
        return 0
    units = _UNITS[encoding]
    if units is None or line.isascii():
        return min(character, len(line))
    left = character
    for column, sign in enumerate(line):
        left -= units(ord(sign))
        if left < 0:
            return column
    return len(line)


def characters_of(line: str, column: int, encoding: Encoding) -> int:
    """Code units of the first ``column`` code points of ``line``."""
    units = _UNITS[encoding]
    before = line[:column]
    if units is None or before.isascii():
        return len(before)
    return sum(units(ord(sign)) for sign in before)


def split_lines(text: str) -> list[str]:
    """Lines with their ends; the last one has none and may be empty. Joined they are ``text``."""
    if "\r" not in text:
        *whole, last = text.split("\n")
        return [*(line + "\n" for line in whole), last]
    whole = _LINE.findall(text)
    return [*whole, text[sum(map(len, whole)) :]]


def _content(line: str) -> str:
    return line.rstrip("\r\n") if line.endswith(("\r", "\n")) else line


class LineIndex:
    """A text that is edited by positions and read by offsets.

    It is kept as a list of lines, so that an edit costs what it touches and not what the file
    weighs. The whole text is put together when a snapshot asks for it: from the last one, if few
    edits lie between, which takes a tenth of the time. Where a line begins is counted from the
    line that was asked about last.
    """

    def __init__(self, text: str, encoding: Encoding) -> None:
        self._lines = split_lines(text)
        self._encoding = encoding
        self._text = text
        """The whole text as it was when it was asked for."""
        self._edits: list[tuple[int, int, str]] | None = []
        """What was put in place of what since, one after another; ``None``: too much."""
        self._known = (0, 0)
        """A line and where it begins."""

    @property
    def text(self) -> str:
        """The whole text."""
        if self._edits is None:
            self._text = "".join(self._lines)
        else:
            for start, end, new in self._edits:
                self._text = f"{self._text[:start]}{new}{self._text[end:]}"
        self._edits = []
        return self._text

    def __len__(self) -> int:
        return len(self._lines)

    def line(self, number: int) -> str:
        """One line without its end; ``number`` from 0, clamped."""
        return _content(self._lines[min(max(number, 0), len(self._lines) - 1)])

    def line_start(self, number: int) -> int:
        """Offset of the first code point of a line; ``number`` from 0, clamped."""
        number = min(max(number, 0), len(self._lines) - 1)
        known, start = self._known
        if number < known // 2:
            known, start = 0, 0
        passed = sum(map(len, islice(self._lines, min(known, number), max(known, number))))
        start += passed if number >= known else -passed
        self._known = number, start
        return start

    def locate(self, place: Place) -> tuple[int, int]:
        """Line and column (code points) of a position, clamped into the text."""
        if place.line < 0:
            return 0, 0
        if place.line >= len(self._lines):
            return len(self._lines) - 1, len(self._lines[-1])
        return place.line, column_of(self.line(place.line), place.character, self._encoding)

    def offset_at(self, place: Place) -> int:
        """Code-point offset of a position."""
        line, column = self.locate(place)
        return self.line_start(line) + column

    def place_at(self, offset: int) -> Place:
        """The position of a code-point offset, clamped; inside a CRLF means before it."""
        left = max(offset, 0)
        for number, line in enumerate(self._lines):
            if left < len(line):
                column = min(left, len(_content(line)))
                return Place(number, characters_of(line, column, self._encoding))
            left -= len(line)
        last = self._lines[-1]
        return Place(len(self._lines) - 1, characters_of(last, len(last), self._encoding))

    def replace(self, start: Place, end: Place, new: str) -> None:
        """Put ``new`` in place of what is between two positions (swapped if they are reversed)."""
        (first, left), (last, right) = sorted((self.locate(start), self.locate(end)))
        text = self._lines[first][:left] + new + self._lines[last][right:]
        first, last, text = self._with_neighbours(first, last, text)
        self._note(self.line_start(first), sum(map(len, self._lines[first : last + 1])), text)
        lines = split_lines(text)
        if last + 1 < len(self._lines):
            lines.pop()  # the empty rest after a line end is the line that follows
        self._lines[first : last + 1] = lines

    def _note(self, start: int, length: int, new: str) -> None:
        """Remember that *new* is put in place of so many characters from *start* on."""
        if self._edits is not None and len(self._edits) < MOST_EDITS:
            self._edits.append((start, start + length, new))
        else:
            self._edits = None

    def _with_neighbours(self, first: int, last: int, text: str) -> tuple[int, int, str]:
        """Take in a line before or after, where a lone CR and a lone LF now touch."""
        if first > 0 and text.startswith("\n") and self._lines[first - 1].endswith("\r"):
            first -= 1
            text = self._lines[first] + text
        if text.endswith("\r") and self._lines[last + 1 : last + 2] == ["\n"]:
            last += 1
            text += "\n"
        return first, last, text
