"""Whether a server is worth asking: pauses between attempts, and a breaker that opens on failure.

An attempt that nothing came of is repeated a few times, after pauses that grow and differ from one
machine to the next, so that a server that comes back is not asked by everybody at once (Brooker,
"Exponential backoff and jitter", 2015). After :data:`ENOUGH` failures in a row the breaker opens:
who asks is told at once that the server is away, and whether it has come back is tried in the
background (Nygard, "Release It!", 2007). Knows seconds and counts; does no input or output.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

from codegen_lsp.errors import EngineError

__all__ = ["ENOUGH", "Breaker", "pause", "trial_pause"]

ENOUGH: Final = 3
"""Failures in a row after which a server is held to be away; also the most attempts."""

FIRST_PAUSE: Final = 0.1
"""Seconds before a second attempt, on average; each further one waits twice as long."""

TRIAL_PAUSE: Final = 0.5
LONGEST_TRIAL_PAUSE: Final = 3.0
"""Seconds between trials whether a server is back: the first, growing to the last. A server that is
back is to be used again within five."""

LONGEST_REST: Final = 60.0
"""Most seconds for which a server is left alone, whatever it asks for."""


def pause(attempt: int, draw: Callable[[], float] = random.random) -> float:
    """Seconds to wait after *attempt* (0 is the first) failed, by half of it more or less."""
    return float(FIRST_PAUSE * 2**attempt * (0.5 + draw()))


def trial_pause(trial: int, draw: Callable[[], float] = random.random) -> float:
    """Seconds to wait before *trial* (0 is the first), with a quarter of it left to chance."""
    length = min(TRIAL_PAUSE * 2 ** min(trial, 16), LONGEST_TRIAL_PAUSE)
    return float(length * (0.75 + 0.25 * draw()))


class Breaker:
    """What is known of one server's health. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._error: EngineError | None = None
        self._until: float | None = None
        """When it closes by itself; ``None``: when a trial succeeds."""

    @property
    def error(self) -> EngineError | None:
        """Why not to ask now, an error of its own for each who wants to raise it."""
        if self._error is None:
            return None
        if self._until is not None and self._clock() >= self._until:
            self.succeeded()
            return None
        return type(self._error)(self._error.message, mend=self._error.mend)

    @property
    def away(self) -> bool:
        """Whether it is open until a trial succeeds."""
        return self._error is not None and self._until is None

    def failed(self, error: EngineError, weight: int = 1) -> None:
        """An attempt failed; one that tells more counts for several."""
        self._failures += weight
        if self._failures >= ENOUGH and self._error is None:
            self._error, self._until = error, None

    def rest(self, error: EngineError, seconds: float) -> None:
        """Do not ask for so long: the server wants it, or asking is of no use."""
        self._error = error
        self._until = self._clock() + min(seconds, LONGEST_REST)

    def succeeded(self) -> None:
        """The server has answered."""
        self._failures, self._error, self._until = 0, None, None
