"""Which folders a workspace has an index of, and what is where in them."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from codegen_lsp.context.folders import lies_in, outermost, too_wide
from codegen_lsp.context.surroundings import Surroundings
from tests.support.cursor import query_at
from tests.support.shop import INVOICES, ORDERS
from tests.support.workspaces import (
    ALL,
    DEADLINE,
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


def test_in_the_home_folder_open_files_are_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what lies there nothing is read but what is open."""
    home = tmp_path / "me"
    write(home, "invoices.py", INVOICES)
    write(home, "closed.py", INVOICES.replace("invoice", "receipt"))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    surroundings = Surroundings()
    try:
        surroundings.start()
        surroundings.set_folders([home])
        assert surroundings.wait_ready(DEADLINE)
        assert [each.state for each in surroundings.status()] == ["refused"]
        surroundings.opened((home / "invoices.py").as_uri(), "python", lambda: INVOICES)
        query = query_at(ORDERS, uri=(home / "orders.py").as_uri())
        surroundings.opened(query.snapshot.uri, "python", lambda: query.snapshot.text)
        surroundings.prepare(query)
        found = surroundings.snippets(query, ("open", "imports", "definitions", "similar"), 500)
    finally:
        surroundings.close()
    assert any("invoice.customer" in snippet.text for snippet in found)
    assert not any("receipt" in snippet.text for snippet in found)


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
