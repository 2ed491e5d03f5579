"""Similar windows: where in other documents code is like the code before the cursor.

What a snippet shows is **what follows** the window that matched, with its last lines: the lines
before the cursor are written already, what comes next is wanted. (So does RepoCoder, Zhang et al.
2023, arXiv:2303.12570; its windows are 20 lines.) Words are weighted by how rare they are and, in
the query, by how near to the cursor they stand.

Knows pages and words. Does not know where pages come from, nor how much room there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.context.pages import Page
from codegen_lsp.context.words import ids_of, names

__all__ = ["Match", "Query", "Wanted", "Weigh", "best_matches", "query_of", "rows_after"]

Weigh = Callable[[NDArray[np.uint32]], NDArray[np.float64]]
"""How much each of some words tells."""

LONG: Final = 20
"""Lines that are not blank, in the query and in a window: what the code is about."""

SHORT: Final = 4
"""Lines of the second, smaller window, which finds the very place."""

LEAD: Final = 3
"""Lines of the match that a snippet begins with."""

FOLLOWING: Final = 12
"""Lines after the match that a snippet shows; fewer where something ends."""

LEAST_FOLLOWING: Final = 4
"""A snippet is not cut at a blank line before it shows so many lines that follow."""

DAMPING: Final = 2.0
"""So many average words of the query are added to every union: a window of one word that the query
has too is not the same code."""

CURRENT: Final = 1.5
"""Words on the cursor's own line count more than those on the line above it."""

FARTHEST: Final = 0.3
"""How much words on the first line of the query count."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Words that a window should have."""

    words: NDArray[np.uint32]
    """Distinct, ascending."""

    factors: NDArray[np.float64]
    """How much each counts by where it stands."""

    whole: float
    """The sum of what they tell, each times its factor, and :data:`DAMPING`."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for: the words before the cursor."""

    long: Wanted
    """Words of the last :data:`LONG` lines."""

    short: Wanted
    """Those of the last :data:`SHORT` lines."""

    weigh: Weigh

    era: object = None
    """As long as this is the same, and not ``None``, *weigh* gives the same weights."""


@dataclass(frozen=True, slots=True)
class Match:
    """A place in a page."""

    page: Page

    end: int
    """The last line of the window that matched."""

    score: float
    """0 is nothing in common; the same code comes near 1."""


def query_of(text: str, offset: int, weigh: Weigh, era: object = None) -> Query:
    r"""The query at *offset* of *text*, whose lines end in ``\n``."""
    above, _, current = text[max(0, offset - 8000) : offset].rpartition("\n")
    lines = [line for line in above.split("\n") if line and not line.isspace()]
    long: dict[int, float] = dict.fromkeys(ids_of(names(current)), CURRENT)
    short = dict(long)
    for distance, line in enumerate(reversed(lines[-LONG:])):
        weight = 1 - (1 - FARTHEST) * distance / LONG
        for word in ids_of(names(line)):
            long.setdefault(word, weight)
            if distance < SHORT - 1:
                short.setdefault(word, 1.0)
    return Query(_wanted(long, weigh), _wanted(short, weigh), weigh, era)


def _wanted(found: Mapping[int, float], weigh: Weigh) -> Wanted:
    words = np.array(sorted(found), np.uint32)
    factors = np.array([found[word] for word in words.tolist()], np.float64)
    weights = weigh(words)
    damping = DAMPING * float(weights.mean()) if len(words) else 0.0
    return Wanted(words, factors, float(weights @ factors) + damping)


def best_matches(page: Page, query: Query, *, most: int, hidden: range = range(0)) -> list[Match]:
    """The best places of *page*, best first, none within another one's snippet.

    None ends on one of the *hidden* lines.
    """
    if len(page.filled) < 2 or not len(query.short.words):
        return []
    scores = _scores(page, query)
    lines = page.numbers
    scores[(lines >= hidden.start) & (lines < hidden.stop)] = 0
    scores[-1] = 0  # nothing follows
    found: list[Match] = []
    while len(found) < most:
        row = int(scores.argmax())
        if scores[row] <= 0:
            break
        end = page.filled[row]
        found.append(Match(page, end, float(scores[row])))
        scores[abs(lines - end) < LEAD + FOLLOWING] = 0
    return found


def rows_after(match: Match) -> range:
    """The lines a snippet shows of a match: its last ones and what follows, to where it ends.

    It ends where the code around the match does, or at a blank line.
    """
    lines = match.page.lines
    start = max(0, match.end - LEAD + 1)
    outer = min(_margin(line) for line in lines[start : match.end + 1] if line.strip())
    inner = _margin(lines[match.end])
    last = min(len(lines), match.end + 1 + FOLLOWING)
    stop, filled, blank = last, 0, False
    for number in range(match.end + 1, last):
        line = lines[number]
        if not line.strip():
            blank = filled >= LEAST_FOLLOWING
            stop = number if blank else stop
            continue
        ended = _margin(line) < (inner if blank else outer)
        if filled and ended and line.strip()[0] not in ")]}":
            stop = stop if blank else number
            break
        filled, blank = filled + 1, False
    return _trimmed(lines, start, stop)


def _trimmed(lines: Sequence[str], start: int, stop: int) -> range:
    while start < stop and not lines[start].strip():
        start += 1
    while stop > start and not lines[stop - 1].strip():
        stop -= 1
    return range(start, stop)


def _margin(line: str) -> int:
    expanded = line.expandtabs(4)
    return len(expanded) - len(expanded.lstrip())


def _scores(page: Page, query: Query) -> NDArray[np.float64]:
    """How like the query the windows are that end on each line that is not blank."""
    if query.era is None or page.weights is None or page.weights[0] != query.era:
        page.weights = query.era, query.weigh(page.occurrences.words)
    long = _likeness(page, LONG, query.long, page.weights[1])
    short = _likeness(page, SHORT, query.short, page.weights[1])
    # A place must be like the query both at large and on its last lines.
    result: NDArray[np.float64] = np.sqrt(long.clip(0) * short.clip(0))
    return result


def _likeness(
    page: Page, height: int, wanted: Wanted, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The weighted Jaccard index of *wanted* and each window of *height* lines."""
    occurrences, rows = page.occurrences, len(page.filled)
    places = np.searchsorted(wanted.words, occurrences.words).clip(0, len(wanted.words) - 1)
    shared = wanted.words[places] == occurrences.words
    factor = np.where(shared, wanted.factors[places], 0.0)
    begins, ends = occurrences.windows(height, rows)

    def sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
        each = values[occurrences.inverse]
        steps = np.bincount(begins, each, rows + 1) - np.bincount(ends, each, rows + 1)
        return np.cumsum(steps)[:rows]

    both, alone = sums(weights * factor), sums(np.where(shared, 0.0, weights))
    result: NDArray[np.float64] = both / (wanted.whole + alone)
    return result
