"""The folders an editor has open, and an index of each.

Knows which folders get an index and where a document lies in them. Who keeps an index true is
``keeper``; what is not a file is the caller's affair. Light to import and quick to call: what
takes time, importing too, happens on threads of its own.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from codegen_lsp.context.folders import State, lies_in, outermost, spelled, too_wide

if TYPE_CHECKING:
    from codegen_lsp.context.facts import FileFacts
    from codegen_lsp.context.files import Refusal
    from codegen_lsp.context.index import Index
    from codegen_lsp.context.keeper import Keeper
    from codegen_lsp.context.reading import OnResult, Reader
    from codegen_lsp.context.watcher import Pace

__all__ = ["FolderStatus", "Workspace"]

logger = logging.getLogger(__name__)

_CLOSING: Final = 1.0
"""Seconds that closing may take."""


@dataclass(frozen=True, slots=True)
class FolderStatus:
    """How far one folder is."""

    root: Path

    files: int
    """How many files its index holds."""

    pending: int
    """How many files are known to be different on the disk and have not been read yet."""

    state: State


class _Place(NamedTuple):
    """Where a folder begins, and what it is a part of."""

    prefix: Path
    root: Path
    inner: str
    """Where the prefix lies in the root; ``""``: it is the root, perhaps by another path."""


class Workspace:
    """Keeps one index per folder true, in the background. One per connection.

    To be used from one thread; what it answers comes from others and may be a moment old.
    """

    def __init__(
        self, *, reader: Callable[[OnResult], Reader] | None = None, pace: Pace | None = None
    ) -> None:
        """*reader* makes the reader of files, told where results go, once one is needed."""
        self._make_reader = reader
        self._pace = pace
        self._reader: Reader | None = None
        self._wanted: tuple[Path, ...] = ()
        self._refused: dict[Path, None] = {}
        self._warned: set[Path] = set()
        self._places: tuple[_Place, ...] = ()
        self._keepers: dict[Path, Keeper] = {}
        """Replaced, never changed, so that it can be read without a lock."""
        self._changed = threading.Condition()
        self._asked = self._done = 0
        """How often folders were set, and how often that was done."""
        self._closed = False
        self._thread: threading.Thread | None = None

    def set_folders(self, folders: Sequence[Path]) -> None:
        """Keep an index of each of *folders*, and of no others.

        A folder inside another is a part of it. One that is a drive, the home folder or around
        it gets none, and a line in the log.
        """
        home = _home()
        given = tuple(spelled(folder) for folder in folders)
        refused = dict.fromkeys(folder for folder in given if too_wide(folder, home))
        for folder in refused:
            self._warn(folder)
        wanted = outermost(folder for folder in given if folder not in refused)
        with self._changed:
            if self._closed:
                return
            self._refused = refused
            self._wanted = wanted
            self._places = tuple(_Place(root, root, "") for root in wanted)
            self._asked += 1
            self._changed.notify_all()
            if self._thread is None and wanted:
                self._thread = threading.Thread(
                    target=self._run, name="codegen-workspace", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """End all threads and the worker process, within a second; may be called again."""
        until = time.monotonic() + _CLOSING
        with self._changed:
            self._closed = True
            self._wanted = self._places = ()
            self._changed.notify_all()
        keepers, self._keepers = self._keepers, {}
        for keeper in keepers.values():
            keeper.stop()
        if self._thread is not None:
            self._thread.join(max(0.0, until - time.monotonic()))
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        for keeper in keepers.values():
            keeper.join(until - time.monotonic())

    def indexes(self) -> tuple[tuple[Path, Index], ...]:
        """The folders and what is known of each; it grows while they are read."""
        return tuple((root, keeper.index) for root, keeper in self._keepers.items())

    def root_of(self, path: Path) -> tuple[Path, str] | None:
        """The folder *path* is in, and where in it, with slashes; ``None``: in none."""
        path = spelled(path)
        best: tuple[int, Path, str] | None = None
        for place in self._places:
            below = lies_in(place.prefix, path)
            if below is not None and (best is None or len(place.prefix.parts) > best[0]):
                relative = "/".join(part for part in (place.inner, below) if part)
                best = len(place.prefix.parts), place.root, relative
        return None if best is None else best[1:]

    @property
    def ready(self) -> bool:
        """Whether every index holds what its folder holds, as far as is known."""
        if self._done != self._asked and self._wanted:
            return False
        return all(keeper.state != "reading" for keeper in self._keepers.values())

    def wait_ready(self, timeout: float) -> bool:
        """Wait until :attr:`ready`, at most *timeout* seconds; whether it is."""
        until = time.monotonic() + timeout
        while not (ready := self.ready) and not self._closed and time.monotonic() < until:
            time.sleep(0.02)
        return ready

    def status(self) -> tuple[FolderStatus, ...]:
        """How far every folder is."""
        keepers = self._keepers
        kept = [
            FolderStatus(root, len(keeper.index), keeper.pending, keeper.state)
            for root, keeper in keepers.items()
        ]
        coming = self._wanted if self._done != self._asked else ()
        begun = [FolderStatus(root, 0, 0, "reading") for root in coming if root not in keepers]
        refused = [FolderStatus(root, 0, 0, "refused") for root in self._refused]
        return (*kept, *begun, *refused)

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._done == self._asked and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                wanted, asked = self._wanted, self._asked
            try:
                self._update(wanted, asked)
            except Exception as error:
                # Without an index suggestions are poorer, and that is all.
                logger.error("the folders could not be read: %s", type(error).__name__)
                logger.debug("setting folders", exc_info=error)
            with self._changed:
                self._done = asked

    def _update(self, wanted: Sequence[Path], asked: int) -> None:
        """Have a keeper for each of the *wanted* folders that is not part of another one."""
        from codegen_lsp.context.keeper import Keeper  # what comes with it takes time

        places, refused = _by_links(wanted)
        for root in refused:
            self._warn(root)
        reader = self._reader = self._reader or self._new_reader()
        kept = dict.fromkeys(place.root for place in places)
        fresh = {
            root: Keeper(root, reader.submit, pace=self._pace)
            for root in kept
            if root not in self._keepers
        }
        with self._changed:
            if self._closed:
                reader.close()
                return
            if self._asked == asked:
                self._places = places
                self._refused.update(dict.fromkeys(refused))
            before = self._keepers
            self._keepers = {root: before.get(root) or fresh[root] for root in kept}
            for keeper in fresh.values():
                keeper.start()
        for root in before.keys() - kept.keys():
            before[root].stop()
            reader.withdraw(root)

    def _new_reader(self) -> Reader:
        if self._make_reader is not None:
            return self._make_reader(self._settle)
        from codegen_lsp.context.reading import Reader

        return Reader(self._settle)

    def _settle(self, root: Path, path: str, outcome: FileFacts | Refusal) -> None:
        keeper = self._keepers.get(root)
        if keeper is not None:
            keeper.settle(path, outcome)

    def _warn(self, folder: Path) -> None:
        """Say once why *folder* has no index."""
        if folder not in self._warned:
            self._warned.add(folder)
            logger.warning(
                "%s is too wide to be read, other files are not looked at for suggestions; "
                "open the folder of a project instead",
                folder,
            )


def _by_links(wanted: Sequence[Path]) -> tuple[tuple[_Place, ...], list[Path]]:
    """Where the *wanted* folders really are, and which of them are no projects there."""
    home = _real(_home())
    real = {root: _real(root) for root in wanted}
    refused = [root for root in wanted if too_wide(real[root], home)]
    able = [root for root in wanted if root not in refused]
    outer = outermost(real[root] for root in able)
    places: list[_Place] = []
    for root in able:
        around = next(folder for folder in outer if lies_in(folder, real[root]) is not None)
        owner = next(other for other in able if real[other] == around)
        inner = lies_in(around, real[root]) or ""
        places += [_Place(root, owner, inner), _Place(real[root], owner, inner)]
    return tuple(places), refused


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _home() -> Path:
    """The user's home folder; where there is none, one around which nothing is."""
    try:
        return spelled(Path.home())
    except RuntimeError:
        return Path(os.devnull)
