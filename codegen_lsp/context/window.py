r"""The window: how much text around the cursor is looked at, and where its edges are.

Knows text and offsets. The models were trained on ``\n`` alone, so the window has no other line
end. Its left edge moves in coarse steps and stands at a line start, so that from one keystroke
to the next the window begins at the same place and a computed prompt can be used again. Does
not know tokens: sizes are in characters.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Window", "cut_window", "plain", "to_line_end"]

SUFFIX_CHARACTERS: Final = 4096
"""How much text after the cursor is looked at; whole lines, where it is more than one."""

_LINE_END: Final = re.compile(r"\r\n?|\n")

_STEPS: Final = 4
"""The left edge moves by a quarter of the window."""

_TOP_LEVEL: Final = 8
"""To begin at a definition or an unindented line, up to one eighth of the window is given up."""


@dataclass(frozen=True, slots=True)
class Window:
    r"""Text around a cursor, with ``\n`` as the only line end."""

    prefix: str
    suffix: str

    edge: int
    """Offset at which the prefix begins."""

    line_end: str
    r"""What most lines nearby end with: ``\n``, ``\r\n`` or ``\r``."""

    @property
    def starts_document(self) -> bool:
        """Whether nothing was cut on the left."""
        return self.edge == 0


def cut_window(text: str, offset: int, size: int, starts: Sequence[int] = ()) -> Window:
    """The window around *offset* of *text* with at most *size* characters before the cursor.

    *starts* are offsets at which it begins best, ascending: where definitions do. Costs time in
    proportion to *size*, not to the length of the text.
    """
    edge = _left_edge(text, offset, size, starts)
    before = text[edge:offset]
    after = text[offset : _right_edge(text, offset)]
    line_end = _line_end(before + after[:512])
    if before.endswith("\r") and after.startswith("\n"):
        before = before[:-1]  # a cursor inside a line end stands before it
    return Window(plain(before), plain(after), edge, line_end)


def to_line_end(text: str, line_end: str) -> str:
    r"""*text*, whose lines end in ``\n``, with *line_end* in its place."""
    return text if line_end == "\n" else text.replace("\n", line_end)


def _left_edge(text: str, offset: int, size: int, starts: Sequence[int]) -> int:
    """Where the window begins: 0, or a line start, preferably one of *starts* or unindented."""
    if offset <= size:
        return 0
    step = max(1, size // _STEPS)
    least = -(-(offset - size) // step) * step
    most = min(offset, least + size // _TOP_LEVEL)
    best = bisect.bisect_left(starts, least)
    if best < len(starts) and starts[best] <= most:
        return starts[best]
    for edge in _line_starts(text, least, most):
        first = text[edge : edge + 1]
        if not first.isspace() and first not in ")]}":
            return edge
    return next(_line_starts(text, least, offset), least)


def _right_edge(text: str, offset: int) -> int:
    """Where the window ends: before a line end, so that no half line looks like a whole one."""
    edge = offset + SUFFIX_CHARACTERS
    if edge >= len(text):
        return len(text)
    last = max(text.rfind(sign, offset, edge + 1) for sign in "\r\n")
    if last > offset and text[last - 1 : last + 1] == "\r\n":
        last -= 1
    return last if last > offset else edge


def _line_starts(text: str, start: int, stop: int) -> Iterator[int]:
    """Offsets in ``(start, stop]`` at which a line begins."""
    for end in _LINE_END.finditer(text, start, stop):
        yield end.end()


def plain(text: str) -> str:
    r"""*text* with ``\n`` as its only line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _line_end(text: str) -> str:
    """The line end most lines of *text* have; of equally frequent ones the plainest."""
    if "\r" not in text:
        return "\n"
    both = text.count("\r\n")
    counts = {"\n": text.count("\n") - both, "\r\n": both, "\r": text.count("\r") - both}
    return max(counts, key=lambda end: counts[end])
