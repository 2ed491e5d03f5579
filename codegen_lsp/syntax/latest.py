"""What was computed last, and need not be again: for functions of long texts.

From one keystroke to the next a long text is the same up to the cursor's line. To be told so by
comparing takes a tenth of the time that a hash of it takes, as ``functools.lru_cache`` would want
one. Knows arguments and results. Keeps its arguments alive; is used for a few of each.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

__all__ = ["FEW", "latest"]

FEW: Final = 4
"""So many results are kept, if nothing else is said: of documents between which one changes."""

P = ParamSpec("P")
T = TypeVar("T")


def latest(call: Callable[P, T]) -> Callable[P, T]:
    """*call*, which must be pure, with its last :data:`FEW` results at hand.

    Positional arguments only. Threads may share it; the worst that can happen is that something
    is computed twice.
    """
    known: deque[tuple[tuple[object, ...], T]] = deque(maxlen=FEW)

    @functools.wraps(call)
    def remembering(*arguments: P.args, **named: P.kwargs) -> T:
        for given, result in tuple(known):
            if given == arguments:
                return result
        result = call(*arguments, **named)
        known.append((arguments, result))
        return result

    return remembering
