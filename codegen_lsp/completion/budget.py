"""How much is asked for: one line, a statement or a block, and how many tokens and lines.

Knows the place of the cursor and the user's settings. Does not know tokens' contents: when an
answer is whole is decided in ``stopping``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from codegen_lsp.completion.place import Place, only_closes
from codegen_lsp.config.settings import Settings
from codegen_lsp.types import Trigger

__all__ = ["Plan", "Shape", "plan", "unwelcome"]

MAX_LINES: Final = {Trigger.AUTOMATIC: 12, Trigger.INVOKED: 32}
"""Most lines of a block, by what asked for it."""


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
    if settings.multiline == "always" or place.fresh_block:
        return Shape.BLOCK
    return Shape.BLOCK if invoked and place.blank else Shape.STATEMENT
