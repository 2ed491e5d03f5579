"""Copies: where the text before the cursor stands elsewhere, and what follows it there.

Code repeats. A *place* is where the beginning of the cursor's line, or the lines above it, stand
once more, in this document or another; indentation does not count, only how it changes. What
follows there is what may be written here. Texts are searched as they are (a search through a
megabyte takes less than a millisecond), so nothing has to be prepared, kept or kept true.

Knows texts. Does not know where they come from, which guess is good enough to be shown
(``completion.copying``), nor what a model would say.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

__all__ = ["Finder", "Here", "Place", "Text", "below", "following", "here", "visible"]

REACH: Final = 4_000
"""Characters before the cursor that are compared."""

MOST_LINES: Final = 8
"""Lines above the cursor's that are compared, blank ones not counted."""

LEAST_HEAD: Final = 4
"""Fewest visible characters of the cursor's line that are looked for by themselves."""

LEAST_LINE: Final = 6
"""Fewest visible characters of a line above that is looked for."""

DEEPEST: Final = 3
"""From so many lines above the cursor's one is looked for, where the cursor's says too little."""

MOST_FOUND: Final = 96
"""Of a text that stands in more places than these, only what follows longer ones is telling."""

MOST_LOOKED_AT: Final = 1_000
"""Of what stands in the middle of lines as well, so many places of a text are looked at."""

LONGEST: Final = 1_000
"""Characters of a line that are compared, and that are copied."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is searched."""

    path: str
    """Whose it is."""

    text: str
    r"""With ``\n`` as its only line end."""

    rank: int = 0
    """How near it is: 0 for the cursor's document, 1 for open ones, 2 for others."""


@dataclass(frozen=True, slots=True)
class Here:
    """What stands before the cursor, as far as it is compared."""

    head: str
    """The cursor's line up to the cursor, without its indentation."""

    indentation: str
    """That of the cursor's line."""

    above: tuple[str, ...]
    """Lines above it without indentation and blanks at their end; blank ones left out; the
    nearest first."""

    steps: tuple[int, ...]
    """By how much each of those lines, from the cursor's on, is deeper than the one above it."""

    gap: bool
    """Whether a blank line stands right above the cursor's."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the same stands once more."""

    source: Text

    offset: int
    """Into its text: where it goes on."""

    lines: int
    """How many of the lines above are the same."""

    characters: int
    """Visible ones that are the same, those of the cursor's line included."""

    @property
    def rest(self) -> str:
        """What follows to the end of the line, without blanks there."""
        end = self.source.text.find("\n", self.offset, self.offset + LONGEST)
        return self.source.text[self.offset : end if end >= 0 else self.offset + LONGEST].rstrip()

    @property
    def next_line(self) -> str:
        """The next line there that is not blank, without indentation; ``""`` if there is none."""
        return below(self.source.text, self.offset)


def here(text: str, offset: int) -> Here:
    r"""What stands before *offset* of *text*, whose only line end is ``\n``."""
    lines = text[max(0, offset - REACH) : offset].split("\n")
    if offset > REACH:
        del lines[0]  # half a line says something else
    head = lines.pop() if lines else ""
    bare = head.lstrip()
    filled = [line for line in reversed(lines) if line.strip()][: MOST_LINES + 1]
    depths = [_depth(head), *map(_depth, filled)]
    return Here(
        head=bare,
        indentation=head[: len(head) - len(bare)],
        above=tuple(line.strip() for line in filled[:MOST_LINES]),
        steps=tuple(one - other for one, other in pairwise(depths)),
        gap=bool(lines) and not lines[-1].strip(),
    )


class Finder:
    """Finds places; remembers where lines begin alike, so that the next key only narrows that down.

    For one thread at a time.
    """

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        """By depth."""

    def places(self, around: Here, texts: Sequence[Text], offset: int) -> list[Place]:
        """Where what is *around* the cursor stands elsewhere in *texts*.

        The first of them is the cursor's document; the place at *offset* there is none.
        """
        for depth in _depths(around):
            sought = around.above[depth - 1] if depth else around.head
            own = _lines_with(sought, texts[0].text)
            others = self._others(depth, sought, texts[1:])
            if len(own) + sum(map(len, others)) > MOST_FOUND:
                continue
            found: list[Place] = []
            for text, begins in zip(texts, (own, *others), strict=True):
                ends = (_goes_on(around, depth, text.text, at) for at in begins)
                found += [_place(around, text, end) for end in ends if end is not None]
            return [one for one in found if one.offset != offset or one.source is not texts[0]]
        return []

    def _others(self, depth: int, sought: str, texts: Sequence[Text]) -> Sequence[Sequence[int]]:
        """Where *sought* begins a line of each of the texts, until there are too many."""
        known = self._known.get(depth)
        same = known is not None and _same(known.texts, texts)
        if known is not None and same and sought.startswith(known.sought):
            found = [
                [at for at in begins if text.text.startswith(sought, at)]
                for text, begins in zip(texts, known.begins, strict=True)
            ]
        else:
            found, left = [], MOST_FOUND
            for text in texts:
                found.append(_lines_with(sought, text.text))
                left -= len(found[-1])
                if left < 0:
                    return found  # of no use, and not all
        self._known[depth] = _Known(sought, tuple(texts), found)
        return found


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found in other documents."""

    sought: str
    texts: tuple[Text, ...]
    begins: Sequence[Sequence[int]]


def _same(texts: Sequence[Text], others: Sequence[Text]) -> bool:
    return len(texts) == len(others) and all(map(operator.is_, texts, others))


def _depths(around: Here) -> Iterator[int]:
    """Which line is to be looked for: 0 is the cursor's; the likeliest to be enough first."""
    if visible(around.head) >= LEAST_HEAD:
        yield 0
    for depth, line in enumerate(around.above[:DEEPEST], 1):
        if visible(line) >= LEAST_LINE:
            yield depth


def _lines_with(sought: str, text: str) -> list[int]:
    """Where lines of *text* begin with *sought*, blanks before it not counted; few more than of
    use.
    """
    found: list[int] = []
    at = text.find(sought)
    for _ in range(MOST_LOOKED_AT):
        if at < 0 or len(found) > MOST_FOUND:
            break
        if not text[text.rfind("\n", 0, at) + 1 : at].strip():
            found.append(at)
        at = text.find(sought, at + len(sought))
    return found


def _goes_on(around: Here, depth: int, text: str, at: int) -> int | None:
    """The offset behind all that stands before the cursor, where the line *depth* above it begins
    at *at*; ``None`` where something differs.
    """
    if not depth:
        return at + len(around.head)
    end = at + len(around.above[depth - 1])
    last = _depth(text[text.rfind("\n", 0, at) + 1 : at])
    for up in range(depth - 1, -1, -1):
        stop = text.find("\n", end)
        if stop < 0 or text[end:stop].strip():
            return None
        begin, at = _next_filled(text, stop + 1)
        wanted = around.above[up - 1] if up else around.head
        columns = _depth(text[begin:at])
        if not text.startswith(wanted, at) or columns - last != around.steps[up]:
            return None
        last, end = columns, at + len(wanted)
        if not up and around.gap != (begin > stop + 1):
            return None
    return end


def following(place: Place, indentation: str) -> Iterator[str]:
    """The lines after that of *place*, as they stand where its line has another *indentation*.

    To the first line that would have less than none.
    """
    text = place.source.text
    begin = text.rfind("\n", 0, place.offset) + 1
    own = _indentation(text[begin : place.offset + 1])
    end = text.find("\n", place.offset)
    while 0 <= end < len(text) - 1:
        begin, end = end + 1, text.find("\n", end + 1)
        line = text[begin : end if end >= 0 else len(text)][:LONGEST].rstrip()
        blanks = _indentation(line)
        if not line:
            yield ""
        elif blanks.startswith(own):
            yield indentation + line[len(own) :]
        elif own.startswith(blanks) and len(own) - len(blanks) <= len(indentation):
            yield indentation[: len(indentation) - len(own) + len(blanks)] + line[len(blanks) :]
        else:
            return


def below(text: str, offset: int) -> str:
    """The next line after that of *offset* that is not blank, without indentation."""
    end = text.find("\n", offset)
    if end < 0:
        return ""
    _, begin = _next_filled(text, end + 1)
    return text[begin : begin + LONGEST].partition("\n")[0].rstrip()


def visible(text: str) -> int:
    """How many characters are no blanks."""
    return len("".join(text.split()))


def _next_filled(text: str, begin: int) -> tuple[int, int]:
    """Where the next line that is not blank begins, and where its first character stands."""
    while True:
        end = text.find("\n", begin)
        line = text[begin : end if end >= 0 else len(text)]
        bare = line.lstrip()
        if bare or end < 0:
            return begin, begin + len(line) - len(bare)
        begin = end + 1


def _place(around: Here, source: Text, offset: int) -> Place:
    """How much is the same there."""
    text = source.text
    begin = text.rfind("\n", 0, offset) + 1
    lines, characters = 0, visible(around.head)
    columns = _depth(text[begin : offset - len(around.head)])
    for wanted, step in zip(around.above, around.steps, strict=False):
        line, begin = _line_above(text, begin)
        if line.strip() != wanted or columns - (columns := _depth(line)) != step:
            break
        lines += 1
        characters += visible(wanted)
    return Place(source, offset, lines, characters)


def _line_above(text: str, begin: int) -> tuple[str, int]:
    """The line above the one that begins at *begin* that is not blank, and where it begins."""
    while begin > 0:
        end = begin - 1
        begin = text.rfind("\n", 0, end) + 1
        line = text[max(begin, end - LONGEST) : end]
        if line and not line.isspace():
            return line, begin
    return "", 0


def _depth(line: str) -> int:
    """Columns of indentation."""
    return len(_indentation(line).expandtabs(8))


def _indentation(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]
