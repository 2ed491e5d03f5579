"""A workspace as an editor has it, in real folders; for the tests of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from codegen_lsp.context.index import Index
from codegen_lsp.context.watcher import Pace
from codegen_lsp.context.workspace import Workspace
from tests.bench.soak import until_equal

DEADLINE = 60.0
"""Seconds; reached only by what is broken."""

EVENTS_ONLY = Pace(check=0.1, poll=0.3, safety=3600.0)
"""No look for safety's sake: what is noticed is noticed by events."""

ALL = ("a.py", "pkg/b.py", "pkg/inner/c.go")
"""What :func:`project` makes."""

Open = Callable[..., Workspace]


def opening() -> Iterator[Open]:
    """The body of a fixture that opens folders, each time in a workspace of its own."""
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
    for path in paths or ALL:
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
