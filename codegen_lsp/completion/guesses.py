"""Guesses: what follows the same code elsewhere, and how likely that is what is written here.

Of all places where the text before the cursor stands once more, those count most that share most
lines with it. What follows there is a guess: the rest of the line, and where places differ, what
they have in common. How likely a guess is right is said by a small logistic model of how much is
the same, how many places agree, and what stands below the cursor; its weights are fitted by hiding
lines that people wrote (``python -m tests.bench.copies --fit``).

Knows places and texts. Does not know what is likely enough (``copying``), models or documents.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from codegen_lsp.context.copies import Here, Place, visible

__all__ = ["FEATURES", "WEIGHTS", "Around", "Guess", "confidence", "features", "guesses"]

FEATURES: Final = (
    "constant",
    "lines",
    "lines_log",
    "characters",
    "head",
    "start",
    "word",
    "agree",
    "differ",
    "agree_all",
    "differ_all",
    "joins",
    "below",
    "own",
    "open",
    "length",
    "ends",
)
"""What is known of a guess, in the order of the weights.

Lines above that are the same, and the logarithm of one more than those; logarithms of one more than
the visible characters that are the same, and of those on the cursor's line; whether the cursor's
line is still empty; whether the cursor stands behind a word; logarithms of how many places agree
and (one more) differ, first of those that share most lines, then of all; whether the line below
the cursor is what comes next there, too; whether there is one; whether a place is in this document,
or in an open one; the logarithm of one more than the guess's visible characters; whether it goes to
the end of the line."""

WEIGHTS: Final[tuple[float, ...]] = (
    -0.4908,
    0.0596,
    0.0721,
    0.6193,
    0.0985,
    -0.244,
    0.1512,
    0.1381,
    -0.7466,
    1.2318,
    -0.5377,
    1.5029,
    -0.3924,
    0.3684,
    0.1129,
    -0.6972,
    0.1591,
)
"""Weights of :data:`FEATURES`, found on every other package of the replay's table."""

LEAST_VISIBLE: Final = 4
"""Fewest visible characters worth showing."""


@dataclass(frozen=True, slots=True)
class Around:
    """The cursor, as far as it decides about a guess."""

    here: Here

    offset: int

    below: str
    """The next line below the cursor's that is not blank, without indentation."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What may be written at the cursor: the rest of a line, or the beginning of it."""

    text: str

    ends: bool
    """Whether it goes to the end of the line."""

    agreeing: int
    """Places that go on like this, of those that share most lines."""

    differing: int
    """The others of them."""

    everywhere: int
    """All places that go on like this."""

    elsewhere: int
    """All that do not."""

    joins: bool
    """Whether the line below the cursor comes next at one of the places, too."""

    places: tuple[Place, ...]
    """Those that share most lines and agree, the nearest first."""


def guesses(found: Sequence[Place], around: Around) -> Iterator[Guess]:
    """The guess that most places speak for, then its beginnings on which more of them agree."""
    every = [_Rest(place, place.rest) for place in found]
    most = max(place.lines for place in found)
    best = sorted((one for one in every if one.place.lines == most), key=_near(around.offset))
    near, all_ = Counter(one.text for one in best), Counter(one.text for one in every)
    text = max(near, key=lambda rest: (near[rest], all_[rest]))  # of equals, the nearest
    # What the next line says already is not written above it.
    if (around.here.head + text).strip() != around.below or not around.below:
        yield _guess(text, True, best, every, around)
    parts = {_common(text, rest) for rest in near if rest != text}
    for part in sorted(parts, key=len, reverse=True):
        if visible(part) >= LEAST_VISIBLE:
            yield _guess(part, False, best, every, around)


def features(guess: Guess, around: Around) -> tuple[float, ...]:
    """The values of :data:`FEATURES`."""
    head, place = around.here.head, guess.places[0]
    ranks = {one.source.rank for one in guess.places}
    return (
        1.0,
        float(place.lines),
        math.log1p(place.lines),
        math.log1p(place.characters),
        math.log1p(visible(head)),
        float(not head),
        float(_in_word(head[-1:])),
        math.log(guess.agreeing),
        math.log1p(guess.differing),
        math.log(guess.everywhere),
        math.log1p(guess.elsewhere),
        float(guess.joins),
        float(bool(around.below)),
        float(0 in ranks),
        float(1 in ranks),
        math.log1p(visible(guess.text)),
        float(guess.ends),
    )


def confidence(guess: Guess, around: Around, weights: Sequence[float] = WEIGHTS) -> float:
    """How likely *guess* is right, between 0 and 1."""
    values = features(guess, around)
    score = sum(weight * value for weight, value in zip(weights, values, strict=True))
    return 1 / (1 + math.exp(-max(-500.0, min(500.0, score))))


@dataclass(frozen=True, slots=True)
class _Rest:
    place: Place
    text: str
    """The rest of the line there."""


def _near(offset: int) -> Callable[[_Rest], tuple[int, int, int]]:
    """Sorts by how near to the cursor; above it is nearer than below."""

    def key(one: _Rest) -> tuple[int, int, int]:
        place = one.place
        away = abs(place.offset - offset) if not place.source.rank else 0
        return place.source.rank, away, place.offset

    return key


def _guess(
    text: str, ends: bool, best: Sequence[_Rest], every: Sequence[_Rest], around: Around
) -> Guess:
    def agrees(one: _Rest) -> bool:
        return one.text == text if ends else one.text.startswith(text)

    same = tuple(one.place for one in best if agrees(one))
    everywhere = sum(map(agrees, every))
    below = around.below
    return Guess(
        text=text,
        ends=ends,
        agreeing=len(same),
        differing=len(best) - len(same),
        everywhere=everywhere,
        elsewhere=len(every) - everywhere,
        joins=bool(below) and any(place.next_line == below for place in same),
        places=same,
    )


def _common(one: str, other: str) -> str:
    """What both begin with, cut back to the end of a word."""
    end = next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
    while (
        end
        and _in_word(one[end - 1 : end])
        and (_in_word(one[end : end + 1]) or _in_word(other[end : end + 1]))
    ):
        end -= 1
    return one[:end].rstrip()


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"
