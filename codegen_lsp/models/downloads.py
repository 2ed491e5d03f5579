"""What was fetched and waits to be installed: ``<home>/models/.downloads/<repository>/<commit>``.

A pull that is killed, or whose model cannot be converted, leaves here what it brought; the next
one goes on with it. Other repositories that a pull needs a file of, a tokenizer's or an adapter's,
lie in the pull's own folder: so that two pulls never delete each other's files.

Knows folders, their locks and their deletion. Does not know what is in them (``pull``).
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codegen_lsp.models import store
from codegen_lsp.models.catalog import find_entry

__all__ = ["Waiting", "downloads", "forget", "forget_download", "lock_name", "part", "waiting"]

_FOLDER: Final = ".downloads"
_PARTS: Final = "parts"
"""What a pull needs of other repositories; no commit is called so."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What was fetched of a repository."""

    repo: str
    """Its Hugging Face id."""

    folder: Path

    size: int
    """Bytes."""


def downloads(home: Path, repo: str) -> Path:
    """Where what was fetched of *repo* waits, one folder for each commit."""
    return home / "models" / _FOLDER / repo.replace("/", "--")


def lock_name(home: Path, repo: str) -> str:
    """What to lock while the folder of *repo* is changed."""
    return downloads(home, repo).name[:100]


def part(home: Path, pulled: str, repo: str, commit: str) -> Path:
    """Where files of *repo* lie that the pull of *pulled*, an id or a name, needs beside it."""
    return downloads(home, pulled) / _PARTS / repo.replace("/", "--") / commit


def waiting(home: Path) -> list[Waiting]:
    """Everything that was fetched and is still there, by name."""
    # The hub allows no other two dashes in an id.
    found = (
        Waiting(folder.name.replace("--", "/", 1), folder, _bytes_in(folder))
        for folder in _folders(home)
    )
    return [one for one in found if one.size]


def forget(folder: Path, home: Path) -> None:
    """Delete the folder of a repository, if it is one; nobody else's."""
    top = home / "models" / _FOLDER
    if folder.parent != top or folder.name in ("", ".", ".."):
        return
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        top.rmdir()


def forget_download(name: str, home: Path, on_wait: Callable[[], None] | None = None) -> int | None:
    """Delete what a pull of *name* that was given up has left; returns the bytes, None for nothing.

    *name* is what was to be pulled: a name of the catalog, a Hugging Face id, or the name that a
    folder was to be installed under.

    :param on_wait: called if another process works there, before waiting for it.
    :raises ModelError: it cannot be deleted.
    """
    entry = find_entry(name)
    asked = (name,) if entry is None else (name, entry.hub_id)
    names = {path.name for path in _folders(home)}
    freed: int | None = None
    for repo in asked:
        folder = downloads(home, repo)
        # Compared with what is there, so that no name can lead elsewhere.
        if folder.name not in names or folder.parent != downloads(home, "x").parent:
            continue
        with store.locked(lock_name(home, repo), home, on_wait):
            if folder.is_dir():  # else the other process has finished
                freed = (freed or 0) + _bytes_in(folder)
                forget(folder, home)
    return freed


def _folders(home: Path) -> list[Path]:
    try:
        return sorted((home / "models" / _FOLDER).iterdir())
    except OSError:
        return []


def _bytes_in(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # a pull that runs has just renamed it
            if path.is_file():
                size += path.stat().st_size
    return size
