"""What our own listener does on Linux that watchdog's does not; the rest is in ``test_watcher``."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codegen_lsp.context import inotify
from codegen_lsp.context.inotify import FolderEvents
from tests.support.watching import (
    PATIENT,
    Watch,
    make,
    settle,
    told_of_a_touch,
    wait_until,
    watching,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Begins to watch, and waits until it does."""
    yield from watching()


class Limited:
    """A C library with only so many watches."""

    def __init__(self, room: int) -> None:
        self._real = inotify._libc()
        self.room = room
        self.watched: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def inotify_add_watch(self, *arguments: Any) -> int:
        self.room -= 1
        if self.room < 0:
            ctypes.set_errno(errno.ENOSPC)
            return -1
        self.watched.add(os.fsdecode(arguments[1]))
        return int(self._real.inotify_add_watch(*arguments))


@pytest.mark.parametrize("room", [0, 1, 4, 6])
def test_a_limit_reached_at_any_folder_is_noticed(
    tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Folders that cannot be watched are not passed over: either all are, or the clock is.

    The first five are there at the beginning, two come later.
    """
    limited = Limited(room)
    monkeypatch.setattr(inotify, "_libc", lambda: limited)
    root = tmp_path / "root"
    make(root)
    one, _ = watch(root)
    assert one.mode == ("polling" if room < 5 else "events")
    (root / "later" / "inner").mkdir(parents=True)
    wait_until(lambda: one.mode == "polling")


def test_folders_full_of_what_does_not_count_take_no_watches(
    tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watches are scarce, and packages have thousands of folders."""
    limited = Limited(1_000)
    monkeypatch.setattr(inotify, "_libc", lambda: limited)
    root = tmp_path / "root"
    make(root)
    for number in range(50):
        (root / "node_modules" / f"p{number}").mkdir()
        (root / ".git" / "objects" / f"{number}").mkdir(parents=True)
    _, hints = watch(root)
    (root / ".git" / "rebase-merge" / "deep").mkdir(parents=True)
    (root / "node_modules" / "later" / "deep").mkdir(parents=True)
    make(root / "cloned")
    hints.wait_for("cloned")
    (root / "cloned" / ".git" / "objects" / "aa").mkdir(parents=True)
    settle(root, hints)
    own = {"", "/pkg", "/pkg/inner", "/.git", "/.git/info"}
    watched = {path.removeprefix(str(root)) for path in limited.watched}
    assert watched == own | {f"/cloned{path}" for path in own}


def test_a_folder_that_moves_out_and_in_again_is_told_by_where_it_is(
    tmp_path: Path, watch: Watch
) -> None:
    """Its watches are never taken for those of the place it had before."""
    root, away = tmp_path / "root", tmp_path / "away"
    make(root)
    _, hints = watch(root)
    for number in range(5):
        (root / "pkg").rename(away)
        (away / "inner" / "b.py").write_text("outside")
        away.rename(root / f"back{number}")
        hints.wait_for(f"back{number}")
        settle(root, hints)
        (root / f"back{number}" / "inner" / "b.py").write_text("inside")
        assert set(settle(root, hints)) == {f"back{number}/inner/b.py"}
        hints.take()
        (root / f"back{number}").rename(root / "pkg")
        hints.wait_for("pkg")
    (root / "pkg" / "new").mkdir()
    hints.wait_for("pkg/new")


def test_lost_events_call_for_a_look_at_everything(
    tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel keeps only so many unread events; then the watches are made anew."""
    root = tmp_path / "root"
    make(root)
    one, hints = watch(root, PATIENT)
    listener = one._listener
    assert isinstance(listener, FolderEvents)
    listener._take(-1, inotify._OVERFLOW, "")
    hints.wait_for(None)
    assert one._listener is not listener
    wait_until(lambda: told_of_a_touch(root, hints))
