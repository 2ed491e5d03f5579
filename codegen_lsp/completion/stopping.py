"""When an answer is whole: decided while it is generated, so that nothing is computed in vain.

Knows lines, indentation and brackets of the answer and what stands around the cursor. Every
decision is a function of the text so far, never of the pieces it came in. Does not know tokens
or time; does not tidy (``cleanup`` does).
"""

from __future__ import annotations

import difflib
import enum
from dataclasses import dataclass
from typing import Final

from codegen_lsp.completion.budget import Plan, Shape
from codegen_lsp.completion.lexing import CLOSERS, Lexed, lex
from codegen_lsp.completion.loops import line_loops, repeated
from codegen_lsp.completion.place import opens_block, width
from codegen_lsp.types import Trigger

__all__ = ["Answer", "End", "Stopper", "same_line", "whole"]

_SIMILARITY: Final = 0.9
_LONG: Final = 10
"""Only lines of at least this many characters are compared by similarity."""


class End(enum.Enum):
    """Why an answer ended."""

    WHOLE = "whole"
    """By the rules of its shape, or because the model had nothing more to say."""

    CUT = "cut"
    """The tokens ran out, perhaps in the middle of a word."""

    LOOP = "loop"
    """It began to repeat itself; what is left is what came before."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The text of an answer and how it ended."""

    text: str
    end: End


class Stopper:
    """Reads an answer piece by piece until it is whole."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._place = plan.place
        self._text = ""
        self._lines: list[str] = []
        """The complete lines so far, the first with what stands before the cursor."""
        self._line_start = 0
        self._judged = False
        """Whether the current line was allowed to begin."""
        self._checked = 0
        """How much of the current line is known to hold no loop."""
        self._state: Lexed = plan.place.lexed
        """The lexical state at the beginning of the current line."""
        self._outer = len(plan.place.lexed.brackets)
        self._floor = self._place.floor if plan.shape is Shape.BLOCK else None
        """Fewest columns of the lines to come; ``None`` until a block was opened."""
        self._last = False
        """Whether the current line is the last one."""
        self._answer: Answer | None = None

    def push(self, piece: str) -> bool:
        """Read on; whether the answer is whole, and the rest of no interest."""
        if self._answer is None:
            self._text += piece
            while self._answer is None and self._step():
                pass
        return self._answer is not None

    def finish(self, end: End) -> Answer:
        """The answer. *end* is how generation ended, where no rule had ended the answer."""
        if self._answer is None:
            line = self._current()
            if line.strip() and same_line(line, self._place.below):
                self._end_before(End.WHOLE)
        if self._answer is None:
            self._answer = Answer(self._text, end)
        return self._answer

    def _step(self) -> bool:
        """Judge the beginning, then the inside, then the end of the current line.

        Returns whether a line was completed, so that there may be more to judge.
        """
        end = self._text.find("\n", self._line_start)
        line = self._current() if end < 0 else self._head() + self._text[self._line_start : end]
        if not self._judged and line.strip():
            self._judged = True
            if self._lines or self._place.blank:
                self._begin(line)
        if self._answer is None:
            self._check_loop(line)
        if self._answer is not None or end < 0:
            return False
        self._complete(line, end)
        return True

    def _head(self) -> str:
        return "" if self._lines else self._place.head

    def _current(self) -> str:
        return self._head() + self._text[self._line_start :]

    def _begin(self, line: str) -> None:
        """A line has its first visible character: may it belong to the answer?"""
        if self._state.inside or len(self._state.brackets) > self._outer:
            return
        columns, first = width(line), line.lstrip()[0]
        floor = self._place.indent if self._floor is None else self._floor
        if columns >= floor:
            # At the top level nothing is deeper: there a blank line ends the answer.
            if columns == 0 and self._after_gap():
                self._end_before(End.WHOLE)
            return
        closes = first in CLOSERS and len(self._state.brackets) == self._outer > 0
        below = self._place.below
        if closes and self._lines and (columns, first) != (width(below), below.lstrip()[:1]):
            self._last = True
        else:
            self._end_before(End.WHOLE)

    def _after_gap(self) -> bool:
        """Whether the last line is blank and something stands above it."""
        written = [line.strip() for line in self._lines]
        return bool(written) and not written[-1] and any(written)

    def _check_loop(self, line: str) -> None:
        if line_loops(line, self._checked or len(self._head())):
            self._end_before(End.LOOP)
        self._checked = len(line)

    def _complete(self, line: str, end: int) -> None:
        """The current line has ended at *end*: does the answer?"""
        self._lines.append(line)
        if line.strip():
            if same_line(line, self._place.below):
                self._end_before(End.WHOLE)
            elif count := repeated(self._place.above, [x for x in self._lines if x.strip()]):
                self._end_after_all_but(count)
            if self._answer is not None:
                return
        written = self._text[self._line_start : end + 1]
        self._state = lex(written, self._place.syntax, self._state)
        if self._last or self._ends_here(line):
            self._answer = Answer(self._text[:end], End.WHOLE)
            return
        self._line_start, self._judged, self._checked = end + 1, False, 0

    def _ends_here(self, line: str) -> bool:
        """Whether the answer is whole after *line*."""
        if self._plan.shape is Shape.LINE or len(self._lines) >= self._plan.max_lines:
            return True
        if not line.strip() and not self._state.inside:
            automatic = self._plan.trigger is Trigger.AUTOMATIC
            return len(self._lines) > 1 and (automatic or not self._lines[-2].strip())
        if self._floor is not None:
            return False
        if len(self._state.brackets) > self._outer or self._state.inside:
            return False  # goes on in a bracket or a long string
        first = len(self._lines) == 1 and not self._place.blank
        if opens_block(line, self._place.syntax):
            self._floor = self._deeper_than()
            return False
        if first and line == self._place.head:
            return self._plan.trigger is Trigger.AUTOMATIC  # the line was complete already
        return not line.lstrip().startswith(("@", "#", "//"))

    def _deeper_than(self) -> int:
        """The floor of a block that the statement's last line opens: deeper than its first."""
        return width(next(line for line in self._lines if line.strip())) + 1

    def _end_before(self, end: End) -> None:
        """The answer ends before the current line, and before blank lines above it."""
        self._answer = Answer(self._text[: self._line_start].rstrip(), end)

    def _end_after_all_but(self, count: int) -> None:
        """The answer ends before its last *count* lines that are not blank."""
        lines = self._text[: self._line_start].split("\n")
        while count:
            count -= bool(self._lines[-1].strip())
            self._lines.pop()
        self._answer = Answer("\n".join(lines[: len(self._lines)]).rstrip(), End.LOOP)


def same_line(line: str, other: str) -> bool:
    """Whether two lines are the same, or so nearly that one repeats the other."""
    if not other.strip() or width(line) != width(other):
        return False
    line, other = line.strip(), other.strip()
    if line == other:
        return True
    if min(len(line), len(other)) < _LONG:
        return False
    matcher = difflib.SequenceMatcher(None, line, other, autojunk=False)
    return matcher.quick_ratio() > _SIMILARITY and matcher.ratio() > _SIMILARITY


def whole(plan: Plan, text: str, end: End = End.WHOLE) -> Answer:
    """The answer in a *text* that came in one piece."""
    stopper = Stopper(plan)
    stopper.push(text)
    return stopper.finish(end)
