"""Locks, scratch folders and rubbish of the store: what makes its changes safe.

Everything that changes the store works in a scratch folder inside it (``.staging-…``), renames
what is whole into place, and renames what must go into ``.trash-…`` before it deletes it; so a
process that is killed leaves whole models and rubbish, and nothing between. A lock of the
operating system, which dies with its process, tells a scratch folder in use from rubbish.

Knows names, locks and deletion. Does not know what a model is (``store``).
"""

from __future__ import annotations

import contextlib
import errno
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codegen_lsp.errors import ModelError

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = [
    "check_name",
    "discard",
    "locked",
    "models_of",
    "staging",
    "stored_folders",
    "sweep",
    "writing",
]

LOCKS: Final = ".locks"
"""Folder of the lock files. They are empty, and a name's stays when its model goes."""

_STAGING: Final = ".staging-"
_TRASH: Final = ".trash-"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""As manifests demand it, and short enough for a path on any system."""

_DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(10))}
)
"""Names that Windows gives to devices, whatever extension follows."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def models_of(home: Path) -> Path:
    """The folder in which each installed model has a folder of its own."""
    return home / "models"


def stored_folders(home: Path) -> list[tuple[Path, str]]:
    """Folders of the store and their names, sorted; hidden ones are the store's own."""
    try:
        paths = sorted(models_of(home).iterdir())
    except OSError:
        return []
    return [(path, path.name) for path in paths if not path.name.startswith(".")]


def check_name(name: str) -> str:
    """*name*, if a model can be installed under it on every operating system.

    :raises ModelError: it cannot.
    """
    possible = (
        _NAME.fullmatch(name)
        and ".." not in name
        and not name.endswith(".")
        and name.split(".")[0].lower() not in _DEVICES
    )
    if not possible:
        raise ModelError(
            f"{name!r} cannot be the name of an installed model",
            mend="use letters, digits, dots, dashes and underscores",
        )
    return name


@contextlib.contextmanager
def writing(home: Path) -> Iterator[None]:
    """Turn what the operating system refuses in here into one line.

    :raises ModelError: the disk is full, the store cannot be written, or worse.
    """
    try:
        yield
    except OSError as error:
        raise _told(error, models_of(home)) from error


def _told(error: OSError, models: Path) -> ModelError:
    if error.errno in _FULL:
        return ModelError(
            f"no space left for {models}",
            mend="free some, or set CODEGEN_LSP_HOME to a folder on another disk",
        )
    where = error.filename or models
    if error.errno in _DENIED:
        return ModelError(
            f"{where} cannot be written ({error.strerror})",
            mend="allow it, or set CODEGEN_LSP_HOME to a folder that can be written",
        )
    return ModelError(f"cannot change {models}: {error.strerror or error} ({where})")


@contextlib.contextmanager
def locked(name: str, home: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Keep other processes from changing the model *name* meanwhile.

    May be nested on one thread. Reading needs no lock.

    :param on_wait: called once if another process has the lock, before waiting for it.
    :raises ModelError: *name* is no name, or the store cannot be written.
    """
    # One lock for names that differ in case only: they are one on some file systems.
    path = models_of(home) / LOCKS / f"{check_name(name).lower()}.lock"
    with writing(home):
        lock = _acquire(path, on_wait)
    try:
        yield
    finally:
        lock.release()


def _acquire(path: Path, on_wait: Callable[[], None] | None) -> BaseFileLock:
    from filelock import FileLock, Timeout  # not needed by a server that only reads

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, is_singleton=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if on_wait is not None:
            on_wait()
        lock.acquire()
    return lock


@contextlib.contextmanager
def staging(home: Path) -> Iterator[Path]:
    """An empty scratch folder on the store's file system, deleted at the end.

    If the process is killed, the next one that changes the store deletes it.

    :raises ModelError: it cannot be made.
    """
    folder = models_of(home) / f"{_STAGING}{secrets.token_hex(6)}"
    with writing(home):
        # Locked before it is made: there is no moment at which it looks like rubbish.
        lock = _acquire(_lock_of(folder), None)
        try:
            folder.mkdir()
        except BaseException:
            _unlock(lock, folder)
            raise
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _unlock(lock, folder)


def _lock_of(folder: Path) -> Path:
    return folder.parent / LOCKS / f"{folder.name}.lock"


def _unlock(lock: BaseFileLock, folder: Path) -> None:
    """Release the lock of a scratch folder that is gone, and remove its file."""
    lock.release()
    with contextlib.suppress(OSError):  # Windows: somebody else just looks at it
        _lock_of(folder).unlink()


def discard(path: Path, home: Path) -> None:
    """Make the folder or link *path* of the store vanish at once, then delete it.

    :raises OSError: it cannot be moved; then nothing has changed.
    """
    if path.is_symlink():
        path.unlink()
        return
    rubbish = models_of(home) / f"{_TRASH}{secrets.token_hex(6)}"
    path.rename(rubbish)
    shutil.rmtree(rubbish, ignore_errors=True)


def sweep(home: Path) -> None:
    """Delete what processes that were killed left behind; never what a living one works in."""
    from filelock import FileLock, Timeout

    models = models_of(home)
    for rubbish in models.glob(f"{_TRASH}*"):
        shutil.rmtree(rubbish, ignore_errors=True)
    names = {path.name for path in models.glob(f"{_STAGING}*")}
    names |= {path.stem for path in (models / LOCKS).glob(f"{_STAGING}*.lock")}
    for folder in (models / name for name in sorted(names)):
        lock = FileLock(_lock_of(folder))
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        _unlock(lock, folder)
