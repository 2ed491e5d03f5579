"""What this machine offers to an engine: cores this process may use, and memory.

Knows the operating system only, and what is too much for it. Does not know engines; CUDA devices
are counted by the engine whose library must be able to use them (``ct2.cuda_devices``).
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from codegen_lsp.errors import EngineUnavailableError

__all__ = [
    "SMALL",
    "Machine",
    "available_memory",
    "default_threads",
    "fingerprint",
    "machine",
    "quota_of",
    "refuse_if_too_large",
]

MOST_THREADS: Final = 8
"""A small model's matrices are too small to gain from more."""

SMALL: Final = 64 << 20
"""Bytes of weights below which one thread writes faster than two, which wait for each other longer
than they compute. Measured with 9 MB: a token takes one thread 0.4 ms, two of them 2.9."""

_CPU_INFO: Final = Path("/proc/cpuinfo")
_CPU_MAX: Final = Path("/sys/fs/cgroup/cpu.max")
_MEMORY_MAX: Final = Path("/sys/fs/cgroup/memory.max")
_MEMORY_NOW: Final = Path("/sys/fs/cgroup/memory.current")
_MEMORY_STAT: Final = Path("/sys/fs/cgroup/memory.stat")


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


@functools.cache
def fingerprint() -> str:
    """What this machine is called where a measurement is remembered: processor and usable cores.

    Not its name: a home may be shared, and a machine may get another name.
    """
    on = machine()
    return f"{_processor_name() or on.processor}, {on.usable_cores} cores"


def _processor_name() -> str:
    """The processor's own name, where the system tells it."""
    with contextlib.suppress(OSError):
        for line in _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Hardware"):
                return " ".join(value.split())
    return platform.processor()


def default_threads(on: Machine, weights: int | None = None) -> int:
    """Threads for one job: the physical cores it may use, at most :data:`MOST_THREADS`.

    One on Apple silicon, where the matrix library brings its own threads, and one for a model of
    fewer than :data:`SMALL` bytes of *weights*.
    """
    if sys.platform == "darwin" and on.processor == "arm64":
        return 1
    if weights is not None and weights < SMALL:
        return 1
    return max(1, min(on.physical_cores, on.usable_cores, MOST_THREADS))


def available_memory() -> int:
    """Bytes that this process may still take: what is free, or what a container leaves of it."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = int(_MEMORY_MAX.read_text(encoding="ascii"))
        used = int(_MEMORY_NOW.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such files, or "max"
        return free
    return max(0, min(free, limit - max(0, used - _file_pages())))


def _file_pages() -> int:
    """Bytes of a container's memory that hold what is in files: the kernel gives those up.

    After a model was downloaded or read they are as many as it has; :func:`psutil.virtual_memory`
    counts the like of them as available, too.

    Source: Linux kernel, Documentation/admin-guide/cgroup-v2.rst (``memory.stat``).
    """
    pages = 0
    with contextlib.suppress(OSError, ValueError):
        for line in _MEMORY_STAT.read_text(encoding="ascii").splitlines():
            key, _, value = line.partition(" ")
            if key in ("active_file", "inactive_file"):
                pages += int(value)
    return pages


def refuse_if_too_large(name: str, needed: int, free: int | None = None) -> None:
    """Refuse a model that would push everything else out of memory, before any of it is read.

    *needed* are the bytes of its weights and of what it keeps beside them; *free* is what there
    is, by default :func:`available_memory`.

    :raises EngineUnavailableError: it does not fit; says how much is missing.
    """
    free = available_memory() if free is None else free
    if needed > free:
        raise EngineUnavailableError(
            f"{name} needs {needed / 2**30:.1f} GiB of memory, {free / 2**30:.1f} GiB are free",
            mend="close other programs, or use a smaller model (codegen-lsp models list)",
        )


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
