"""Asking the real server for what was hidden, point by point.

Knows the order of points and what of an answer is recorded. How a server is spoken to is
``editor``'s and ``evaluation.client``'s affair, what an answer is worth ``scoring``'s.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Final

from codegen_lsp.evaluation.replay.editor import NOTHING, Editor, offset_of
from codegen_lsp.evaluation.replay.results import Answer, Point
from codegen_lsp.evaluation.replay.scoring import score
from codegen_lsp.evaluation.replay.working_copy import WorkingCopy

__all__ = ["Progress", "ask_points"]

AROUND: Final = (2, 1)
"""Lines above and below the cursor's that are kept with an answer."""

Progress = Callable[[], None]
"""Called after each question."""


async def ask_points(
    editor: Editor, copy: WorkingCopy, points: Sequence[Point], done: Progress
) -> list[Answer]:
    """One request for every point, file by file in the order of *points*.

    :raises CodegenError: the server went away or does not answer.
    """
    answers: list[Answer] = []
    for path, group in itertools.groupby(points, lambda point: point.path):
        for point in group:
            answers.append(await _ask(editor, copy, point))
            done()
        editor.leave(path)
    return answers


async def _ask(editor: Editor, copy: WorkingCopy, point: Point) -> Answer:
    offset = offset_of(copy.texts[point.path], point.line, point.column)
    with editor.cut(point.path, offset, point.truth) as buffer:
        shown = await editor.ask(buffer) or NOTHING
    scores = score(point, buffer.before, buffer.after, shown.text, shown.replaced)
    return Answer(
        point=point,
        text=shown.text,
        replaced=shown.replaced,
        ms=round(shown.ms, 3),
        scores=scores,
        data=shown.data,
        before="\n".join(buffer.before.split("\n")[-1 - AROUND[0] :]),
        after="\n".join(buffer.after.split("\n", AROUND[1] + 1)[: AROUND[1] + 1]),
    )
