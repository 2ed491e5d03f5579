"""Processor time and memory of a process and everything it started. Knows no messages."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import psutil

__all__ = ["Sample", "Watch", "growth"]

EVERY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory at one moment."""

    seconds: float
    keys: int
    mib: float
    """Resident memory of all processes together; what they share counts more than once."""


@dataclass(slots=True)
class Watch:
    """What one tree of processes uses."""

    pid: int
    samples: list[Sample] = field(default_factory=list)
    _ended: dict[int, float] = field(default_factory=dict)
    """Processor seconds by process id, as last seen: some end before the end."""

    def cpu_seconds(self) -> float:
        """Processor seconds since each process began, those that ended included."""
        for process in self._tree():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                self._ended[process.pid] = times.user + times.system
        return sum(self._ended.values())

    def mib(self) -> float:
        """Resident memory now."""
        total = 0
        for process in self._tree():
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        return total / 2**20

    async def sample(self, keys: Callable[[], int]) -> None:
        """Take samples until cancelled."""
        begin = time.perf_counter()
        while True:
            self.cpu_seconds()
            self.samples.append(Sample(time.perf_counter() - begin, keys(), self.mib()))
            await asyncio.sleep(EVERY_SECONDS)

    def _tree(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self.pid)
            return [root, *root.children(recursive=True)]
        except psutil.Error:
            return []


def growth(samples: Sequence[Sample]) -> float | None:
    """MiB per 1,000 keys over the second half, by least squares; ``None``: too few samples."""
    late = samples[len(samples) // 2 :]
    if len(late) < 4:
        return None
    mean_keys = sum(one.keys for one in late) / len(late)
    mean_mib = sum(one.mib for one in late) / len(late)
    width = sum((one.keys - mean_keys) ** 2 for one in late)
    if not width:
        return None
    slope = sum((one.keys - mean_keys) * (one.mib - mean_mib) for one in late) / width
    return slope * 1000
