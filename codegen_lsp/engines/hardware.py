"""What this machine offers to an engine: cores this process may use, and memory.

Knows the operating system only. Does not know engines; CUDA devices are counted by the engine
whose library must be able to use them (``ct2.cuda_devices``).
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

__all__ = ["Machine", "default_threads", "machine", "quota_of"]

MOST_THREADS: Final = 8
"""A small model's matrices are too small to gain from more."""

_CPU_MAX: Final = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class Machine:
    """The part of the machine this process may use."""

    physical_cores: int
    """Cores, hyper-threads not counted."""

    usable_cores: int
    """Logical cores left by CPU affinity and container quota, at least 1."""

    memory: int
    """Bytes of memory in the machine."""

    processor: str
    """Architecture, for example ``x86_64`` or ``arm64``."""


def machine() -> Machine:
    """Look at the machine. Cheap."""
    logical = psutil.cpu_count(logical=True) or 1
    return Machine(
        physical_cores=psutil.cpu_count(logical=False) or logical,
        usable_cores=max(1, min(_affinity() or logical, _quota() or logical)),
        memory=psutil.virtual_memory().total,
        processor=platform.machine(),
    )


def default_threads(on: Machine) -> int:
    """Threads for one job: the physical cores it may use, at most :data:`MOST_THREADS`.

    One on Apple silicon, where the matrix library brings its own threads.
    """
    if sys.platform == "darwin" and on.processor == "arm64":
        return 1
    return max(1, min(on.physical_cores, on.usable_cores, MOST_THREADS))


def _affinity() -> int | None:
    """Logical cores the process may run on, where the system tells."""
    if sys.platform == "win32" or sys.platform == "darwin":
        return None
    return len(os.sched_getaffinity(0))


def _quota() -> int | None:
    try:
        return quota_of(_CPU_MAX.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError):
        return None


def quota_of(cpu_max: str) -> int | None:
    """Whole cores granted by the text of a cgroup's ``cpu.max`` (quota and period, or ``max``).

    Source: Linux kernel, Documentation/admin-guide/cgroup-v2.rst.
    """
    match cpu_max.split():
        case [quota, period] if quota.isdigit() and period.isdigit() and int(period):
            return max(1, int(quota) // int(period))
        case _:
            return None
