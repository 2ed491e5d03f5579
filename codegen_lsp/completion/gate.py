"""The gate: how far a suggestion goes, and whether it is shown, by how likely it is right.

Knows what probabilities the model gave its tokens, and a small logistic model that turns them
into the probability that a text is what the programmer goes on to write. Its weights are fitted
by replaying code that people wrote (``calibration``). Does not know documents, engines or files.

A wrong suggestion costs a glance and trust, so what is doubtful as a whole is cut where the doubt
begins: of ``return self._client.fetch(url, timeout=5)`` the first half may be certain and the
rest a guess. Nothing is cut inside a word.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from codegen_lsp.types import Piece

__all__ = [
    "FEATURES",
    "LIMITS",
    "WEIGHTS",
    "Limits",
    "Part",
    "align",
    "confidence",
    "features",
    "parts",
    "select",
]

FEATURES: Final = ("constant", "mean", "least", "total", "first", "length", "ends", "lines")
"""What is known of a text, in the order of the weights.

Mean, least, total and first log-probability of its tokens; the logarithm of one more than its
visible characters; whether it ends where a line of the answer does; its line breaks."""

WEIGHTS: Final[tuple[float, ...]] = (
    1.975696,
    0.616508,
    0.058668,
    0.745338,
    -0.857492,
    -0.654947,
    0.225691,
    -0.552961,
)
"""Weights of :data:`FEATURES`: what ``eval replay --calibrate`` found for the bundled model, on the
ten packages that were held out from its training (and are in no table of results)."""

LEAST_VISIBLE: Final = 4
"""Fewest visible characters of a part that is shown instead of the whole."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a suggestion has to reach."""

    whole: float
    """Least probability with which the first line is shown as it is."""

    part: float
    """Least probability with which the beginning of a doubtful first line is shown."""

    further: float
    """Least probability with which further lines are shown."""


LIMITS: Final[Mapping[str, Limits]] = {
    "eager": Limits(0.0, 0.0, 0.0),
    "balanced": Limits(0.25, 0.45, 0.1),
    "quiet": Limits(0.5, 0.6, 0.3),
}
"""The setting ``suggestions`` to what it means."""


@dataclass(frozen=True, slots=True)
class Part:
    """A beginning of a suggestion that could be shown for all of it."""

    text: str
    pieces: tuple[Piece, ...]

    ends_line: bool
    """Whether it ends where a line of the suggestion does."""


def align(pieces: Sequence[Piece], text: str) -> tuple[Piece, ...]:
    """The pieces that *text*, which clean-up left of theirs, consists of.

    Empty where *text* is not a part of what they say.
    """
    start = "".join(piece.text for piece in pieces).find(text)
    if start < 0:
        return ()
    found, place, end = [], 0, start + len(text)
    for piece in pieces:
        low, high = max(place, start), min(place + len(piece.text), end)
        # A token without a text of its own counts for the text it helped to bring.
        if low < high or (not piece.text and start <= place < end):
            found.append(Piece(piece.text[low - place : high - place], piece.log_prob))
        place += len(piece.text)
    return tuple(found)


def parts(pieces: Sequence[Piece]) -> Iterator[Part]:
    """Every beginning that ends with a line, or in the first one and not inside a word."""
    text = "".join(piece.text for piece in pieces)
    first = _end_of_first_line(text)
    place = 0
    for count, piece in enumerate(pieces, 1):
        line_end = text.find("\n", place, place + len(piece.text))
        place += len(piece.text)
        if line_end >= first:
            yield Part(text[:line_end], tuple(pieces[:count]), ends_line=True)
        elif place < first and not _torn(text, place) and text[:place].strip():
            yield Part(text[:place], tuple(pieces[:count]), ends_line=False)
    if text.strip():
        yield Part(text, tuple(pieces), ends_line=True)


def _end_of_first_line(text: str) -> int:
    """Where the first line that is not blank ends."""
    end = text.find("\n", len(text) - len(text.lstrip()))
    return len(text) if end < 0 else end


def _torn(text: str, place: int) -> bool:
    """Whether *place* is inside a word of *text*."""
    before, after = text[place - 1 : place], text[place : place + 1]
    return (before.isalnum() or before == "_") and (after.isalnum() or after == "_")


def features(part: Part) -> tuple[float, ...] | None:
    """The values of :data:`FEATURES`; ``None`` where the engine gave no probabilities."""
    known = [piece.log_prob for piece in part.pieces if piece.log_prob is not None]
    if not known:
        return None
    visible = sum(not character.isspace() for character in part.text)
    total = sum(known)
    return (
        1.0,
        total / len(known),
        min(known),
        total,
        known[0],
        math.log1p(visible),
        float(part.ends_line),
        float(part.text.count("\n")),
    )


def confidence(part: Part, weights: Sequence[float] = WEIGHTS) -> float | None:
    """How likely *part* is right; ``None`` where nothing can be said."""
    values = features(part)
    if values is None:
        return None
    score = sum(weight * value for weight, value in zip(weights, values, strict=True))
    return 1 / (1 + math.exp(-max(-500.0, min(500.0, score))))


def select(
    pieces: Sequence[Piece], limits: Limits, weights: Sequence[float] = WEIGHTS
) -> Part | None:
    """The part that is to be shown; ``None`` for nothing.

    The whole first line and every further line that are likely enough; else the longest
    beginning of the first line that is.
    """
    judged = [(part, confidence(part, weights)) for part in parts(pieces)]
    lines = [(part, sure) for part, sure in judged if part.ends_line]
    if not lines:
        return None
    first, sure = lines[0]
    if sure is None or sure >= limits.whole:
        chosen = first
        for part, certain in lines[1:]:
            if certain is not None and certain < limits.further:
                break
            chosen = part
        return chosen
    likely = [part for part, certain in judged if _worth(part, certain, first, limits.part)]
    return likely[-1] if likely else None


def _worth(part: Part, certain: float | None, first: Part, least: float) -> bool:
    """Whether *part* is a likely beginning of the line *first* that is long enough to be shown."""
    if certain is None or certain < least or len(part.text) >= len(first.text):
        return False
    return sum(not character.isspace() for character in part.text) >= LEAST_VISIBLE
