"""Repeated measurements of one thing, in few numbers. Knows no clock and no unit."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Spread", "spread"]

LATE = 0.95


@dataclass(frozen=True, slots=True)
class Spread:
    """Repeated measurements of one thing."""

    p50: float
    p95: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """Median and 95th percentile (nearest rank) of at least one value."""
    ordered = sorted(values)
    rank = math.ceil(LATE * len(ordered)) - 1
    return Spread(round(statistics.median(ordered), 3), round(ordered[rank], 3), len(ordered))
