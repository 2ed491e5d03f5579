"""How much can be read and written in time: requests sized by what this machine was seen to do.

An engine reads a prompt at one speed and writes an answer, token by token, at another; both are
measured with every job. A request then gets a prompt and an answer that are there by its deadline:
as long as the settings allow where the machine is fast, shorter where it is slow. What an engine
has read already costs nothing. Where reading all of a prompt would take too long, a short one is
read first, and the long one when nobody waits.

Knows counts of tokens and seconds. Does not know documents or engines. Before anything was
measured, speeds are guessed from the number of a model's parameters.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass
from typing import Final

__all__ = ["Clock", "Size"]

REMEMBERED: Final = 9
"""Jobs of which the median counts: a machine that slept, or was busy, is not slow for ever."""

FEWEST_READ: Final = 16
FEWEST_WRITTEN: Final = 3
"""Tokens below which a measurement says nothing."""

LEAST_PROMPT: Final = 128
"""A prompt is not made shorter, however slow the machine: nothing good comes of it."""

LEAST_ANSWER: Final = 8
"""Nor is an answer: most of what is suggested has so many tokens, or is typed on from there."""

IDLE_SECONDS: Final = 2.0
"""How long reading may take that nobody waits for. It may not be possible to interrupt."""

GUESSED_READ: Final = 5e-12
GUESSED_WRITE: Final = 1e-10
"""Seconds per token and parameter on two slow cores: 1.8 and 36 ms for 350 million."""

_STEP: Final = 2**0.5
"""Lengths change in steps of this factor, so that a prompt does not begin elsewhere each time."""


@dataclass(frozen=True, slots=True)
class Size:
    """What there is time for."""

    prompt: int | None
    """Most tokens of the prompt; ``None``: all of it."""

    answer: int
    """Most tokens of the answer."""


class Clock:
    """The speed of one engine with one model on this machine."""

    def __init__(self, parameters: int = 0) -> None:
        """*parameters*: of the model; 0 where unknown, then there is time until the first job."""
        self._read: deque[float] = deque(maxlen=REMEMBERED)
        self._write: deque[float] = deque(maxlen=REMEMBERED)
        self.read = parameters * GUESSED_READ
        """Seconds for a token of the prompt."""
        self.write = parameters * GUESSED_WRITE
        """Seconds for a token of the answer."""

    def measured(self, read: int, first: float, written: int, rest: float) -> None:
        """A job read *read* tokens until its first came after *first* seconds.

        The other tokens of *written* came in the *rest* seconds after that.
        """
        if written >= FEWEST_WRITTEN:
            self._write.append(max(rest, 0.0) / (written - 1))
            self.write = statistics.median(self._write)
        if read >= FEWEST_READ:
            self._read.append(max(first - self.write, 0.0) / read)
            self.read = statistics.median(self._read)

    @property
    def longest(self) -> int:
        """Most tokens of any prompt: what is read within :data:`IDLE_SECONDS`, in coarse steps."""
        return _stepped(max(LEAST_PROMPT, _count(IDLE_SECONDS, self.read)))

    def size(self, left: float, prompt: int, warm: int, answer: int) -> Size:
        """What to ask for with *left* seconds until the deadline.

        The *prompt* has so many tokens, of which *warm* need not be read; the *answer* may have so
        many at most.
        """
        least = min(answer, LEAST_ANSWER)
        for_answer = left - (prompt - warm) * self.read
        if for_answer >= least * self.write or prompt - warm <= LEAST_PROMPT:
            return Size(None, min(answer, max(least, _count(for_answer, self.write))))
        length = _stepped(max(LEAST_PROMPT, _count(left - least * self.write, self.read)))
        if length >= prompt:
            return Size(None, least)
        for_answer = left - length * self.read
        return Size(length, min(answer, max(least, _count(for_answer, self.write))))


def _count(seconds: float, each: float) -> int:
    """How many times *each* fits; very often where it takes no time."""
    return int(max(0.0, seconds) / max(each, 1e-9))


def _stepped(count: int) -> int:
    """*count*, or less: a power of the step. At least 1."""
    # A tiny bit more, so that a power itself is not made the next lower one.
    return max(1, round(_STEP ** math.floor(math.log(max(1, count), _STEP) + 1e-9)))
