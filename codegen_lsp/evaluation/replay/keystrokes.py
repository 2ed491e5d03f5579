"""Lines typed key by key, and what suggestions save.

Knows a typist who reads every suggestion and takes it when it is right: with at least four visible
characters it must begin the rest of the line. Gaps between keys are log-normal and virtual:
an answer that is there before the next key is not waited upon any longer, and one that is not is
given up and cancelled when that key comes. So the server is asked exactly as while someone types,
except that it gets no rest in between.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from codegen_lsp.evaluation.replay.driver import Progress
from codegen_lsp.evaluation.replay.editor import Buffer, Editor, Shown, offset_of
from codegen_lsp.evaluation.replay.results import Ask, Point, TypedLine
from codegen_lsp.evaluation.replay.scoring import LEAST_VISIBLE, visible
from codegen_lsp.evaluation.replay.working_copy import WorkingCopy

__all__ = ["MEDIAN_GAP", "SIGMA", "gaps", "type_lines"]

MEDIAN_GAP: Final = 0.18
"""Seconds between two keys."""

SIGMA: Final = 0.5
"""Standard deviation of the logarithm of a gap."""


def gaps(seed: int, point: Point) -> Iterator[float]:
    """Endless seconds from one key to the next, the same for the same line."""
    name = f"{seed}:gaps:{point.repository}:{point.path}:{point.line}"
    generator = random.Random(name)  # noqa: S311 - no secret
    while True:
        yield generator.lognormvariate(math.log(MEDIAN_GAP), SIGMA)


async def type_lines(
    editor: Editor, copy: WorkingCopy, points: Sequence[Point], seed: int, done: Progress
) -> list[TypedLine]:
    """Type every line of *points*, file by file.

    :raises CodegenError: the server went away or does not answer.
    """
    typed: list[TypedLine] = []
    for path, group in itertools.groupby(points, lambda point: point.path):
        for point in group:
            offset = offset_of(copy.texts[path], point.line, point.column)
            with editor.cut(path, offset, point.truth) as buffer:
                typed.append(await _type(editor, buffer, point, gaps(seed, point)))
            done()
        editor.leave(path)
    return typed


@dataclass(slots=True)
class _Tally:
    """What happened on one line so far."""

    keys: int = 0
    accepts: int = 0
    seen: set[str] = field(default_factory=set)
    """Lines that the suggestions shown would have made."""

    wrong: set[str] = field(default_factory=set)
    asks: list[Ask] = field(default_factory=list)


async def _type(editor: Editor, buffer: Buffer, point: Point, waits: Iterator[float]) -> TypedLine:
    """The line break before the line was typed already; it asks for the first suggestion."""
    tally, place = _Tally(), 0
    truth = point.truth
    while place < len(truth):
        gap = next(waits)
        shown = await editor.ask(buffer, gap)
        taken = _look(tally, shown, truth[:place], truth[place:], gap)
        if taken:
            tally.accepts += 1
        else:
            tally.keys += 1
        text = taken or truth[place]
        editor.insert(buffer, text)
        place += len(text)
    return TypedLine(
        repository=point.repository,
        path=point.path,
        line=point.line,
        column=point.column,
        truth=truth,
        keys=tally.keys,
        accepts=tally.accepts,
        shown=len(tally.seen),
        wrong=len(tally.wrong),
        asks=tally.asks,
    )


def _look(tally: _Tally, shown: Shown | None, before: str, rest: str, gap: float) -> str:
    """Note what is seen; the text that is taken, ``""`` if none is."""
    if shown is None:
        tally.asks.append(Ask("late", round(gap * 1000, 3)))
        return ""
    if shown.text is None:
        tally.asks.append(Ask("none", round(shown.ms, 3)))
        return ""
    line = before + shown.text
    seen = "typed" if line in tally.seen else "new"
    source = str((shown.data or {}).get("source", ""))
    tally.asks.append(Ask(seen, round(shown.ms, 3), source))
    tally.seen.add(line)
    if not rest.startswith(shown.text):
        tally.wrong.add(line)
        return ""
    return shown.text if visible(shown.text) >= LEAST_VISIBLE else ""
