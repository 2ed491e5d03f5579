"""What is known of a folder's files, what is wanted and what has been asked for.

Stands between what the disk shows (``reconcile``) and who reads files (``reading``), and writes
what was read into the index. Knows stamps; does not look at the disk. Safe to use from several
threads. At most one reading of a file is under way, so that its results come in order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Final

from codegen_lsp.context.facts import FileFacts
from codegen_lsp.context.files import Refusal, Stamp
from codegen_lsp.context.index import Index

__all__ = ["AT_ONCE", "Ledger"]

AT_ONCE: Final = 64
"""Files that are asked for and not yet read: few, so that what is urgent does not wait."""

FRESH_NS: Final = 2_000_000_000
"""A file read so soon after it was modified may have been modified again within the same tick of
its file system's clock (2 s on the coarsest one), which no stamp tells."""

_PASSING: Final = frozenset({Refusal.GONE, Refusal.UNREADABLE})
"""Why a file is not read that can be otherwise next time, although its stamp is the same."""


class Ledger:
    """The state of every file of one folder. Paths are relative to it."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._wanted: dict[str, Stamp] = {}
        """Different on the disk, to be asked for, in this order."""
        self._asked: dict[str, Stamp | None] = {}
        """Asked for when the disk showed this; ``None``: gone since, the result is void."""
        self._refused: dict[str, Stamp] = {}
        """Read and found not to be worth anything."""
        self._fresh: set[str] = set()
        """Read too soon after they were modified to believe their stamps."""

    def pending(self) -> int:
        """How many files wait to be read.

        Takes no lock, because the event loop asks: a file is in the next table before it leaves
        the one before, so that none is overlooked.
        """
        return len(self._wanted) + len(self._asked)

    def paths(self) -> set[str]:
        """Every file that is known, indexed or not."""
        with self._lock:
            alive = {path for path, stamp in self._asked.items() if stamp is not None}
            return {*self._index.paths(), *self._wanted, *self._refused, *alive}

    def knows(self, path: str) -> bool:
        """Whether *path* is a file that is known, indexed or not."""
        with self._lock:
            return self._known(path) is not None

    def want(self, found: Mapping[str, Stamp], *, first: bool = False) -> None:
        """The disk shows these files: what is not known as it is there is to be read.

        In the order of *found*; with *first* before all that wait already.
        """
        with self._lock:
            news = {path: stamp for path, stamp in found.items() if self._is_news(path, stamp)}
            if first:
                waiting = {path: stamp for path, stamp in self._wanted.items() if path not in news}
                self._wanted = news | waiting
            else:
                self._wanted.update(news)

    def drop(self, paths: Collection[str]) -> None:
        """The disk no longer shows these files."""
        with self._lock:
            for path in paths:
                self._wanted.pop(path, None)
                self._refused.pop(path, None)
                self._fresh.discard(path)
                if path in self._asked:
                    self._asked[path] = None
                self._index.remove(path)

    def take(self) -> list[str]:
        """The files to ask for next, once there is room; each has to be answered."""
        with self._lock:
            if len(self._asked) > AT_ONCE // 2:
                return []
            free = (path for path in self._wanted if path not in self._asked)
            taken = list(islice(free, AT_ONCE - len(self._asked)))
            now = time.time_ns()
            for path in taken:
                stamp = self._asked[path] = self._wanted[path]
                del self._wanted[path]
                if abs(now - stamp.mtime_ns) < FRESH_NS:
                    self._fresh.add(path)
                else:
                    self._fresh.discard(path)
            return taken

    def settle(self, path: str, outcome: FileFacts | Refusal) -> bool:
        """Take what was read of *path*; whether the disk should be looked at again.

        It counts as under way until :meth:`done`.
        """
        with self._lock:
            expected = self._asked.get(path)
            return expected is not None and self._enter(path, expected, outcome)

    def done(self, path: str) -> None:
        """The reading of *path* has been answered, however that went."""
        with self._lock:
            self._asked.pop(path, None)

    def _enter(self, path: str, expected: Stamp, outcome: FileFacts | Refusal) -> bool:
        """Write down what was read; whether it is older or newer than what was expected."""
        if isinstance(outcome, Refusal):
            self._index.remove(path)
            if outcome not in _PASSING:
                self._refused[path] = expected
            return False
        self._refused.pop(path, None)
        self._index.add(outcome)
        if outcome.stamp == expected:
            return False
        self._fresh.add(path)  # it was modified after the disk was looked at
        return path not in self._wanted

    def _is_news(self, path: str, stamp: Stamp) -> bool:
        if path in self._fresh and path not in self._wanted:
            return True
        return self._known(path) != stamp

    def _known(self, path: str) -> Stamp | None:
        """What the disk showed of *path* when it was last looked at."""
        for table in (self._wanted, self._asked, self._refused):
            stamp = table.get(path)
            if stamp is not None:
                return stamp
        return self._index.stamp(path)
