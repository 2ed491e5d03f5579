"""Which stretches of which pages are typed, and in which order; the same for the same seed.

With keys in plenty pages are visited in rounds, some lines at a time. Where that would not lead to
every page with the keys there are, it is a *tour*: stretches are as short as they have to be, and
what is gone back to is a page of a moment ago. Where keys are left then, it goes on anywhere.

Knows texts, random numbers and how many keys a stretch takes where nothing is suggested. Knows no
clock, no server and no suggestion.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from codegen_lsp.errors import UsageError
from codegen_lsp.evaluation.bench.script import Page, Script, Visit, presses, strokes_of

__all__ = ["FEWEST_KEYS", "make_script"]

LINES: Final = (1, 8)
"""Lines of one visit."""

MIDDLE_SHARE: Final = 0.25
"""How often a visit is the rest of a line instead of whole lines."""

VISITS_A_PAGE: Final = 3
"""Stretches that are missing from one page at most, where pages are visited in rounds."""

RETURN_SHARE: Final = 0.3
"""How often the next visit is to the same page, or on a tour to one of the last."""

SPARE: Final = 0.6
"""Share of the keys that one visit to each page takes; returns and slips take the rest."""

SHORTEST: Final = 8
"""Characters to which a visit is cut at most, where pages are visited in rounds."""

FEWEST_KEYS: Final = 4
"""Keys a page takes at least; three type one character, a wrong one before it and its deletion."""

LATELY: Final = 5
"""Pages that are gone back to on a tour."""

PLENTY: Final = 2
"""So many times the keys there are can be typed: suggestions that are taken give half away."""


def make_script(pages: Sequence[Page], seed: int, keys: int | None = None) -> Script:
    """Visits that lead to every one of *pages* within *keys* keys, whatever is suggested.

    They go on for more keys than that, as far as there is code, since what is taken of suggestions
    gives keys away. Without *keys* it is as many rounds as there are. A page on which nothing can
    be missing, of fewer than three lines for example, is not visited.

    :raises UsageError: so few keys cannot lead to so many pages.
    """
    if keys is None:
        return _rounds(pages, seed, None)
    if keys < FEWEST_KEYS * len(pages):
        raise UsageError(
            f"{keys} keys do not lead to {len(pages)} files",
            mend=f"--keystrokes {FEWEST_KEYS * len(pages)} or more, or --files"
            f" {max(1, keys // FEWEST_KEYS)} or fewer",
        )
    script = _rounds(pages, seed, max(SHORTEST, int(SPARE * keys / len(pages))))
    if _reached(script, keys) == len(pages):
        return _longer(script, keys)
    return _tour(pages, seed, keys)


def _reached(script: Script, keys: int) -> int:
    """To how many pages *keys* keys lead, where nothing is suggested."""
    seen: set[int] = set()
    for number, visit in enumerate(script.visits):
        if keys <= 0:
            break
        seen.add(visit.page)
        keys -= presses(strokes_of(script.seed, number, script.target(visit)))
    return len(seen)


# --- rounds --------------------------------------------------------------------------------------


def _rounds(pages: Sequence[Page], seed: int, longest: int | None) -> Script:
    """Visits to all pages, now and then several to one, until every page was visited; then again.

    A visit of more than *longest* characters ends with the last line that ends before: were a line
    cut in two, its end would stand right of the cursor all the while.
    """
    chance = random.Random(f"{seed}:visits")  # noqa: S311 - no secret
    waiting = {
        number: [_cut(visit, page.text, longest) for visit in _visits(chance, number, page.text)]
        for number, page in enumerate(pages)
    }
    order: list[Visit] = []
    while any(waiting.values()):
        for number in chance.sample(sorted(waiting), len(waiting)):
            visits = waiting[number]
            while visits:
                order.append(visits.pop())
                if chance.random() >= RETURN_SHARE:
                    break
    return Script(tuple(pages), tuple(order), seed)


def _cut(visit: Visit, text: str, longest: int | None) -> Visit:
    if longest is None or visit.end - visit.start <= longest:
        return visit
    end = text.rfind("\n", visit.start + 1, visit.start + longest + 1)
    if end < 0 or not text[visit.start : end].strip():
        end = text.find("\n", visit.start + longest)
    return replace(visit, end=min(end, visit.end))


def _visits(chance: random.Random, page: int, text: str) -> list[Visit]:
    """Stretches of one page, no two of which touch, in a random order."""
    ends = [at for at, character in enumerate(text) if character == "\n"]
    chosen: list[Visit] = []
    if len(ends) < 2 * LINES[1]:
        return chosen
    for part in range(VISITS_A_PAGE):
        low = len(ends) * part // VISITS_A_PAGE
        high = len(ends) * (part + 1) // VISITS_A_PAGE - LINES[1] - 1
        if high > low:
            first = chance.randrange(low, high)
            chosen.append(_visit(chance, page, text, ends, first))
    chance.shuffle(chosen)
    return [visit for visit in chosen if text[visit.start : visit.end].strip()]


def _visit(chance: random.Random, page: int, text: str, ends: Sequence[int], first: int) -> Visit:
    """Whole lines after the line that ends at ``ends[first]``, or the rest of the next one."""
    line = text[ends[first] + 1 : ends[first + 1]]
    code = len(line) - len(line.lstrip())
    if chance.random() < MIDDLE_SHARE and len(line) - code >= 8:
        start = ends[first] + 1 + chance.randrange(code + 1, len(line) - 4)
        return Visit(page, start, ends[first + 1])
    count = chance.randint(*LINES)
    return Visit(page, ends[first], ends[first + count])


# --- tours ---------------------------------------------------------------------------------------


def _tour(pages: Sequence[Page], seed: int, keys: int) -> Script:
    """Every page once, returns to the last ones between; then on, to whichever page."""
    tour = _Tour(pages, seed)
    chance = tour.chance
    ahead = chance.sample(range(len(pages)), len(pages))
    lately: list[int] = []
    while ahead:
        left = keys - tour.pressed
        wanted = int(left * (1 - RETURN_SHARE) / len(ahead))
        most = left - FEWEST_KEYS * len(ahead)  # what is left for the others
        if lately and most >= FEWEST_KEYS and chance.random() < RETURN_SHARE:
            tour.go(chance.choice(lately[-LATELY:]), wanted, most)
            continue
        page = ahead.pop()
        if tour.go(page, wanted, most + FEWEST_KEYS):
            lately.append(page)
    return tour.on(keys)


def _longer(script: Script, keys: int) -> Script:
    """*script*, and visits to what it leaves whole."""
    tour = _Tour(script.pages, script.seed)
    for visit in script.visits:
        tour.add(visit)
    return tour.on(keys)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a page that may be missing, all of it or its end."""

    number: int
    """From 0."""

    before: int
    """Where the line above ends."""

    code: int
    """Where its first character that is no blank stands."""

    end: int

    @property
    def keys(self) -> int:
        """To type all of it, its beginning being one key."""
        return 1 + self.end - self.code


class _Tour:
    """Visits so far, and what of each page is still there to be missing."""

    def __init__(self, pages: Sequence[Page], seed: int) -> None:
        self.chance = random.Random(f"{seed}:tour")  # noqa: S311 - no secret
        self.visits: list[Visit] = []
        self.pressed = 0
        """Keys of all visits, where nothing is suggested."""
        self._pages, self._seed = pages, seed
        self._lines = [_lines(page.text) for page in pages]
        self._free = [sorted(lines) for lines in self._lines]
        """Numbers of the lines that are whole, and next to none that is not; in random order."""
        for free in self._free:
            self.chance.shuffle(free)

    def on(self, keys: int) -> Script:
        """The script of all visits, after more of them to whichever page, for *keys* keys."""
        pages = [page for page, free in enumerate(self._free) if free]
        wanted = int(keys * (1 - RETURN_SHARE) / len(self._pages))
        while pages and self.pressed < PLENTY * keys:
            page = self.chance.choice(pages)
            if not self.go(page, wanted, keys):
                pages.remove(page)
        return Script(tuple(self._pages), tuple(self.visits), self._seed)

    def add(self, visit: Visit) -> None:
        """A visit to whatever is there."""
        page, text = visit.page, self._pages[visit.page].text
        self.pressed += self._presses(text[visit.start : visit.end])
        self.visits.append(visit)
        # The line after it, too, which would begin to be missing where this one ends.
        taken = range(text.count("\n", 0, visit.start), text.count("\n", 0, visit.end) + 2)
        self._free[page] = [number for number in self._free[page] if number not in taken]

    def go(self, page: int, wanted: int, most: int) -> bool:
        """A visit of about *wanted* keys to *page*, with all slips of *most* at most.

        *most* is at least :data:`FEWEST_KEYS`. Whether there was something to be typed.
        """
        if not self._free[page]:
            return False
        line = self._lines[page][self._free[page].pop()]
        for size in range(max(1, min(wanted, most)), 0, -1):
            visit = self._stretch(page, line, size)
            if self._presses(self._pages[page].text[visit.start : visit.end]) <= most:
                break
        self.add(visit)
        return True

    def _presses(self, target: str) -> int:
        """The keys of the next visit, if that is what is typed."""
        return presses(strokes_of(self._seed, len(self.visits), target))

    def _stretch(self, page: int, line: _Line, size: int) -> Visit:
        """As many lines from *line* on as *size* keys type, else its end."""
        if line.keys > size:
            return Visit(page, max(line.code, line.end - size), line.end)
        last, free = line, set(self._free[page])
        for number in range(line.number + 1, line.number + LINES[1]):
            more = self._lines[page].get(number)
            size -= last.keys
            if more is None or number not in free or more.keys > size:
                break
            last = more
        return Visit(page, line.before, last.end)


def _lines(text: str) -> dict[int, _Line]:
    """The lines of *text* by number, without the first and the last one and all that end blank."""
    found: dict[int, _Line] = {}
    before = text.find("\n")
    number = 1
    while before >= 0 and (end := text.find("\n", before + 1)) >= 0:
        bare = text[before + 1 : end].lstrip(" \t")
        if bare and bare == bare.rstrip():
            found[number] = _Line(number, before, end - len(bare), end)
        before, number = end, number + 1
    return found
