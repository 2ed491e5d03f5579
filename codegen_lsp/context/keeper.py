"""Keeps one folder's index true: waits until it is quiet, looks at the disk, has files read.

Events say where to look, the disk says what is there. Knows when to look and what to do about
what is seen. Does not know how changes are noticed (``watcher``), what a look is (``reconcile``)
nor how files are read (``reading``).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from codegen_lsp.context.facts import FileFacts
from codegen_lsp.context.files import MAX_FILES, Refusal
from codegen_lsp.context.folders import State
from codegen_lsp.context.ignoring import Ignore
from codegen_lsp.context.index import Index
from codegen_lsp.context.ledger import Ledger
from codegen_lsp.context.reconcile import Interrupted, look_at, look_everywhere
from codegen_lsp.context.watcher import Pace, Watcher

__all__ = ["Keeper", "Submit"]

logger = logging.getLogger(__name__)

Submit = Callable[[Path, Sequence[str]], None]
"""Has files of a folder read; each comes back by :meth:`Keeper.settle`."""

QUIET: Final = 0.2
"""Seconds without a hint, after which is looked..."""

LONGEST: Final = 2.0
"""...or after the first hint, however many follow."""

MANY: Final = 1_000
"""Places to look at, above which looking at everything costs less."""

SHARE: Final = 10.0
"""Looks at everything are apart by so many times what one takes."""

AGAIN: Final = 5.0
"""Seconds until a look that failed is tried again."""

PATIENCE: Final = 1.0
"""Seconds until the first look, where it takes longer to begin to watch."""


@dataclass(slots=True)
class _Dirt:
    """Where the disk may be different; times are of the monotonic clock."""

    places: set[str] = field(default_factory=set)
    everything: bool = False
    first: float = 0.0
    last: float = 0.0

    def __bool__(self) -> bool:
        return self.everything or bool(self.places)


class Keeper:
    """The index of one folder, and the thread that keeps it."""

    def __init__(self, root: Path, submit: Submit, *, pace: Pace | None = None) -> None:
        self.root = root
        self.index = Index()
        self._submit = submit
        self._ledger = Ledger(self.index)
        self._ignore = Ignore(root)
        self._watcher = Watcher(root, self.hint, pace=pace)
        self._changed = threading.Condition()
        self._dirt = _Dirt()
        self._not_before = 0.0
        """When everything may be looked at again."""
        self._started = 0.0
        self._begun = False
        """Whether the first look has begun."""
        self._looking = True
        """Whether the first look has yet to end, or one is under way."""
        self._missing = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="codegen-keeper", daemon=True)

    @property
    def state(self) -> State:
        """Whether the index holds what the folder holds, as far as is known.

        Takes no lock, because the event loop asks. What is different becomes dirt, then a look,
        then a file to be read, each before it is no longer the one before: asked in this order,
        none is overlooked.
        """
        if self._missing:
            return "missing"
        quiet = not self._dirt and not self._looking and not self._ledger.pending()
        return "ready" if quiet else "reading"

    @property
    def pending(self) -> int:
        """How many files wait to be read."""
        return self._ledger.pending()

    def start(self) -> None:
        """Begin, in the background."""
        self._started = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End; returns at once, and nothing is submitted afterwards."""
        self._watcher.stop()
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def join(self, timeout: float) -> None:
        """Wait until the threads have ended after :meth:`stop`, at most *timeout* seconds."""
        until = time.monotonic() + timeout
        if self._thread.ident is not None:
            self._thread.join(max(0.0, timeout))
        self._watcher.join(until - time.monotonic())

    def hint(self, place: str | None) -> None:
        """Something may have changed at *place*; ``None``: anywhere."""
        if place is not None:
            if self._calls_for_everything(place):
                place = None
            elif self._ignore.ignored(_parent(place), folder=True):
                return
        with self._changed:
            now = time.monotonic()
            dirt = self._dirt
            if not dirt:
                dirt.first = now
            dirt.last = now
            if place is None or len(dirt.places) >= MANY:
                dirt.everything = True
                dirt.places.clear()
            else:
                dirt.places.add(place)
            self._changed.notify()

    def settle(self, path: str, outcome: FileFacts | Refusal) -> None:
        """Take what was read of *path*."""
        try:
            if self._ledger.settle(path, outcome):
                self.hint(path)
        finally:
            self._ledger.done(path)
            with self._changed:
                self._changed.notify()

    def _run(self) -> None:
        self._watcher.start()
        while (dirt := self._next()) is not None:
            try:
                self._look(dirt)
            except Interrupted:
                return
            except Exception as error:
                # Whatever it is, the next look may not meet it.
                logger.error("%s could not be looked at: %s", self.root, type(error).__name__)
                logger.debug("looking at a folder", exc_info=error)
                self._not_before = time.monotonic() + AGAIN
                self.hint(None)
            finally:
                self._looking = False

    def _next(self) -> _Dirt | None:
        """Wait until a look is due, and have files read meanwhile; ``None``: it is over."""
        while True:
            with self._changed:
                if self._stopping:
                    return None
                files = self._ledger.take()
                now = time.monotonic()
                pause = self._pause(now)
                if pause is not None and pause <= 0:
                    self._looking = True
                    dirt = self._taken(now)
                elif files:
                    dirt = None
                else:
                    self._changed.wait(pause)
                    continue
            if files:
                self._submit(self.root, files)
            if dirt is not None:
                return dirt

    def _pause(self, now: float) -> float | None:
        """Seconds until a look is due; ``None`` where none is."""
        dirt = self._dirt
        if not self._begun:
            return 0.0 if dirt.everything else self._started + PATIENCE - now
        if not dirt:
            return None
        due = min(dirt.last + QUIET, dirt.first + LONGEST)
        return (due if dirt.places else max(due, self._not_before)) - now

    def _taken(self, now: float) -> _Dirt:
        """What to look at now; what has to wait stays."""
        dirt, self._dirt = self._dirt, _Dirt()
        if not self._begun:
            self._begun = dirt.everything = True
        if dirt.everything and now < self._not_before:
            self._dirt = _Dirt(set(), True, now, now)
            dirt.everything = False
        return dirt

    def _look(self, dirt: _Dirt) -> None:
        if dirt.everything:
            self._look_everywhere()
            return
        seen = look_at(self.root, self._ignore, dirt.places, self._interrupted)
        known = self._ledger.paths()
        if len(known) + sum(path not in known for path in seen.found) > MAX_FILES + MANY:
            self.hint(None)  # which of them are worth knowing, only a look at all can tell
            return
        self._ledger.want(seen.found, first=True)
        lost = {place for place in seen.hollow if self._ledger.knows(place)}
        if lost != seen.hollow:  # folders, perhaps: what was known below them?
            lost.update(seen.gone(known | seen.found.keys()))
        self._ledger.drop(lost)

    def _look_everywhere(self) -> None:
        began = time.monotonic()
        self._ignore = Ignore(self.root)
        there = _readable(self.root)
        found = look_everywhere(self.root, self._ignore, self._interrupted) if there else {}
        self._ledger.drop(self._ledger.paths().difference(found))
        self._ledger.want(found)
        if not there and not self._missing:
            logger.warning("%s is not a folder that can be read; looking for it", self.root)
        self._missing = not there
        took = time.monotonic() - began
        self._not_before = time.monotonic() + SHARE * took
        self._watcher.took(took)

    def _calls_for_everything(self, place: str) -> bool:
        """Whether git has switched branches there, or what is ignored may be different."""
        if "/.git/" in f"/{place}":  # of what is in there, the watcher only tells what counts
            return True
        # Whether a folder is ignored can depend on what is in it, on what is below it not.
        around = _parent(_parent(place))
        return self._ignore.changed(place) and not self._ignore.ignored(around, folder=True)

    def _interrupted(self) -> bool:
        return self._stopping


def _parent(place: str) -> str:
    return place.rpartition("/")[0]


def _readable(root: Path) -> bool:
    try:
        return root.is_dir() and os.access(root, os.R_OK | os.X_OK)
    except (OSError, ValueError):
        return False
