"""How an answer is judged against what a person wrote.

Pure functions of texts. Definitions, for a shown text that is applied at the cursor:

*exact*: all of it is the hidden text (blanks at line ends do not count). *first line*: the first
non-blank line is. *accepted*: the first non-blank line is the beginning of the hidden one with at
least four visible characters, or all of it; a shown text that is not accepted is *wrong*.
*similarity*: one minus the Levenshtein distance over the longer length, on all of both texts.
*identifier F1*: of the multisets of identifiers, where the hidden text has any. *prefix*: how many
characters are right before the first wrong one. *parses*: whether the document with the text in it
is Python. *duplicates*: a line of it repeats the next line of the document, or what stands right of
the cursor, and the hidden text does not; a line of closing brackets only if it is the last and
closes what the text did not open. *loops*: ``completion.loops`` finds a loop, and the text
is not exact.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from typing import Final

import numpy as np

from codegen_lsp.completion.loops import loop_start
from codegen_lsp.evaluation.replay.lines import parse_python
from codegen_lsp.evaluation.replay.results import Point, Scores
from codegen_lsp.syntax.languages import language_of

__all__ = [
    "LEAST_VISIBLE",
    "accepted",
    "common_prefix",
    "distance",
    "duplicates",
    "identifier_f1",
    "score",
    "similarity",
]

LEAST_VISIBLE: Final = 4
"""Fewest visible characters that are worth a key."""

LINES_ABOVE: Final = 32
"""Lines before the cursor's that a loop may continue."""

_NAME: Final = re.compile(r"[^\W\d]\w*")


def score(point: Point, before: str, after: str, shown: str | None, replaced: str) -> Scores:
    """Judge one answer; *before* and *after* are the document around the cursor.

    *replaced* is the beginning of *after* that the text is to stand for.
    """
    truth = _tidy(point.truth)
    if shown is None:
        return Scores(identifier_f1=0.0 if _identifiers(truth) else None)
    text = _tidy(shown)
    goal = truth + replaced  # what stood there has to be written again
    rest = after[len(replaced) :]
    above, _, head = before.rpartition("\n")
    exact = text == goal
    return Scores(
        exact=exact,
        first_line=_first_line(text) == _first_line(goal),
        accepted=accepted(text, goal),
        similarity=similarity(text, goal),
        identifier_f1=identifier_f1(text, goal),
        prefix=common_prefix(text, goal),
        parses=_parses(point.path, before + shown + rest),
        duplicates=duplicates(head + text, rest, head + goal),
        loops=not exact and loop_start(_last_lines(above), head, text + "\n") is not None,
        lines=text.count("\n") + 1,
    )


def _tidy(text: str) -> str:
    """*text* with one line end and without blanks before it."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).rstrip()


def _first_line(text: str) -> str:
    return next((line for line in text.split("\n") if line.strip()), "")


def accepted(text: str, truth: str) -> bool:
    """Whether the first line of *text* begins the truth's with enough, or is all of it."""
    line, goal = _first_line(text).rstrip(), _first_line(truth).rstrip()
    if not line or not goal.startswith(line):
        return False
    return line == goal or visible(line) >= LEAST_VISIBLE


def visible(text: str) -> int:
    """How many characters are no blanks."""
    return sum(not character.isspace() for character in text)


def similarity(one: str, other: str) -> float:
    """1 for equal texts, 0 for texts without anything in common."""
    longest = max(len(one), len(other))
    return 1.0 if not longest else 1 - distance(one, other) / longest


def distance(one: str, other: str) -> int:
    """Insertions, deletions and replacements of single characters between two texts."""
    if len(one) < len(other):
        one, other = other, one
    goal = np.frombuffer(other.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    steps = np.arange(len(goal) + 1)
    row = steps.copy()
    for number, character in enumerate(one, start=1):
        ahead = np.empty_like(row)
        ahead[0] = number
        ahead[1:] = np.minimum(row[1:] + 1, row[:-1] + (goal != ord(character)))
        # An insertion costs one more than what stands left of it: a running minimum, shifted.
        row = np.minimum.accumulate(ahead - steps) + steps
    return int(row[-1])


def identifier_f1(text: str, truth: str) -> float | None:
    """Harmonic mean of precision and recall of identifiers; ``None`` if *truth* has none."""
    written, wanted = _identifiers(text), _identifiers(truth)
    if not wanted:
        return None
    both = (written & wanted).total()
    return 2 * both / (written.total() + wanted.total())


def _identifiers(text: str) -> Counter[str]:
    return Counter(name for name in _NAME.findall(text) if not keyword.iskeyword(name))


def common_prefix(one: str, other: str) -> int:
    """How many characters both texts begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def _parses(path: str, document: str) -> bool | None:
    if language_of(path) != "python":
        return None
    return parse_python(document) is not None


def duplicates(text: str, rest: str, truth: str) -> bool:
    """Whether *text*, whole lines up to the cursor's right side, repeats what follows it."""
    tail, _, below = rest.partition("\n")
    end = tail.strip()
    if end and text.endswith(end) and not truth.endswith(end):
        return True
    following = _first_line(below).strip()
    wanted = {line.strip() for line in truth.split("\n")}
    written = [line.strip() for line in text.split("\n")]
    if not following or following in wanted:
        return False
    if not any(map(str.isalnum, following)):
        # Closing brackets often come twice; what opens none of them needs them once.
        return len(written) > 1 and following == written[-1] and _closes_more(text)
    return following in written


def _closes_more(text: str) -> bool:
    """Whether *text* closes more brackets than it opens."""
    return sum(map(text.count, ")]}")) > sum(map(text.count, "([{"))


def _last_lines(above: str) -> list[str]:
    return [line for line in above.split("\n") if line.strip()][-LINES_ABOVE:]
