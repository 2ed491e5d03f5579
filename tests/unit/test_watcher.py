"""Watching: real folders, real events; where they are not there, the clock."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.events import DirDeletedEvent, FileModifiedEvent

from codegen_lsp.context import watcher
from codegen_lsp.context.inotify import FolderEvents
from codegen_lsp.context.watcher import ByWatchdog, Listen, Pace, _Handler
from tests.support.watching import (
    DEADLINE,
    PATIENT,
    Hints,
    Watch,
    make,
    settle,
    told_of_a_touch,
    wait_until,
    watching,
)

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:watchdog")


LISTENERS: list[Listen] = [ByWatchdog, *([FolderEvents] if sys.platform == "linux" else [])]

listening = pytest.mark.parametrize(
    "listen", LISTENERS, ids=["watchdog", "inotify"][: len(LISTENERS)]
)


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Begins to watch, and waits until it does."""
    yield from watching()


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
    ("exclude", lambda r: (r / ".git/info/exclude").write_text("x\n"), {".git/info/exclude"}),
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


def test_a_root_in_another_case_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where case does not count, events come as the disk spells the root."""
    root, told, lost = os.path.abspath("/Users/me/Shop"), Hints(), Hints()  # noqa: PTH100
    spelled = os.path.abspath("/users/Me/shop")  # noqa: PTH100
    for any_case, hints in ((True, told), (False, lost)):
        monkeypatch.setattr(watcher, "ANY_CASE", any_case)
        handler = _Handler(spelled, hints, lambda hints=hints: hints("itself"))  # type: ignore[misc]
        handler.dispatch(FileModifiedEvent(os.path.join(root, "Src", "A.py")))  # noqa: PTH118
        handler.dispatch(FileModifiedEvent(root + "s"))
        handler.dispatch(DirDeletedEvent(root))
    assert told.take() == ["Src/A.py", "itself"]
    assert lost.take() == []


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
