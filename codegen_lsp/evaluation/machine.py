"""What a measurement was made on. Knows no measurement."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping

import psutil

__all__ = ["machine"]


def machine() -> Mapping[str, object]:
    """Processor, memory, Python and the load when this was asked."""
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpus": len(affinity(0)) if affinity else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load": round(psutil.getloadavg()[0], 2),  # what else ran makes every number worse
        "python": platform.python_version(),
    }
