"""How much is asked for: one line, a statement or a block, and how many tokens and lines.

Knows the place of the cursor, what the syntax tree expects there and the user's settings. Does not
know tokens' contents: when an answer is whole is decided in ``stopping``.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from codegen_lsp.completion.place import Place, only_closes, opens_block, width
from codegen_lsp.config.settings import Settings
from codegen_lsp.syntax.blocks import Expectation, expects
from codegen_lsp.types import Trigger

__all__ = ["Plan", "Shape", "plan", "unwelcome"]

MAX_LINES: Final = {Trigger.AUTOMATIC: 12, Trigger.INVOKED: 32}
"""Most lines of a block, by what asked for it."""


_WORD: Final = re.compile(r"(?<![\w\\])[A-Za-z_]\w*\Z", re.ASCII)
"""The end of a text within a name or a word; a number may end where letters go on."""


class Shape(enum.Enum):
    """How far an answer goes."""

    LINE = "line"
    """To the end of the line."""

    STATEMENT = "statement"
    """To the end of the line; if that line opens a block, to the end of the block."""

    BLOCK = "block"
    """To the end of the block."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for at a place."""

    place: Place
    shape: Shape
    trigger: Trigger
    max_tokens: int
    max_lines: int


def unwelcome(tail: str, trigger: Trigger) -> bool:
    """Whether a suggestion would only be in the way, *tail* being the line after the cursor.

    That is in the middle of a line with code to its right, unless the user asked.
    """
    return trigger is Trigger.AUTOMATIC and not only_closes(tail)


def plan(place: Place, trigger: Trigger, settings: Settings) -> Plan:
    """What to ask for at *place*."""
    shape = _shape(place, trigger is Trigger.INVOKED, settings)
    line = shape is Shape.LINE
    return Plan(
        place=place,
        shape=shape,
        trigger=trigger,
        max_tokens=settings.max_line_tokens if line else settings.max_new_tokens,
        max_lines=1 if line else MAX_LINES[trigger],
    )


def _shape(place: Place, invoked: bool, settings: Settings) -> Shape:
    if place.tail.strip() or settings.multiline == "never":
        return Shape.LINE
    if settings.multiline == "always":
        return Shape.BLOCK
    if _has_body(place):
        return Shape.LINE
    if _begins_block(place):
        return Shape.BLOCK
    return Shape.BLOCK if invoked and place.blank else Shape.STATEMENT


def _has_body(place: Place) -> bool:
    """Whether the lines below are deeper: the body, or the arguments, of what is being written."""
    level = place.indent
    if not place.head and place.above and not place.gap:  # how deep it will be is not typed yet
        outer = width(place.above[-1])
        if opens_block(place.above[-1], place.syntax) and level <= outer:
            return False  # they are the body of the line above, of which this is to be a line
        level = max(level, outer)
    return width(place.below) > level


def _begins_block(place: Place) -> bool:
    """Whether a block, or what a bracket holds, begins at *place*.

    The syntax tree knows best what a block is; brackets, and languages without a grammar, are
    judged by the lines around the cursor. In a word nothing begins: there no tree is asked.
    """
    fresh = place.fresh_block
    if not fresh and _WORD.search(place.head):
        return False
    expected = expects(place.before, place.after, place.language_id)
    if expected is Expectation.BLOCK:
        return True
    return fresh and expected is not Expectation.STATEMENT
