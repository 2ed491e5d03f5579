"""How fast this machine's memory can be read: the floor under the time of a token.

A token of a single answer costs one reading of all weights; nothing computes faster than memory
brings them. Knows buffers and clocks, no models.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

__all__ = ["copy_bandwidth", "floor_ms"]

BUFFER_BYTES: Final = 256 << 20
"""Well beyond the caches of any processor that serves one laptop."""

REPEATS: Final = 7


def copy_bandwidth(threads: int, *, size: int = BUFFER_BYTES, repeats: int = REPEATS) -> float:
    """Bytes per second that a copy moves, read and written together; the best of *repeats*.

    Each of *threads* copies its own part of one buffer, as the threads of an engine read their own
    rows. The best counts, because what else runs only makes it worse.
    """
    import numpy as np

    count = max(1, min(threads, os.cpu_count() or 1))
    words = size // 8 // count
    pairs = [(np.ones(words), np.zeros(words)) for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        best = min(_copied_in(pool, pairs) for _ in range(repeats))
    return 2.0 * words * 8 * count / best


def _copied_in(pool: ThreadPoolExecutor, pairs: Sequence[tuple[Any, Any]]) -> float:
    begin = time.perf_counter()
    for _ in pool.map(_copy, pairs):
        pass
    return time.perf_counter() - begin


def _copy(pair: tuple[Any, Any]) -> None:
    import numpy as np

    np.copyto(pair[1], pair[0])  # releases the interpreter's lock


def floor_ms(weight_bytes: float, bandwidth: float) -> float:
    """Milliseconds in which *weight_bytes* can be moved at *bandwidth* bytes per second."""
    return weight_bytes / bandwidth * 1000
