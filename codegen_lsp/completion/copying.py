"""Suggestions without a model: what follows the same code elsewhere, where that is nearly certain.

Knows how likely a guess has to be, how far it goes, and that it is tidied like an answer of a
model. Does not know where texts come from (``context.copies_texts``), how guesses are made
(``guesses``), or what a model would say.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from codegen_lsp.completion.budget import Plan, Shape, plan
from codegen_lsp.completion.cleanup import PART_STEPS, STEPS, Draft, Tidy, tidy
from codegen_lsp.completion.guesses import WEIGHTS, Around, Guess, confidence, guesses
from codegen_lsp.completion.place import only_closes, place_of
from codegen_lsp.completion.stopping import End
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.collect import collect
from codegen_lsp.context.copies import LONGEST, Finder, Place, below, following, here, visible
from codegen_lsp.context.copies_texts import Searched
from codegen_lsp.context.window import to_line_end
from codegen_lsp.types import CompletionContext, CompletionQuery

__all__ = ["LIMITS", "Copier", "Copy", "Limits", "Searchable"]

LEAST_VISIBLE: Final = 4
"""Fewest visible characters worth showing."""

WINDOW: Final = 4_000
"""Characters before the cursor that are looked at to tidy a guess."""

LINE_TOKENS: Final = 96
"""More than any line has; nothing here counts tokens."""

FURTHER: Final = (8, 4)
"""So many lines, those copied already among them, have to be the same at one place, and at each of
two, for the next line to be copied, too; of more places two lines."""

MOST_LINES: Final = 4
"""Most further lines: what follows them is found as quickly once they are accepted."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a guess has to reach."""

    line: float
    """Least probability with which the rest of a line is shown."""

    part: float
    """Least probability with which the beginning of it is shown."""

    further: float
    """Least probability of the rest of the line with which further lines are shown."""


LIMITS: Final[Mapping[str, Limits]] = {
    "eager": Limits(0.5, 0.6, 0.6),
    "balanced": Limits(0.65, 0.75, 0.75),
    "quiet": Limits(0.8, 0.85, 0.85),
}
"""The setting ``suggestions`` to what it means."""


class Searchable(Protocol):
    """What gives texts to search."""

    def texts(self, query: CompletionQuery) -> Searched:
        """The document and others, and where the cursor is."""
        ...


@dataclass(frozen=True, slots=True)
class Copy:
    """A suggestion that stands elsewhere."""

    text: str
    """What is to be inserted at the cursor, in the document's line ends. Never empty."""

    replaced: int
    """How many characters after the cursor it replaces."""

    confidence: float
    """How likely its first line is right, between 0 and 1."""

    path: str
    """Where the nearest of the places is."""

    lines: int
    """How many lines above the cursor's are the same there."""

    characters: int
    """Visible characters that are the same there."""

    agreeing: int
    """Places that go on like this, of those that share so many lines."""

    differing: int
    """The others of them."""


class Copier:
    """Finds copies. For one thread at a time."""

    def __init__(self, searchable: Searchable, weights: Sequence[float] = WEIGHTS) -> None:
        """*weights* are those of :data:`~codegen_lsp.completion.guesses.FEATURES`."""
        self._searchable = searchable
        self._weights = weights
        self._finder = Finder()

    def find(self, query: CompletionQuery, settings: Settings) -> Copy | None:
        """What stands elsewhere and very likely is what is written here; ``None``: nothing.

        On a thread, because files may be read and, where there are several lines, parsed.
        """
        tail = _tail(query)
        if not only_closes(tail):
            return None
        around, found = self._found(query)
        if not found:
            return None
        limits = LIMITS[settings.suggestions]
        for guess in guesses(found, around):
            sure = confidence(guess, around, self._weights)
            if sure >= (limits.line if guess.ends else limits.part):
                return _copy(query, guess, sure, _text(guess, around, tail, sure, limits), settings)
        return None

    def look(self, query: CompletionQuery) -> None:
        """Choose the texts to be searched around *query*, which take the longest; on a thread."""
        self._searchable.texts(query)

    def _found(self, query: CompletionQuery) -> tuple[Around, list[Place]]:
        searched = self._searchable.texts(query)
        own, offset = searched.texts[0].text, searched.offset
        around = Around(here(own, offset), offset, below(own, offset))
        return around, self._finder.places(around.here, searched.texts, offset)


def _text(guess: Guess, around: Around, tail: str, sure: float, limits: Limits) -> str:
    """The guess, and the lines that follow it at all places alike."""
    if not guess.ends or tail.strip() or sure < limits.further:
        return guess.text
    count = len(guess.places)
    missing = (FURTHER[count - 1] if count <= len(FURTHER) else 2) - guess.places[0].lines
    ways = [following(place, around.here.indentation) for place in guess.places]
    lines = [guess.text]
    for same in itertools.islice(zip(*ways, strict=False), MOST_LINES):
        if len(lines) < missing or len(set(same)) > 1:
            break
        lines.append(same[0])
    return "\n".join(lines).rstrip()


def _copy(
    query: CompletionQuery, guess: Guess, sure: float, text: str, settings: Settings
) -> Copy | None:
    """The guess as it can be shown; ``None`` if it cannot."""
    context = collect(query.snapshot, query.offset, WINDOW, header=False)
    tidied = _tidied(query, text, context, settings)
    if tidied is None or visible(tidied.text) < LEAST_VISIBLE:
        return None
    nearest = guess.places[0]
    return Copy(
        text=to_line_end(tidied.text, context.line_end),
        replaced=tidied.replaced,
        confidence=sure,
        path=nearest.source.path,
        lines=nearest.lines,
        characters=nearest.characters,
        agreeing=guess.agreeing,
        differing=guess.differing,
    )


def _tidied(
    query: CompletionQuery, text: str, context: CompletionContext, settings: Settings
) -> Tidy | None:
    """What of *text* can stand at the cursor."""
    place, trigger = place_of(context), query.trigger
    if "\n" in text:
        planned = plan(place, trigger, settings)
        return tidy(Draft(text, planned, context, End.WHOLE), STEPS)
    # Nothing has to be parsed to show the rest of a line that stands elsewhere.
    planned = Plan(place, Shape.LINE, trigger, LINE_TOKENS, 1)
    return tidy(Draft(text, planned, context, End.WHOLE), PART_STEPS)


def _tail(query: CompletionQuery) -> str:
    """What follows the cursor on its line."""
    text, offset = query.snapshot.text, query.offset
    return text[offset : offset + LONGEST].partition("\n")[0].partition("\r")[0]
