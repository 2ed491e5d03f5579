"""How much one key may ask: so many requests a minute, so many at a time.

Knows names and a clock. Does not know how full the model's queue is (``batching`` does).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from codegen_lsp.team.refusals import overloaded

__all__ = ["Limits"]

_BUSY_SECONDS = 1.0
"""When to come again if too many of one's own requests are still being answered."""


@dataclass(slots=True)
class _Account:
    """What one key has left."""

    tokens: float
    at: float
    """When ``tokens`` was right."""

    inside: int = 0


class Limits:
    """The accounts of all keys. For one event loop."""

    def __init__(
        self, per_minute: int, at_a_time: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """*per_minute* and *at_a_time* are limits for each key; 0 is none."""
        self._per_minute = per_minute
        self._at_a_time = at_a_time
        self._clock = clock
        self._accounts: dict[str, _Account] = {}

    @contextmanager
    def admit(self, name: str) -> Iterator[None]:
        """Count a request of *name* for as long as it is inside.

        A quarter of a minute's requests may come at once.

        :raises RefusedError: that is too many; says when to come again.
        """
        account = self._account(name)
        if self._at_a_time and account.inside >= self._at_a_time:
            raise overloaded(
                f"{self._at_a_time} requests of this key are being answered", _BUSY_SECONDS
            )
        if self._per_minute and account.tokens < 1:
            wait = (1 - account.tokens) * 60 / self._per_minute
            raise overloaded(f"this key may ask {self._per_minute} times a minute", wait)
        account.tokens -= 1
        account.inside += 1
        try:
            yield
        finally:
            account.inside -= 1

    def _account(self, name: str) -> _Account:
        now, most = self._clock(), max(1.0, self._per_minute / 4)
        account = self._accounts.setdefault(name, _Account(most, now))
        account.tokens = min(most, account.tokens + (now - account.at) * self._per_minute / 60)
        account.at = now
        return account
