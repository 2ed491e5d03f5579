"""Suggestions for a reader to look at: a few of a run, drawn by its seed.

Knows which are chosen and how a suggestion is laid beside what the author wrote. Knows no page.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from codegen_lsp.evaluation.replay.report_words import KINDS
from codegen_lsp.evaluation.replay.results import Answer, Run
from codegen_lsp.evaluation.replay.scoring import common_prefix

__all__ = ["Example", "examples_of"]

Outcome = Literal["right", "wrong", "not shown"]

COUNTS: Final[tuple[tuple[Outcome, int], ...]] = (("right", 7), ("wrong", 7), ("not shown", 6))
"""How many of which, in the order of reading."""

MOST_LINES: Final = 10
MOST_CHARACTERS: Final = 600
"""What is left of a text that is longer."""


@dataclass(frozen=True, slots=True)
class Example:
    """One position, what was written there and what was shown."""

    outcome: Outcome
    place: str
    kind: str
    above: str
    """Lines above the cursor's, with the last line break."""

    head: str
    """The cursor's line up to it."""

    truth: str
    after: str
    """What followed."""

    right: str
    """The beginning of what was shown that is what was written."""

    rest: str
    """What was shown after that."""


def examples_of(run: Run) -> list[Example]:
    """About twenty of a run, always the same ones."""
    found: list[Example] = []
    for outcome, count in COUNTS:
        held = [answer for answer in run.points if _outcome(answer) == outcome]
        generator = random.Random(f"{run.seed}:examples:{outcome}")  # noqa: S311 - no secret
        chosen = sorted(generator.sample(range(len(held)), min(count, len(held))))
        found += [_example(held[index], outcome) for index in chosen]
    return found


def _outcome(answer: Answer) -> Outcome:
    if answer.text is None:
        return "not shown"
    return "right" if answer.scores.accepted else "wrong"


def _example(answer: Answer, outcome: Outcome) -> Example:
    point = answer.point
    truth, text = point.truth + answer.replaced, answer.text or ""
    after = answer.after.removeprefix(answer.replaced)
    edge = _indentation(answer.before + truth + after)
    above, end, head = _dedented("\n" + answer.before, edge)[1:].rpartition("\n")
    truth, shown = (_short(_dedented(one, edge)) for one in (truth, text))
    same = common_prefix(shown, truth)
    return Example(
        outcome=outcome,
        place=f"{point.repository}: {point.path}, line {point.line + 1}",
        kind=KINDS[point.kind],
        above=(above + end).lstrip("\n"),
        head=head,
        truth=truth,
        after=_dedented(after, edge),
        right=shown[:same],
        rest=shown[same:],
    )


def _indentation(text: str) -> str:
    """The least that a line which is not blank begins with."""
    lines = [line for line in text.split("\n") if line.strip()]
    edges = [line[: len(line) - len(line.lstrip())] for line in lines]
    return min(edges, key=len, default="")


def _dedented(text: str, edge: str) -> str:
    """*text*, which may begin inside a line, with less indentation in the lines below."""
    return text.replace("\n" + edge, "\n")


def _short(text: str) -> str:
    lines: Sequence[str] = text.split("\n")
    cut = "\n".join(lines[:MOST_LINES])[:MOST_CHARACTERS]
    return text if cut == text else cut + " …"
