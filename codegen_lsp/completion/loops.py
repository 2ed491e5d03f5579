"""Repetition: what a small model does when it has lost the thread.

Pure functions of lines. Every answer is a function of the text alone, however it arrived.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

__all__ = ["line_loops", "loop_start", "repeated"]

LONGEST_PERIOD: Final = 32
"""Characters; longer repetitions are found line by line."""

LONGEST_CYCLE: Final = 8
"""Lines that, twice in a row, are a loop."""

SIMILAR_LINES: Final = 5
"""So many lines in a row that differ only in numbers are a loop."""

_RUN: Final = 10
"""So often the same token in a row is a loop."""

_RULER: Final = frozenset("-=#*~_.+/ \t")
"""A run of one of these is a ruler in a comment, and no loop until it is very long."""

_SHORT: Final = 4
_TELLING: Final = 12
"""A line of more characters than this does not come three times by chance."""

_TIMES: Final = 3
_NUMBER: Final = re.compile(r"\d+")


def line_loops(line: str, checked: int = 0) -> bool:
    """Whether a loop ends anywhere in *line* after its first *checked* characters."""
    for end in range(checked + 1, len(line) + 1):
        last, place = line[end - 1], end - 1
        least = end - 1 - min(LONGEST_PERIOD, end // 3)
        while (place := line.rfind(last, least, place)) >= 0:
            period = end - 1 - place
            unit = line[place + 1 : end]
            if line[place + 1 - period : place + 1] != unit:
                continue  # not even twice
            times = _times(unit)
            if period * times <= end and line[end - period * times : end] == unit * times:
                return True
    return False


def _times(unit: str) -> int:
    """How often *unit* must come in a row to be a loop."""
    if not unit.strip("".join(_RULER)):
        return 100 if len(unit) == 1 else 50
    if len(unit) == 1:
        return 18
    if len(unit) == 2:
        return _RUN
    return 6 if len(unit) < 16 else 4


def repeated(above: Sequence[str], lines: Sequence[str]) -> int:
    """How many of the last *lines*, which follow the lines *above*, only repeat; 0 if none.

    Up to :data:`LONGEST_CYCLE` lines twice in a row; of the answer alone, a line for the
    third time, or :data:`SIMILAR_LINES` that differ only in numbers.
    """
    joined = [*above, *lines]
    for period in range(1, LONGEST_CYCLE + 1):
        last = joined[-period:]
        if len(joined) >= 2 * period and last == joined[-2 * period : -period] and _counts(last):
            return min(period, len(lines))
    words = [line.strip() for line in lines]
    if words and len(words[-1]) > _TELLING and words.count(words[-1]) >= _TIMES:
        return 1
    similar = [_NUMBER.sub("0", line) for line in lines[-SIMILAR_LINES:]]
    if len(similar) == SIMILAR_LINES and len(set(similar)) == 1 and _counts(similar[:1]):
        return SIMILAR_LINES - 1
    return 0


def loop_start(above: Sequence[str], head: str, text: str) -> int | None:
    """Where a loop begins in *text*, which follows *head* and the lines *above*; ``None``: nowhere.

    A line that loops is left out as a whole.
    """
    written: list[str] = []
    starts: list[int] = []
    start = 0
    for number, part in enumerate(text.split("\n")):
        line = part if number else head + part
        if line_loops(line, 0 if number else len(head)):
            return start
        ended = start + len(part) < len(text)
        if ended and line.strip():
            written.append(line)
            starts.append(start)
            if count := repeated(above, written):
                return starts[-count]
        start += len(part) + 1
    return None


def _counts(lines: Sequence[str]) -> bool:
    """Whether *lines* are more than a closing bracket or a ``pass``."""
    return sum(len(line.strip()) for line in lines) > _SHORT
