"""From pieces of code, each found for a reason, to the snippets that fit.

Pure functions: the rankings of all sources are fused, what overlaps becomes one piece, what says
the same twice or stands around the cursor anyway is dropped, and the best of the rest is taken
until there is no more room. Knows lines and characters, not tokens.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from codegen_lsp.context.pages import Page
from codegen_lsp.types import Origin, Snippet

__all__ = ["MOST_ROWS", "WEIGHTS", "Piece", "contents", "fuse", "pack"]

MOST_ROWS: Final = 30
"""Lines of a snippet, at most."""

FEWEST_ROWS: Final = 3
"""A piece that loses lines, for want of room or because another one has them, keeps so many."""

ALIKE: Final = 0.9
"""Where more of a piece's lines than this stand elsewhere, it says nothing new."""

FLATNESS: Final = 4
"""Of reciprocal rank fusion (Cormack et al. 2009, who rank thousands and take 60): with so few
pieces the first of each source must count clearly more than its fourth."""

WEIGHTS: Final[Mapping[Origin, float]] = {
    Origin.SIMILAR: 1.0,
    Origin.OPEN: 1.0,
    Origin.DEFINITIONS: 0.2,
    Origin.IMPORTS: 0.15,
}
"""What the first of a ranking is worth, by its source; in order of preference where worth is equal.
Similar code, open or not, is one ranking. To the bundled model it tells most; definitions and
imports get the room that it leaves."""

_ORDER: Final = {origin: number for number, origin in enumerate(WEIGHTS)}


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines of a page that may become a snippet."""

    page: Page

    rows: tuple[int, ...]
    """Numbers of lines, ascending, not necessarily without gaps; never empty."""

    origin: Origin

    worth: float = 0.0
    """Greater is better."""


def fuse(rankings: Iterable[Sequence[Piece]]) -> list[Piece]:
    """The pieces of all rankings (best first), valued by reciprocal rank, best first."""
    valued = [
        replace(piece, worth=WEIGHTS[piece.origin] / (FLATNESS + rank))
        for ranking in rankings
        for rank, piece in enumerate(ranking)
    ]
    return sorted(valued, key=_preference)


def pack(pieces: Sequence[Piece], around: frozenset[str], limit: int) -> tuple[Snippet, ...]:
    """The snippets that *pieces* (best first) become, most important first.

    *around* is what is shown anyway, see :func:`contents`. Texts and paths of all snippets have at
    most *limit* characters.
    """
    merged = _merged(piece for piece in pieces if not _within(piece, around))
    return tuple(_snippet(piece) for piece in _fitting(_distinct(merged), limit))


def contents(lines: Iterable[str]) -> frozenset[str]:
    """What lines say, whatever their indentation; those without a letter or digit say nothing."""
    stripped = (line.strip() for line in lines)
    return frozenset(line for line in stripped if any(map(str.isalnum, line)))


def _preference(piece: Piece) -> tuple[float, int, str, int]:
    return -piece.worth, _ORDER[piece.origin], piece.page.shown, piece.rows[0]


def _says(piece: Piece) -> frozenset[str]:
    return contents(piece.page.lines[row] for row in piece.rows)


def _within(piece: Piece, around: frozenset[str]) -> bool:
    """Whether a piece says nothing that is not said elsewhere, or nothing at all."""
    says = _says(piece)
    return len(says & around) > ALIKE * len(says) if says else True


def _merged(pieces: Iterable[Piece]) -> list[Piece]:
    """Pieces of which no two share lines or touch; best first."""
    kept: list[Piece] = []
    for piece in pieces:
        rest: Piece | None = piece
        for number, other in enumerate(kept):
            if rest is None or other.page is not rest.page or not _touch(other, rest):
                continue
            union = tuple(sorted({*other.rows, *rest.rows}))
            if len(union) <= MOST_ROWS:
                kept[number] = replace(other, rows=union, worth=other.worth + rest.worth)
                rest = None
            else:
                rest = _without(rest, other.rows)
        if rest is not None and len(rest.rows) <= MOST_ROWS:
            kept.append(rest)
    return sorted(_untouching(kept), key=_preference)


def _untouching(pieces: list[Piece]) -> list[Piece]:
    """*pieces* again, where those that grew until they share lines with others lose them."""
    kept: list[Piece] = []
    for piece in pieces:
        taken = {row for other in kept if other.page is piece.page for row in other.rows}
        rest = piece if taken.isdisjoint(piece.rows) else _without(piece, taken)
        if rest is not None:
            kept.append(rest)
    return kept


def _touch(one: Piece, other: Piece) -> bool:
    rows = {near for row in one.rows for near in (row - 1, row, row + 1)}
    return not rows.isdisjoint(other.rows)


def _without(piece: Piece, taken: Iterable[int]) -> Piece | None:
    gone = frozenset(taken)
    rows = tuple(row for row in piece.rows if row not in gone)
    rest = _filled(piece.page, rows)
    return replace(piece, rows=rest) if len(rest) >= FEWEST_ROWS else None


def _filled(page: Page, rows: Sequence[int]) -> tuple[int, ...]:
    """*rows* without blank lines at either end."""
    start, stop = 0, len(rows)
    while start < stop and not page.lines[rows[start]].strip():
        start += 1
    while stop > start and not page.lines[rows[stop - 1]].strip():
        stop -= 1
    return tuple(rows[start:stop])


def _distinct(pieces: Iterable[Piece]) -> list[Piece]:
    """*pieces* without those that say what a better one says."""
    kept: list[Piece] = []
    said: list[frozenset[str]] = []
    for piece in pieces:
        says = _says(piece)
        if not any(len(says & other) > ALIKE * len(says) for other in said):
            kept.append(piece)
            said.append(says)
    return kept


def _fitting(pieces: Sequence[Piece], limit: int) -> list[Piece]:
    """The best of *pieces* that fit, one that does not without its last lines."""
    room, taken = limit, []
    for piece in pieces:
        shorter = _shortened(piece, room)
        if shorter is not None:
            room -= _cost(shorter)
            taken.append(shorter)
    return taken


def _shortened(piece: Piece, room: int) -> Piece | None:
    """As many of the first lines of a piece as surely fit, or nothing."""
    if _cost(piece) <= room:
        return piece
    margin = _margin(piece)
    left = room - len(piece.page.shown)
    count = 0
    for row in piece.rows:
        left -= max(0, len(piece.page.lines[row].rstrip()) - margin) + 1
        if left < 0:
            break
        count += 1
    rows = _filled(piece.page, piece.rows[:count])
    return replace(piece, rows=rows) if len(rows) >= FEWEST_ROWS else None


def _margin(piece: Piece) -> int:
    """How many characters of indentation all lines of a piece have; a lower bound."""
    lines = (piece.page.lines[row] for row in piece.rows)
    before = [line[: len(line) - len(line.lstrip())] for line in lines if line.strip()]
    least, most = min(before, default=""), max(before, default="")
    return len(least) if most.startswith(least) else 0


def _cost(piece: Piece) -> int:
    return len(_text(piece)) + len(piece.page.shown)


def _snippet(piece: Piece) -> Snippet:
    page = piece.page
    return Snippet(page.shown, page.language_id, _text(piece), piece.origin)


def _text(piece: Piece) -> str:
    """The lines of a piece, without the indentation that all of them have."""
    return textwrap.dedent("".join(f"{piece.page.lines[row].rstrip()}\n" for row in piece.rows))
