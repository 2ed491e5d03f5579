"""What an engine with several slots has read: which one serves a prompt best, and how far.

Pure bookkeeping over tuples of token ids. Knows no engine: whoever fills a slot says what is in
it, and what is said may be wrong by a few tokens, which then are read once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["Kept", "common"]

ENOUGH: Final = 0.5
"""A slot is taken for a prompt that shares at least this part of it with what the slot holds; for
another, the slot goes that was used least recently: a jump within a document, which shares no more
than its imports, must not cost what was read of the place one comes back to."""


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens *one* and *other* begin with in common."""
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:
        return shorter
    low, high = 0, shorter  # the first `low` are equal, the first `high` are not
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


class Kept:
    """What *slots* slots hold. One thread changes it at a time; any may look."""

    def __init__(self, slots: int) -> None:
        self._held: tuple[tuple[int, ...], ...] = ((),) * slots
        """Replaced, never changed: the event loop looks while a job writes."""
        self._order = list(range(slots))
        """Slots, the one used least recently first."""

    def choose(self, ids: tuple[int, ...]) -> int:
        """The slot in which *ids* are to be read; it counts as used from now on."""
        lengths = [common(held, ids) for held in self._held]
        slot = max(self._order, key=lambda one: (lengths[one], self._order.index(one)))
        if lengths[slot] < ENOUGH * min(len(ids), max(1, len(self._held[slot]))):
            slot = next((one for one in self._order if not self._held[one]), self._order[0])
        self._order.remove(slot)
        self._order.append(slot)
        return slot

    def hold(self, slot: int, ids: tuple[int, ...]) -> None:
        """*slot* holds *ids* and nothing else."""
        self._held = tuple(ids if i == slot else held for i, held in enumerate(self._held))

    def warm(self, ids: tuple[int, ...]) -> int:
        """How many tokens of *ids* need not be read again; its last one always is."""
        longest = max((common(held, ids) for held in self._held), default=0)
        return max(0, min(longest, len(ids) - 1))
