"""Watching: real folders, real events; where they are not there, the clock."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from codegen_lsp.context import inotify, mounts, watcher
from codegen_lsp.context.inotify import FolderEvents
from codegen_lsp.context.mounts import tells_of_changes
from codegen_lsp.context.watcher import ByWatchdog, Listen, Pace, Watcher

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:watchdog")

DEADLINE = 20.0
"""Seconds; reached only by what is broken."""

BRISK = Pace(check=0.05, poll=0.1, safety=3600.0)
PATIENT = Pace(check=3600.0, poll=3600.0, safety=3600.0)


class Hints:
    """What a watcher said."""

    def __init__(self) -> None:
        self._said: list[str | None] = []
        self._more = threading.Condition()

    def __call__(self, place: str | None) -> None:
        with self._more:
            self._said.append(place)
            self._more.notify_all()

    def take(self) -> list[str | None]:
        """Everything so far, forgotten then."""
        with self._more:
            said, self._said = self._said, []
            return said

    def wait_for(self, *places: str | None) -> None:
        """Until each of *places* was said."""
        with self._more:
            done = self._more.wait_for(lambda: set(places) <= set(self._said), DEADLINE)
            assert done, f"waited for {places}, heard {self._said}"


Watch = Callable[..., tuple[Watcher, Hints]]


LISTENERS: list[Listen] = [ByWatchdog, *([FolderEvents] if sys.platform == "linux" else [])]

listening = pytest.mark.parametrize(
    "listen", LISTENERS, ids=["watchdog", "inotify"][: len(LISTENERS)]
)
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Begins to watch, and waits until it does."""
    begun: list[Watcher] = []

    def begin(
        root: Path, pace: Pace = BRISK, listen: Listen | None = None
    ) -> tuple[Watcher, Hints]:
        hints = Hints()
        begun.append(Watcher(root, hints, pace=pace, listen=listen))
        begun[-1].start()
        hints.wait_for(None)
        hints.take()
        return begun[-1], hints

    yield begin
    for one in begun:
        one.stop()
    for one in begun:
        one.join(DEADLINE)


def settle(root: Path, hints: Hints) -> list[str | None]:
    """Everything said until now: events come in order, so the last one is waited for."""
    last = f"zz{time.monotonic_ns()}.py"
    (root / last).touch()
    hints.wait_for(last)
    return [place for place in hints.take() if place is None or not place.startswith("zz")]


def make(root: Path) -> None:
    (root / "pkg" / "inner").mkdir(parents=True)
    (root / "pkg" / "a.py").write_text("a = 1\n")
    (root / "pkg" / "inner" / "b.py").write_text("b = 1\n")
    (root / ".git").mkdir()
    (root / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (root / "node_modules").mkdir()


CASES: list[tuple[str, Callable[[Path], object], set[str]]] = [
    ("create", lambda r: (r / "new.py").write_text("x"), {"new.py"}),
    ("modify", lambda r: (r / "pkg/a.py").write_text("other"), {"pkg/a.py"}),
    ("touch", lambda r: os.utime(r / "pkg/a.py", (1, 1)), {"pkg/a.py"}),
    ("delete", lambda r: (r / "pkg/a.py").unlink(), {"pkg/a.py"}),
    ("move", lambda r: (r / "pkg/a.py").rename(r / "c.py"), {"pkg/a.py", "c.py"}),
    ("move out", lambda r: (r / "pkg/a.py").rename(r.parent / "a.py"), {"pkg/a.py"}),
    ("move a folder", lambda r: (r / "pkg").rename(r / "lib"), {"pkg", "lib"}),
    ("delete a folder", lambda r: shutil.rmtree(r / "pkg"), {"pkg", "pkg/inner"}),
    ("new folders", lambda r: make(r / "more"), {"more"}),
    ("switch", lambda r: (r / ".git/HEAD").write_text("ref: refs/heads/x\n"), {".git/HEAD"}),
    ("a link", lambda r: (r / "loop").symlink_to(r), {"loop"}),
]


@listening
@pytest.mark.parametrize(("act", "said"), [pytest.param(*row[1:], id=row[0]) for row in CASES])
def test_every_kind_of_change_is_told(
    tmp_path: Path, watch: Watch, listen: Listen, act: Callable[[Path], object], said: set[str]
) -> None:
    """What happens to files and folders is told by where it happened."""
    root = tmp_path / "root"
    make(root)
    one, hints = watch(root, listen=listen)
    assert one.mode == "events"
    act(root)
    hints.wait_for(*said)


QUIET_ACTS: list[tuple[str, Callable[[Path], object]]] = [
    ("reading a file", lambda r: (r / "pkg/a.py").read_text()),
    ("listing a folder", lambda r: list((r / "pkg").iterdir())),
    ("git's objects", lambda r: (r / ".git/objects").write_text("x")),
    ("git's lock", lambda r: (r / ".git/index.lock").write_text("x")),
    ("packages", lambda r: (r / "node_modules/index.js").write_text("x")),
    ("packages of packages", lambda r: (r / "node_modules/.git").mkdir()),
]


@listening
@pytest.mark.parametrize("act", [pytest.param(row[1], id=row[0]) for row in QUIET_ACTS])
def test_what_does_not_matter_is_not_told(
    tmp_path: Path, watch: Watch, listen: Listen, act: Callable[[Path], object]
) -> None:
    """Reading is no change (our own would never end), and git's own files are nobody's code."""
    root = tmp_path / "root"
    make(root)
    _, hints = watch(root, listen=listen)
    act(root)
    assert settle(root, hints) == []


@listening
def test_links_are_not_followed_out(tmp_path: Path, watch: Watch, listen: Listen) -> None:
    """What a link leads to is not watched."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    make(root)
    make(outside)
    (root / "link").symlink_to(outside)
    (root / "cycle").symlink_to(root)
    _, hints = watch(root, listen=listen)
    (outside / "pkg" / "a.py").write_text("changed")
    assert settle(root, hints) == []


@listening
def test_a_root_that_is_a_link_is_watched(tmp_path: Path, watch: Watch, listen: Listen) -> None:
    """The root itself may be reached by a link; places are relative to it all the same."""
    make(tmp_path / "real")
    (tmp_path / "root").symlink_to(tmp_path / "real")
    _, hints = watch(tmp_path / "root", listen=listen)
    (tmp_path / "real" / "pkg" / "a.py").write_text("changed")
    hints.wait_for("pkg/a.py")


def away(root: Path) -> None:
    root.rename(root.with_name("away"))


@listening
@pytest.mark.parametrize("leave", [shutil.rmtree, away], ids=["deleted", "moved"])
def test_a_root_that_is_replaced_is_watched_again(
    tmp_path: Path, watch: Watch, listen: Listen, leave: Callable[[Path], object]
) -> None:
    """A checkout made anew in the same place is noticed, and its events come."""
    root = tmp_path / "root"
    make(root)
    one, hints = watch(root, listen=listen)
    leave(root)
    make(root)
    hints.wait_for(None)
    wait_until(lambda: one.mode == "events")
    hints.take()
    wait_until(lambda: told_of_a_touch(root, hints))


@listening
def test_a_root_that_comes_later_is_watched(tmp_path: Path, watch: Watch, listen: Listen) -> None:
    """A folder that is not there is waited for, and its going and coming are told."""
    root = tmp_path / "root"
    one, hints = watch(root, listen=listen)
    assert one.mode == "missing"
    make(root)
    hints.wait_for(None)
    wait_until(lambda: one.mode == "events")
    hints.take()
    shutil.rmtree(root)
    hints.wait_for(None)
    wait_until(lambda: one.mode == "missing")


def told_of_a_touch(root: Path, hints: Hints) -> bool:
    (root / "pkg" / "a.py").write_text(f"{time.monotonic()}")
    time.sleep(0.05)
    return "pkg/a.py" in hints.take()


def wait_until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


LIMITS = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EMFILE, "Too many open files"),
    RuntimeError("can't start new thread"),
]


@pytest.mark.parametrize("error", LIMITS, ids=["watches", "instances", "threads"])
def test_where_no_watch_is_to_be_had_the_clock_takes_over(
    tmp_path: Path, watch: Watch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """The system's limit is reached: one line that says how to raise it, then polling."""

    class Full(ByWatchdog):
        def start(self) -> None:
            raise error

    with caplog.at_level(logging.INFO, "codegen_lsp"):
        one, hints = watch(tmp_path, listen=Full)
        hints.wait_for(None)
    assert one.mode == "polling"
    assert len(caplog.records) == 1
    assert ("max_user_watches" in caplog.text) == (sys.platform == "linux")


class Limited:
    """A C library with only so many watches."""

    def __init__(self, room: int) -> None:
        self._real = inotify._libc()
        self.room = room

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def inotify_add_watch(self, *arguments: Any) -> int:
        self.room -= 1
        if self.room < 0:
            ctypes.set_errno(errno.ENOSPC)
            return -1
        return int(self._real.inotify_add_watch(*arguments))


@only_linux
@pytest.mark.parametrize("room", [0, 1, 3, 5])
def test_a_limit_reached_at_any_folder_is_noticed(
    tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Folders that cannot be watched are not passed over: either all are, or the clock is.

    The first four are there at the beginning, two come later.
    """
    limited = Limited(room)
    monkeypatch.setattr(inotify, "_libc", lambda: limited)
    root = tmp_path / "root"
    make(root)
    one, _ = watch(root)
    assert one.mode == ("polling" if room < 4 else "events")
    (root / "later" / "inner").mkdir(parents=True)
    wait_until(lambda: one.mode == "polling")


@only_linux
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
    watch(root)
    assert limited.room == 1_000 - 4  # the root, two of the package, .git


@only_linux
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


@only_linux
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


def test_who_looks_long_is_asked_seldom(tmp_path: Path, watch: Watch) -> None:
    """Polling never costs more than a fiftieth of the time."""
    pace = Pace(check=0.01, poll=0.01)
    silent = pytest.MonkeyPatch()
    silent.setattr(watcher, "tells_of_changes", lambda real: False)
    with silent.context():
        one, hints = watch(tmp_path, pace)
        hints.wait_for(None)
        one.took(60.0)
        hints.wait_for(None)  # one may have been due already
        hints.take()
        time.sleep(0.2)
        assert len(hints.take()) <= 1
    silent.undo()


def test_many_events_by_watchdog_call_for_a_look_at_everything(
    tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where much happens something may get lost, even in folders that do not count."""
    monkeypatch.setattr(watcher, "_MANY", 40)
    make(tmp_path)
    _, hints = watch(tmp_path, PATIENT, ByWatchdog)
    for number in range(50):
        (tmp_path / "node_modules" / f"{number}.js").write_text("x")
    hints.wait_for(None)


def test_a_complaint_of_the_library_calls_for_a_look_at_everything(
    tmp_path: Path, watch: Watch
) -> None:
    """Lost events are only told in watchdog's log."""
    _, hints = watch(tmp_path, PATIENT, ByWatchdog)
    logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed")
    assert hints.take() == [None]


@listening
def test_it_ends(tmp_path: Path, watch: Watch, listen: Listen) -> None:
    """After its end no thread of its own or of the library is left, and nothing is told."""
    before = set(threading.enumerate())
    one, hints = watch(tmp_path, listen=listen)
    one.stop()
    one.join(DEADLINE)
    wait_until(lambda: not (set(threading.enumerate()) - before))
    logging.getLogger("watchdog").warning("too late")
    (tmp_path / "new.py").write_text("x")
    assert hints.take() == []


MOUNTS = [
    ("/", "ext4", "rw"),
    ("/home", "btrfs", "rw"),
    ("/home/me/share", "nfs4", "rw"),
    ("/home/me/share/local", "xfs", "rw"),
    ("/mnt/c", "9p", "rw"),
    ("/mnt/ssh", "fuse.sshfs", "rw"),
    ("/mnt/ntfs", "fuseblk", "rw"),
    ("/over", "ext4", "rw"),
    ("/over", "cifs", "rw"),
    ("/drive", "ntfs", "rw,remote"),
]


@pytest.mark.skipif(sys.platform == "win32", reason="the mounts are of another system")
@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/srv/project", True),
        ("/home/me/project", True),
        ("/home/me/share", False),
        ("/home/me/share/project", False),
        ("/home/me/shared", True),
        ("/home/me/share/local/project", True),
        ("/mnt/c/project", False),
        ("/mnt/ssh/project", False),
        ("/mnt/ntfs/project", True),
        ("/over/project", False),
        ("/drive/project", False),
        ("\\\\server\\share\\project", False),
    ],
)
def test_network_file_systems_are_known(
    monkeypatch: pytest.MonkeyPatch, folder: str, expected: bool
) -> None:
    """The nearest mount decides; of two in one place the later one."""
    rows = [SimpleNamespace(mountpoint=m, fstype=f, opts=o) for m, f, o in MOUNTS]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: rows)
    assert tells_of_changes(folder) is expected


def test_mounts_that_cannot_be_read_are_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a table of mounts events are tried."""

    def broken(all: bool) -> None:
        raise OSError("no /proc")

    monkeypatch.setattr(psutil, "disk_partitions", broken)
    assert mounts.tells_of_changes("/srv")
