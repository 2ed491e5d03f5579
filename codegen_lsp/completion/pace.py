"""When to ask: how long an automatic request waits for the next key before the engine is asked.

A job that is over before the next key disturbs nobody, so it begins at once. One that takes longer
than the time between two keys would be thrown away at each of them, would hold up the next where it
cannot be interrupted, and would heat the machine: it waits, for a part of that time. Who waits
himself (an editor that asks only after a pause) is not made to wait again.

Knows the times of requests and how much was typed between them. Does not know why they were made.
"""

from __future__ import annotations

import statistics
from collections import deque
from typing import Final

__all__ = ["Pace"]

REMEMBERED: Final = 15
"""Gaps of which the median counts."""

LONGEST_GAP: Final = 1.0
"""Seconds; a longer one is a pause, not typing."""

SHORTEST_GAP: Final = 0.03
"""Seconds; nobody types faster, but keys are repeated and editors send what they had kept."""

USUAL_GAP: Final = 0.18
"""The median of people who type code, until something is known of this one."""

CHEAP: Final = 0.25
"""A job that takes this part of a gap, or less, is no burden."""

SHARE: Final = 1 / 3
"""Of a gap, at most, a request waits."""

MOST: Final = 0.12
"""Seconds that a request waits at most."""

PATIENT: Final = 1.5
"""Whose editor asks after more characters than that, more often than not, waits himself. Not on the
average: accepting a suggestion now and then is no patience."""


class Pace:
    """How fast somebody types, and how often his editor asks. For one connection."""

    def __init__(self) -> None:
        self._gaps: deque[float] = deque(maxlen=REMEMBERED)
        self._typed: deque[int] = deque(maxlen=REMEMBERED)
        self._last: tuple[str, int, float] | None = None

    def asked(self, uri: str, length: int, now: float) -> None:
        """An automatic request came at *now* (seconds), with a document of *length* characters."""
        last, self._last = self._last, (uri, length, now)
        if last is None or last[0] != uri:
            return
        gap, typed = now - last[2], abs(length - last[1])
        if 0 <= gap <= LONGEST_GAP and typed:
            self._gaps.append(gap)
            self._typed.append(typed)

    @property
    def gap(self) -> float:
        """Seconds between two requests while typing; median."""
        return max(SHORTEST_GAP, statistics.median(self._gaps)) if self._gaps else USUAL_GAP

    def delay(self, expected: float) -> float:
        """Seconds to wait before a job that will take *expected* seconds."""
        if len(self._typed) >= REMEMBERED // 3 and statistics.median(self._typed) > PATIENT:
            return 0.0
        gap = self.gap
        if expected <= CHEAP * gap:
            return 0.0
        return min(MOST, SHARE * gap * min(1.0, expected / gap))
