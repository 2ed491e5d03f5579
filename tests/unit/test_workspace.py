"""The workspace: real folders, the real watcher, the real worker process."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from codegen_lsp.context import keeper, reconcile
from codegen_lsp.context.facts import FileFacts
from codegen_lsp.context.files import Stamp, newest
from codegen_lsp.context.reconcile import look_everywhere
from codegen_lsp.context.workspace import Workspace
from tests.bench.storm import Storm
from tests.support.workspaces import (
    ALL,
    DEADLINE,
    EVENTS_ONLY,
    Open,
    check,
    index_of,
    opening,
    project,
    wait_until,
    write,
)

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:watchdog")


@pytest.fixture
def open_folders() -> Iterator[Open]:
    """Opens folders in a workspace of its own."""
    yield from opening()


# What happens to files and folders. ---------------------------------------------------------------


def save_atomically(root: Path) -> None:
    write(root, "a.py~", "def other(): ...\n")
    (root / "a.py~").replace(root / "a.py")


def flicker(root: Path) -> None:
    for _ in range(20):
        write(root, "f.py")
        (root / "f.py").unlink()
    write(root, "f.py", "def last(): ...\n")


def swap(root: Path) -> None:
    """A folder takes the place of another one, and its ignore file comes with it."""
    write(root, "other/b.py")
    write(root, "other/z.py")
    write(root, "other/.gitignore", "b.*\n")
    time.sleep(1.0)
    (root / "pkg").rename(root.parent / "away")
    (root / "other").rename(root / "pkg")


def replace_by_link(root: Path) -> None:
    write(root, "pkg/b.py", "def changed(): ...\n")
    shutil.move(root / "pkg", root.parent / "elsewhere")
    (root / "pkg").symlink_to(root.parent / "elsewhere")


def cycle(root: Path) -> None:
    (root / "pkg" / "loop").symlink_to(root)
    (root / "a.py").unlink()
    (root / "a.py").symlink_to(root / "a.py")


def huge(root: Path) -> None:
    with (root / "pkg" / "b.py").open("wb") as file:
        file.truncate(100 * 1024 * 1024)


def same_size_and_time(root: Path) -> None:
    """Two versions within one tick of the clock; only an event tells the second one."""
    now = time.time_ns()
    write(root, "new.py", "def one(): ...\n")
    os.utime(root / "new.py", ns=(now, now))
    time.sleep(0.4)
    write(root, "new.py", "def two(): ...\n")
    os.utime(root / "new.py", ns=(now, now))


CHANGES: list[tuple[str, Callable[[Path], object], Sequence[str]]] = [
    ("nothing", lambda r: None, ALL),
    ("create", lambda r: write(r, "x/y/z.rs"), (*ALL, "x/y/z.rs")),
    ("modify", lambda r: write(r, "a.py", "def other(): ...\n"), ALL),
    ("delete", lambda r: (r / "a.py").unlink(), ALL[1:]),
    ("move", lambda r: (r / "a.py").rename(r / "pkg/a.py"), ("pkg/a.py", *ALL[1:])),
    ("rename to text", lambda r: (r / "a.py").rename(r / "a.txt"), ALL[1:]),
    ("move folder", lambda r: (r / "pkg").rename(r / "q"), ("a.py", "q/b.py", "q/inner/c.go")),
    ("delete folder", lambda r: shutil.rmtree(r / "pkg"), ("a.py",)),
    ("move out", lambda r: (r / "pkg").rename(r.parent / "out"), ("a.py",)),
    ("save atomically", save_atomically, ALL),
    ("flicker", flicker, (*ALL, "f.py")),
    ("replace by a link", replace_by_link, ("a.py",)),
    ("swap folders", swap, ("a.py", "pkg/z.py")),
    ("cyclic links", cycle, ALL[1:]),
    ("grow to 100 MB", huge, ("a.py", "pkg/inner/c.go")),
    ("become binary", lambda r: (r / "a.py").write_bytes(bytes(999)), ALL[1:]),
    ("ignore", lambda r: write(r, ".gitignore", "inner/\n"), ALL[:2]),
    ("ignore nearby", lambda r: write(r, "pkg/.gitignore", "b.*\n"), (ALL[0], ALL[2])),
    ("our ignore file", lambda r: write(r, ".codegenignore", "*.py\n"), ALL[2:]),
    ("packages", lambda r: write(r, "node_modules/x/index.js"), ALL),
    ("twice at one time", same_size_and_time, (*ALL, "new.py")),
]


@pytest.mark.parametrize(("act", "paths"), [pytest.param(*row[1:], id=row[0]) for row in CHANGES])
def test_the_index_follows_the_disk(
    tmp_path: Path, open_folders: Open, act: Callable[[Path], object], paths: Sequence[str]
) -> None:
    """Whatever happens to files and folders, the index soon holds what is there."""
    root = project(tmp_path / "root")
    workspace = open_folders(root)
    check(workspace, root, *ALL)
    act(root)
    check(workspace, root, *paths)


def test_what_an_ignore_file_no_longer_ignores_comes_back(
    tmp_path: Path, open_folders: Open
) -> None:
    """An ignore file that is edited or deleted makes files appear, as it makes them disappear."""
    root = project(tmp_path / "root")
    write(root, ".gitignore", "pkg/\n*.py\n")
    workspace = open_folders(root)
    check(workspace, root)
    assert index_of(workspace, root).paths() == []
    write(root, ".gitignore", "inner/\n")
    check(workspace, root, "a.py", "pkg/b.py")
    (root / ".gitignore").unlink()
    check(workspace, root, *ALL)


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no such bits there")
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read all")
def test_a_folder_that_may_not_be_read_is_left_out(tmp_path: Path, open_folders: Open) -> None:
    """It is no hindrance, and once it may be read, it is."""
    root = project(tmp_path / "root")
    (root / "pkg").chmod(0)
    try:
        workspace = open_folders(root)
        wait_until(lambda: index_of(workspace, root).paths() == ["a.py"])
    finally:
        (root / "pkg").chmod(0o755)
    write(root, "pkg/b.py")
    check(workspace, root)


def test_a_folder_that_is_denied_is_left_out(
    tmp_path: Path, open_folders: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above, for those whom nothing is forbidden."""
    root = project(tmp_path / "root")
    scandir, denied = os.scandir, True

    def denying(path: str | Path) -> object:
        if denied and str(path) == f"{root}/pkg":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denying)
    workspace = open_folders(root)
    index = index_of(workspace, root)
    wait_until(lambda: index.paths() == ["a.py"] and workspace.ready)
    denied = False
    (root / "pkg").chmod(0o755)
    check(workspace, root, *ALL)


def test_gits_exclude_file_is_followed(tmp_path: Path, open_folders: Open) -> None:
    """What is ignored there is forgotten, and comes back, although little of .git is watched."""
    root = project(tmp_path / "root")
    (root / ".git" / "info").mkdir(parents=True)
    workspace = open_folders(root)
    check(workspace, root, *ALL)
    write(root, ".git/info/exclude", "pkg/\n")
    check(workspace, root, "a.py")
    (root / ".git" / "info" / "exclude").unlink()
    check(workspace, root, *ALL)


def test_a_large_folder_that_is_moved_in_does_not_break_the_limit(
    tmp_path: Path, open_folders: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One event may bring a hundred thousand files; the newest of all are kept, as ever."""
    fewest = functools.partial(newest, limit=20)
    monkeypatch.setattr(reconcile, "newest", fewest)
    monkeypatch.setattr(keeper, "MAX_FILES", 20)
    monkeypatch.setattr(keeper, "MANY", 5)
    root = project(tmp_path / "root", *(f"old/m{n}.py" for n in range(10)))
    workspace = open_folders(root)
    check(workspace, root)
    project(tmp_path / "large", *(f"p{n}/m{n}.py" for n in range(40)))
    os.utime(tmp_path / "large" / "p7" / "m7.py", (2e9, 2e9))
    index = index_of(workspace, root)
    sizes, add = [0], index.add

    def adding(facts: FileFacts) -> None:
        add(facts)
        sizes.append(len(index))

    monkeypatch.setattr(index, "add", adding)
    (tmp_path / "large").rename(root / "large")
    wait_until(lambda: "large/p7/m7.py" in index.paths() and workspace.ready)
    wait_until(lambda: len(index) == 20)
    assert max(sizes) <= 25


def test_files_that_vanish_while_they_are_read_are_no_hindrance(
    tmp_path: Path, open_folders: Open
) -> None:
    """The first reading is under way and every second file goes."""
    root = project(tmp_path / "root", *(f"p{n % 7}/m{n}.py" for n in range(600)))
    workspace = open_folders(root)
    index = index_of(workspace, root)
    wait_until(lambda: len(index) > 20)
    for number in range(0, 600, 2):
        (root / f"p{number % 7}" / f"m{number}.py").unlink()
    check(workspace, root)
    assert len(index) == 300


def test_a_repository_checked_out_anew_is_read_anew(tmp_path: Path, open_folders: Open) -> None:
    """The root is deleted and made again, with other files, during the first reading."""
    root = project(tmp_path / "root", *(f"old{n % 7}/m{n}.py" for n in range(600)))
    workspace = open_folders(root)
    index = index_of(workspace, root)
    wait_until(lambda: len(index) > 20)
    shutil.rmtree(root)
    project(root, *(f"new{n % 7}/m{n}.py" for n in range(200)))
    check(workspace, root)
    assert len(index) == 200
    write(root, "later.py")
    check(workspace, root)
    assert "later.py" in index.paths()


def git(root: Path, *words: str) -> None:
    settings = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "gc.auto=0")
    subprocess.run(("git", *settings, *words), cwd=root, check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_branch_switch_of_3000_files_is_followed(tmp_path: Path, open_folders: Open) -> None:
    """git rewrites, deletes and creates thousands of files at once; so does the index."""
    root = project(tmp_path / "root", *(f"d{n % 40}/f{n}.py" for n in range(3_000)))
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "one")
    git(root, "checkout", "-q", "-b", "other")
    for number in range(3_000):
        path = root / f"d{number % 40}" / f"f{number}.py"
        if number % 10:
            path.write_text(f"def other_{number}(): ...\n")
        else:
            path.rename(path.with_name(f"g{number}.py"))
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "two")
    workspace = open_folders(root)
    index = index_of(workspace, root)
    wait_until(lambda: len(index) > 50)
    git(root, "checkout", "-q", "main")
    assert workspace.wait_ready(DEADLINE)
    check(workspace, root)
    assert "d0/f0.py" in index.paths()
    assert len(index) == 3_000


def test_a_soak_leaves_index_and_disk_equal(tmp_path: Path, open_folders: Open) -> None:
    """1,500 changes at random, of every kind there is (10,000: python -m tests.bench.soak)."""
    root = tmp_path / "root"
    root.mkdir()
    storm = Storm(root, seed=4)
    storm.prepare()
    workspace = open_folders(root)
    storm.blow(1_500)
    check(workspace, root)
    assert len(index_of(workspace, root)) > 100


# How it behaves. ----------------------------------------------------------------------------------


def test_a_look_that_fails_is_tried_again(
    tmp_path: Path, open_folders: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong while the disk is looked at, it is looked at once more."""
    failures = [RuntimeError("once"), OSError("twice")]

    def failing(*arguments: Any) -> dict[str, Stamp]:
        if failures:
            raise failures.pop()
        return look_everywhere(*arguments)

    monkeypatch.setattr(keeper, "look_everywhere", failing)
    monkeypatch.setattr(keeper, "AGAIN", 0.1)
    root = project(tmp_path / "root")
    workspace = open_folders(root)
    check(workspace, root, *ALL)


def test_nothing_is_left_after_the_end(tmp_path: Path) -> None:
    """Closing in the middle of the first reading ends threads and worker; twice does no harm."""
    root = project(tmp_path / "root", *(f"p{n % 7}/m{n}.py" for n in range(2_000)))
    threads = set(threading.enumerate())
    processes = set(psutil.Process().children(recursive=True))
    workspace = Workspace(pace=EVENTS_ONLY)
    workspace.set_folders([root])
    index = index_of(workspace, root)
    wait_until(lambda: len(index) > 5)
    workspace.close()
    workspace.close()
    wait_until(lambda: not set(threading.enumerate()) - threads)
    wait_until(lambda: not set(psutil.Process().children(recursive=True)) - processes)
    assert workspace.indexes() == ()
    assert not workspace.wait_ready(0.0) or workspace.ready
    workspace.set_folders([root])
    assert workspace.indexes() == ()
    assert set(threading.enumerate()) <= threads


def test_closing_at_once_is_fine(tmp_path: Path) -> None:
    """Whatever has begun by then."""
    root = project(tmp_path / "root")
    threads = set(threading.enumerate())
    for pause in (0.0, 0.0, 0.01, 0.05, 0.2):
        workspace = Workspace(pace=EVENTS_ONLY)
        workspace.set_folders([root])
        time.sleep(pause)
        workspace.close()
    Workspace().close()
    wait_until(lambda: not set(threading.enumerate()) - threads)


def test_beginning_loads_nothing_heavy() -> None:
    """Importing the workspace and making one costs no library; the first folder does, elsewhere."""
    script = (
        "import sys\n"
        "from codegen_lsp.context.workspace import Workspace\n"
        "Workspace().set_folders([])\n"
        "heavy = {'watchdog', 'numpy', 'tree_sitter', 'pathspec', 'psutil', 'msgspec'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
