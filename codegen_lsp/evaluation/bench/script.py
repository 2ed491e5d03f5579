"""What someone types: keys, slips and pauses, made once and the same for the same seed.

A *page* is a file; a *visit* is a stretch of it that is not there yet and is typed from its
beginning to its end; ``visits`` chooses which. The strokes of a visit belong to the characters of
its text, so whatever a suggestion gives away is simply not typed, and everything else is typed as
it would have been.

Knows texts and random numbers. Knows no clock, no server and no suggestion: who runs the script
waits and asks.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "Action",
    "Page",
    "Script",
    "Stroke",
    "Typist",
    "Visit",
    "presses",
    "strokes",
    "strokes_of",
    "word_of",
]

MEDIAN_GAP: Final = 0.18
"""Seconds between two keys."""

SIGMA: Final = 0.5
"""Standard deviation of the logarithm of a gap."""

BURST: Final = 0.6
"""Correlation of the logarithms of one gap and the next: quick keys come in bursts."""

PAUSE_SHARE: Final = 0.15
"""How often one thinks at the end of a line."""

PAUSE: Final = (1.0, 3.0)
"""Seconds."""

SLIP_SHARE: Final = 0.02
"""How often a letter is the wrong one."""

UNNOTICED: Final = 2
"""Most right characters that are typed before a wrong one is noticed."""

NEIGHBOURS: Final = {
    left: right for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm") for left, right in
    zip(row, row[1:] + row[-2], strict=True)
}  # fmt: skip
"""What is hit instead of a letter."""


@dataclass(frozen=True, slots=True)
class Page:
    """A file as it is when everything is typed."""

    path: str
    """Relative to the workspace, with slashes."""

    text: str
    """Line feeds only."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A stretch of a page that is to be typed; visits of one page do not overlap."""

    page: int
    """Index into :attr:`Script.pages`."""

    start: int
    end: int
    """Offsets into the page's text."""


@dataclass(frozen=True, slots=True)
class Script:
    """Everything that is typed, in its order."""

    pages: tuple[Page, ...]
    visits: tuple[Visit, ...]
    seed: int

    def target(self, visit: Visit) -> str:
        """What is typed in *visit*."""
        return self.pages[visit.page].text[visit.start : visit.end]


@dataclass(frozen=True, slots=True)
class Stroke:
    """How one character of a target comes about."""

    text: str
    """One character, or a line break with the indentation that an editor adds."""

    gap: float
    """Seconds since the key before."""

    slip: str = ""
    """What is typed in its place, and deleted again, before it is typed."""

    slip_gap: float = 0.0
    """Seconds between the keys of a slip and its correction."""

    by_word: bool = False
    """Whether a suggestion that is accepted here is accepted up to its first word only."""


@dataclass(frozen=True, slots=True)
class Action:
    """One key."""

    kind: Literal["insert", "delete"]
    text: str
    """What is inserted, or the character left of the cursor that is deleted."""

    gap: float


class Typist:
    """Someone at one visit: what is there, and which key comes next."""

    def __init__(self, keys: Sequence[Stroke]) -> None:
        self._keys = keys
        self._next = 0
        """Index of the stroke that comes next."""
        self._ahead = ""
        """What of that stroke's text is there already, by a suggestion."""
        self._pending: list[Action] = []
        """The rest of a slip and its correction."""
        self._slipped = -1
        """The stroke whose slip was made."""

    @property
    def done(self) -> bool:
        """Whether everything is typed."""
        return self._next == len(self._keys)

    @property
    def straight(self) -> bool:
        """Whether what is there is right: no slip waits for its correction."""
        return not self._pending

    @property
    def rest(self) -> str:
        """What is still to be typed, were there no slips."""
        return "".join(key.text for key in self._keys[self._next :])[len(self._ahead) :]

    @property
    def by_word(self) -> bool:
        """Whether a suggestion would be accepted word by word now."""
        return not self.done and self._keys[self._next].by_word

    def upcoming(self) -> Action:
        """The next key; it counts as pressed only with :meth:`press`. Not when :attr:`done`."""
        if self._pending:
            return self._pending[0]
        key = self._keys[self._next]
        if key.slip and self._slipped != self._next and not self._ahead:
            return Action("insert", key.slip[0], key.gap)
        return Action("insert", key.text[len(self._ahead) :], key.gap)

    def press(self) -> Action:
        """Press the next key."""
        action = self.upcoming()
        if self._pending:
            del self._pending[0]
            return action
        key = self._keys[self._next]
        if key.slip and self._slipped != self._next and not self._ahead:
            self._slipped = self._next
            self._pending = _correction(key)
            return action
        self._next, self._ahead = self._next + 1, ""
        return action

    def accept(self, text: str) -> None:
        """Take *text*, which :attr:`rest` begins with, from a suggestion, while straight."""
        if not self.straight or not self.rest.startswith(text):
            raise ValueError("only what is right can be accepted")
        left = self._ahead + text
        self._ahead = ""
        while left and len(left) >= len(self._keys[self._next].text):
            left = left[len(self._keys[self._next].text) :]
            self._next += 1
        self._ahead = left


def _correction(key: Stroke) -> list[Action]:
    """What follows the first wrong character."""
    more = [Action("insert", character, key.slip_gap) for character in key.slip[1:]]
    back = [Action("delete", character, key.slip_gap) for character in reversed(key.slip)]
    return more + back


def strokes(script: Script, number: int) -> tuple[Stroke, ...]:
    """The keys of visit *number*; their texts together are its target."""
    return strokes_of(script.seed, number, script.target(script.visits[number]))


def strokes_of(seed: int, number: int, target: str) -> tuple[Stroke, ...]:
    """The keys of the visit *number* of a script with that *seed*, to a stretch with that text."""
    chance = random.Random(f"{seed}:strokes:{number}")  # noqa: S311 - no secret
    keys = list(_keys(target))
    gaps = _gaps(chance)
    return tuple(
        _stroke(
            chance, next(gaps), key, "".join(keys[place : place + UNNOTICED + 1]), first=not place
        )
        for place, key in enumerate(keys)
    )


def presses(keys: Sequence[Stroke]) -> int:
    """How many keys are pressed for *keys*, slips and their corrections included, at most.

    What is accepted of suggestions takes fewer.
    """
    return sum(1 + 2 * len(key.slip) for key in keys)


def _keys(target: str) -> Iterator[str]:
    """Characters, and line breaks with the indentation of the line that begins."""
    at = 0
    while at < len(target):
        end = at + 1
        if target[at] == "\n":
            while end < len(target) and target[end] in " \t":
                end += 1
        yield target[at:end]
        at = end


def _gaps(chance: random.Random) -> Iterator[float]:
    """Log-normal seconds, each like the one before."""
    level = chance.gauss(0, 1)
    while True:
        yield math.exp(math.log(MEDIAN_GAP) + SIGMA * level)
        level = BURST * level + math.sqrt(1 - BURST**2) * chance.gauss(0, 1)


def _stroke(chance: random.Random, gap: float, key: str, ahead: str, *, first: bool) -> Stroke:
    """One key with what may go wrong; *ahead* is its text and what follows."""
    thinks = chance.random() < PAUSE_SHARE
    slips = chance.random() < SLIP_SHARE
    unnoticed = chance.randint(0, UNNOTICED)
    seconds = chance.uniform(*PAUSE)
    by_word = chance.random() < PAUSE_SHARE
    if first or (key[0] == "\n" and thinks):  # a jump, or the end of a line
        gap += seconds
    wrong = NEIGHBOURS.get(key, "") if slips else ""
    slip = wrong + ahead[1 : 1 + unnoticed].partition("\n")[0] if wrong else ""
    return Stroke(key, gap, slip, MEDIAN_GAP, by_word)


def word_of(text: str) -> str:
    """The first word of a suggestion, with blanks before it: what accepting one word takes."""
    body = text.lstrip(" ")
    blanks = len(text) - len(body)
    if not body or body[0] == "\n":
        return text
    end = 1
    if body[0].isalnum() or body[0] == "_":
        while end < len(body) and (body[end].isalnum() or body[end] == "_"):
            end += 1
    return text[: blanks + end]
