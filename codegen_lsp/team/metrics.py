"""What the server counts: for Prometheus, and for the page that a person opens.

Labels are routes, statuses and names of keys, all of which are few. Nothing here holds code.

Knows numbers. Does not know where they come from or how they are shown.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics", "Use", "Window"]

_SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)

_WINDOW: Final = 60.0
"""Seconds that rates are taken over."""


@dataclass(slots=True)
class Use:
    """What one key asked for since the server started."""

    requests: int = 0
    refused: int = 0
    read: int = 0
    written: int = 0


class Window:
    """What happened lately: latencies and tokens of at most the last few thousand answers."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, float, float, int]] = deque(maxlen=4096)
        """When, seconds in all, seconds to the first token, tokens written."""

    def add(self, total: float, first: float, written: int) -> None:
        """Note an answer."""
        self._seen.append((self._clock(), total, first, written))

    def _recent(self) -> list[tuple[float, float, float, int]]:
        since = self._clock() - _WINDOW
        return [one for one in self._seen if one[0] >= since]

    def percentiles(self, *shares: float) -> dict[float, tuple[float, float]]:
        """Seconds in all and to the first token, by share (0.5: the median); zeros for nothing."""
        recent = self._recent()
        totals, firsts = sorted(one[1] for one in recent), sorted(one[2] for one in recent)
        return {share: (_at(totals, share), _at(firsts, share)) for share in shares}

    @property
    def answers_per_second(self) -> float:
        """Answers, over the last minute."""
        return len(self._recent()) / _WINDOW

    @property
    def tokens_per_second(self) -> float:
        """Tokens written, over the last minute."""
        return sum(one[3] for one in self._recent()) / _WINDOW


def _at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


class Metrics:
    """Everything counted. Each server has its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.window = Window()
        self.uses: defaultdict[str, Use] = defaultdict(Use)
        prefix, registry = "codegen_team", self.registry
        self.requests = Counter(
            f"{prefix}_requests", "Requests by route, status and key.",
            ("route", "status", "key"), registry=registry,
        )  # fmt: skip
        self.tokens = Counter(
            f"{prefix}_tokens", "Tokens read and written, by key.",
            ("direction", "key"), registry=registry,
        )  # fmt: skip
        self.cancelled = Counter(
            f"{prefix}_cancelled", "Requests whose client went away.", registry=registry
        )
        self.seconds = Histogram(
            f"{prefix}_request_seconds", "Completions from request to last byte.",
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.first_token = Histogram(
            f"{prefix}_first_token_seconds", "Completions from request to first token.",
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.batch = Histogram(
            f"{prefix}_batch_sequences", "Sequences in a batch.",
            buckets=(1, 2, 4, 8, 16, 32), registry=registry,
        )  # fmt: skip
        self.waiting = Gauge(f"{prefix}_waiting_sequences", "Sequences queued.", registry=registry)
        self.running = Gauge(
            f"{prefix}_running_sequences", "Sequences inside the model.", registry=registry
        )

    def text(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self.registry)
