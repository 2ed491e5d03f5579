"""The workspace: real folders, the real watcher, the real worker process."""

from __future__ import annotations

import logging
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

from codegen_lsp.context import keeper
from codegen_lsp.context.files import Stamp
from codegen_lsp.context.folders import lies_in, outermost, too_wide
from codegen_lsp.context.index import Index
from codegen_lsp.context.reconcile import look_everywhere
from codegen_lsp.context.watcher import Pace
from codegen_lsp.context.workspace import Workspace
from tests.bench.soak import Storm, until_equal

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:watchdog")

DEADLINE = 60.0
"""Seconds; reached only by what is broken."""

EVENTS_ONLY = Pace(check=0.1, poll=0.3, safety=3600.0)
"""No look for safety's sake: what is noticed is noticed by events."""

Open = Callable[..., Workspace]


@pytest.fixture
def open_folders() -> Iterator[Open]:
    """Opens folders in a workspace of its own."""
    opened: list[Workspace] = []

    def begin(*folders: Path) -> Workspace:
        workspace = Workspace(pace=EVENTS_ONLY)
        opened.append(workspace)
        workspace.set_folders(folders)
        return workspace

    yield begin
    for workspace in opened:
        workspace.close()


def write(root: Path, path: str, text: str | None = None) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"def {file.stem}(): ...\n" if text is None else text)


def project(root: Path, *paths: str) -> Path:
    for path in paths or ("a.py", "pkg/b.py", "pkg/inner/c.go"):
        write(root, path)
    return root


def index_of(workspace: Workspace, root: Path) -> Index:
    wait_until(lambda: root in dict(workspace.indexes()))
    return dict(workspace.indexes())[root]


def wait_until(done: Callable[[], object]) -> None:
    until = time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def check(workspace: Workspace, root: Path, *paths: str) -> None:
    """In a while the index holds what the disk holds, and (if given) these *paths*."""
    index = index_of(workspace, root)
    assert until_equal(index, root, DEADLINE) == []
    if paths:
        assert sorted(index.paths()) == sorted(paths)
    assert workspace.wait_ready(DEADLINE)


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


ALL = ("a.py", "pkg/b.py", "pkg/inner/c.go")

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


# Which folders. -----------------------------------------------------------------------------------


def test_folders_come_and_go(tmp_path: Path, open_folders: Open) -> None:
    """Each folder has an index of its own as long as it is open; one that stays keeps its own."""
    one, two = project(tmp_path / "one"), project(tmp_path / "two", "x.py")
    workspace = open_folders(one)
    check(workspace, one)
    kept = index_of(workspace, one)
    workspace.set_folders([two, one, one])
    check(workspace, two, "x.py")
    assert index_of(workspace, one) is kept
    workspace.set_folders([two])
    wait_until(lambda: [root for root, _ in workspace.indexes()] == [two])
    assert workspace.root_of(one / "a.py") is None
    workspace.set_folders([])
    wait_until(lambda: workspace.indexes() == ())
    assert workspace.ready


def test_a_folder_may_leave_while_it_is_read(tmp_path: Path, open_folders: Open) -> None:
    """What is left of it is not read any more, and the other one does not wait for it."""
    large = project(tmp_path / "large", *(f"p{n % 7}/m{n}.py" for n in range(2_000)))
    small = project(tmp_path / "small")
    workspace = open_folders(large)
    index = index_of(workspace, large)
    wait_until(lambda: len(index) > 5)
    workspace.set_folders([small])
    check(workspace, small)
    read = len(index)
    time.sleep(0.3)
    assert len(index) == read < 2_000


def test_a_folder_in_a_folder_is_a_part_of_it(tmp_path: Path, open_folders: Open) -> None:
    """There is one index of both, and places in the inner one are places in the outer one."""
    root = project(tmp_path / "root")
    workspace = open_folders(root / "pkg", root)
    check(workspace, root, *ALL)
    assert len(workspace.indexes()) == 1
    assert workspace.root_of(root / "pkg" / "b.py") == (root, "pkg/b.py")


def test_a_folder_by_two_names_is_one(tmp_path: Path, open_folders: Open) -> None:
    """A link to a folder leads to the same index, under either name."""
    root = project(tmp_path / "root")
    (tmp_path / "link").symlink_to(root)
    workspace = open_folders(root, tmp_path / "link" / "pkg")
    check(workspace, root, *ALL)
    assert len(workspace.indexes()) == 1
    assert workspace.root_of(tmp_path / "link" / "pkg" / "b.py") == (root, "pkg/b.py")


def test_a_document_of_a_linked_folder_is_found_by_both_names(
    tmp_path: Path, open_folders: Open
) -> None:
    """An editor may name a document by where it really is."""
    project(tmp_path / "real")
    root = tmp_path / "root"
    root.symlink_to(tmp_path / "real")
    workspace = open_folders(root)
    check(workspace, root, *ALL)
    for folder in (root, tmp_path / "real"):
        assert workspace.root_of(folder / "pkg" / "b.py") == (root, "pkg/b.py")


def test_a_folder_that_is_not_there_is_waited_for(
    tmp_path: Path, open_folders: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says so; when it comes, it is read, and when it goes, it is forgotten."""
    root = tmp_path / "root"
    with caplog.at_level(logging.INFO, "codegen_lsp"):
        workspace = open_folders(root)
        wait_until(lambda: [each.state for each in workspace.status()] == ["missing"])
        assert workspace.ready
        time.sleep(0.3)
        assert len(caplog.records) == 1
        assert str(root) in caplog.text
    project(root)
    wait_until(lambda: len(index_of(workspace, root)) == 3)
    check(workspace, root, *ALL)
    shutil.rmtree(root)
    wait_until(lambda: not index_of(workspace, root).paths())


@pytest.mark.parametrize("which", ["home", "around it", "a drive", "by a link"])
def test_the_home_folder_is_refused(
    tmp_path: Path,
    open_folders: Open,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    which: str,
) -> None:
    """Home is no project: one line that says what to do, no index, and other folders are read."""
    home = project(tmp_path / "users" / "me", "notes.py", "project/a.py")
    (tmp_path / "link").symlink_to(home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    folders = {
        "home": home,
        "around it": home.parent,
        "a drive": Path(home.anchor),
        "by a link": tmp_path / "link",
    }
    refused = folders[which]
    with caplog.at_level(logging.INFO, "codegen_lsp"):
        workspace = open_folders(refused, home / "project")
        check(workspace, home / "project", "a.py")
        workspace.set_folders([home / "project", refused])
        wait_until(lambda: {each.state for each in workspace.status()} == {"ready", "refused"})
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "open the folder of a project" in caplog.text
    assert workspace.root_of(home / "notes.py") is None
    assert [root for root, _ in workspace.indexes()] == [home / "project"]


HOME = Path("/home/me")


@pytest.mark.skipif(sys.platform == "win32", reason="the paths are of another system")
@pytest.mark.parametrize(
    ("folder", "wide"),
    [("/", True), ("/home", True), ("/home/me", True), ("/home/me/p", False), ("/srv", False)],
)
def test_what_is_too_wide(folder: str, wide: bool) -> None:
    """A drive, the home folder and what is around it; not what is in it or beside it."""
    assert too_wide(Path(folder), HOME) is wide


@pytest.mark.parametrize(
    ("folders", "kept"),
    [
        ("a b", "a b"),
        ("a a", "a"),
        ("a/b a", "a"),
        ("a a/b", "a"),
        ("ab a", "ab a"),
        ("a/b a/c a a/b/d x", "a x"),
        ("", ""),
    ],
)
def test_outermost_folders(folders: str, kept: str) -> None:
    """Repetitions and folders inside others are left out."""
    given = [Path("/", name) for name in folders.split()]
    assert outermost(given) == tuple(Path("/", name) for name in kept.split())


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/w/p/a/b.py", "a/b.py"), ("/w/p", ""), ("/w/pq/a.py", None), ("/w", None)],
)
def test_where_a_path_lies(path: str, expected: str | None) -> None:
    """Relative, with slashes; what only begins with the same letters lies elsewhere."""
    assert lies_in(Path("/w/p"), Path(path)) == expected


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


# How it behaves. ----------------------------------------------------------------------------------


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
