"""When an answer is whole: decided while it is generated, so that nothing is computed in vain.

Knows lines, indentation and brackets of the answer, at its line ends the syntax tree, and what
stands around the cursor. How much was planned is decided again from the first line: a statement
that opens a block goes to the end of the block, a block ends where it is left. Every decision is a
function of the text so far, never of the pieces it came in. Does not know tokens or time; does not
tidy (``cleanup`` does).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from codegen_lsp.completion.budget import Plan, Shape
from codegen_lsp.completion.lexing import CLOSERS, Lexed, lex
from codegen_lsp.completion.loops import line_loops, repeated
from codegen_lsp.completion.overlap import same_line
from codegen_lsp.completion.place import opens_block, width
from codegen_lsp.completion.statements import (
    Next,
    after,
    begins_statement,
    continues,
    is_label,
    leaves,
    may_become_clause,
    may_become_label,
    may_have_clause,
    opens_clause,
)
from codegen_lsp.syntax.blocks import block_end, statement_end
from codegen_lsp.types import Trigger

__all__ = ["Answer", "End", "Stopper", "whole"]


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
        self._language = plan.place.language_id
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
        self._statement: str | None = None
        """The first line of the statement that is being written; ``None`` between two."""
        self._left: int | None = None
        """Columns of a statement that leaves its block: nothing below it is reached."""
        self._next = Next.ENDED
        """What the line after a complete one may be."""
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
        line = self._current()
        if self._answer is None and line.strip():
            if not self._judged:
                self._judge(line)
            if self._answer is None and self._repeats_below(line):
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
        if not self._judged and line.strip() and (end >= 0 or not self._too_early(line)):
            self._judge(line)
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

    def _judge(self, line: str) -> None:
        """A line has begun: may it belong to the answer?"""
        self._judged = True
        if not self._lines and not self._place.blank:
            return
        if self._state.inside or len(self._state.brackets) > self._outer:
            return
        if not self._may_begin(line):
            self._end_before(End.WHOLE)

    def _too_early(self, line: str) -> bool:
        """Whether more of *line* must be known to tell if it may belong to the answer."""
        if line.lstrip()[0] in CLOSERS:
            return True
        return may_become_clause(line, self._language) or (
            width(line) < self._least() and may_become_label(line, self._language)
        )

    def _least(self) -> int:
        return self._place.indent if self._floor is None else self._floor

    def _may_begin(self, line: str) -> bool:
        columns, first = width(line), line.lstrip()[0]
        if first in CLOSERS and len(self._state.brackets) == self._outer > 0:
            return self._may_close(line)
        if is_label(line, self._language):
            self._left = None
            return True
        if self._left is not None and columns >= self._left:
            return self._next is Next.OPEN and columns > self._left
        self._left = None
        if self._floor is None:
            return self._goes_on(line, columns)
        if columns >= self._floor:
            # At the top level nothing is deeper: there a blank line ends the answer.
            return columns > 0 or not self._after_gap()
        return (
            self._opened_itself()
            and columns == self._floor - 1
            and opens_clause(line, self._language)
        )

    def _goes_on(self, line: str, columns: int) -> bool:
        """Whether *line* belongs to the statement that the answer began, or begins it."""
        if self._statement is not None and self._next is Next.OPEN:
            if columns == width(self._statement) and opens_clause(line, self._language):
                return True
            return columns > width(self._statement) or continues(line)
        return columns >= self._place.indent

    def _opened_itself(self) -> bool:
        """Whether the block is one that the answer's own statement opened."""
        return self._plan.shape is Shape.STATEMENT

    def _may_close(self, line: str) -> bool:
        """Whether *line* may close what is open at the cursor: the document does not, or not yet.

        Which it does not where the line opens as much as it closes, as ``} else {`` does.
        """
        found = lex(line, self._place.syntax)
        if len(found.brackets) >= len(found.unmatched):
            return not self._lines or self._plan.shape is Shape.STATEMENT
        self._last = not self._place.closed_below(width(line))
        return self._last

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
        repeats = line.strip() and self._repeats_below(line)
        self._lines.append(line)
        if self._statement is None and begins_statement(line, self._language):
            self._statement = line
        if repeats:
            self._end_before(End.WHOLE)
        elif line.strip() and (
            count := repeated(self._place.above, [x for x in self._lines if x.strip()])
        ):
            self._end_after_all_but(count)
        if self._answer is not None:
            return
        written = self._text[self._line_start : end + 1]
        self._state = lex(written, self._place.syntax, self._state)
        if self._last or self._ends_here(line):
            self._answer = Answer(self._text[:end], End.WHOLE)
        elif (cut := self._tree_end(end)) is not None:
            self._answer = Answer(self._text[:cut].rstrip(), End.WHOLE)
        else:
            self._line_start, self._judged, self._checked = end + 1, False, 0

    def _repeats_below(self, line: str) -> bool:
        """Whether *line* says what the document says next."""
        above = next((x for x in reversed(self._lines) if x.strip()), None)
        if above is None:
            above = self._place.above[-1] if self._place.above else ""
        if not same_line(line, self._place.below, above):
            return False
        closes_own = line.lstrip()[0] in CLOSERS and len(self._state.brackets) > self._outer
        return not closes_own or self._place.awaits_opener

    def _ends_here(self, line: str) -> bool:
        """Whether the answer is whole after *line*."""
        if self._plan.shape is Shape.LINE or len(self._lines) >= self._plan.max_lines:
            return True
        if not line.strip() and not self._state.inside:
            automatic = self._plan.trigger is Trigger.AUTOMATIC
            return len(self._lines) > 1 and (automatic or not self._lines[-2].strip())
        if len(self._state.brackets) > self._outer or self._state.inside:
            return False  # goes on in a bracket or a long string
        self._next = after(line, self._language)
        if self._next is Next.SAME:
            return False
        statement, self._statement = self._statement, None
        if self._floor is not None:
            return self._leaves_block(statement)
        if opens_block(line, self._place.syntax):
            self._floor = self._deeper_than()
            return False
        if len(self._lines) == 1 and not self._place.blank and line == self._place.head:
            return self._plan.trigger is Trigger.AUTOMATIC  # the line was complete already
        self._statement = statement
        if statement is not None and may_have_clause(statement, line, self._language):
            self._next = Next.OPEN
        return self._next is Next.ENDED

    def _leaves_block(self, statement: str | None) -> bool:
        """Whether nothing can follow in the block after *statement*, which is complete."""
        if statement is None or not leaves(statement, self._language):
            return False
        self._left = width(statement)
        if self._plan.shape is not Shape.BLOCK or self._next is Next.OPEN:
            return False
        return self._left <= self._base() and not self._may_be_closed()

    def _base(self) -> int:
        """Columns of the statements of the block that the answer is."""
        lines = self._lines if self._place.blank else self._lines[1:]
        return next((width(line) for line in lines if line.strip()), 0)

    def _may_be_closed(self) -> bool:
        """Whether a closing bracket is to be waited for."""
        return self._outer > 0 and not self._place.below.lstrip().startswith(tuple(CLOSERS))

    def _deeper_than(self) -> int:
        """The floor of a block that the statement's last line opens: deeper than its first."""
        return width(next(line for line in self._lines if line.strip())) + 1

    def _tree_end(self, end: int) -> int | None:
        """Where the answer, of which a line ended at *end*, ends by the syntax tree; if it does.

        The tree is asked where brackets and strings are closed: what is open makes errors.
        """
        place, text = self._place, self._text[:end]
        if self._state.inside or len(self._state.brackets) > self._outer or not text.strip():
            return None
        if self._plan.shape is Shape.STATEMENT:
            cut = statement_end(place.before, text, self._language)
        else:
            found = block_end(place.before, text, self._language)
            closed = place.below.lstrip()[:1] in CLOSERS
            cut = None if found is None else found.content if closed else found.closed
        return cut if cut is not None and text[:cut].strip() else None

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


def whole(plan: Plan, text: str, end: End = End.WHOLE) -> Answer:
    """The answer in a *text* that came in one piece."""
    stopper = Stopper(plan)
    stopper.push(text)
    return stopper.finish(end)
