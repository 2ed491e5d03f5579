"""A model folder: where its current version is, whether it is whole, how to mend it.

A model of the store is kept in ``<name>/<version>/``, and ``<name>/current`` names the version
that counts; any other folder with a manifest is a model by itself. Knows files only: not names,
not homes (``store``), and not how a folder comes to be (``installing``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codegen_lsp.errors import ModelDamagedError
from codegen_lsp.models.manifest import (
    MANIFEST,
    Manifest,
    digest,
    read_manifest,
    required_files,
)

__all__ = [
    "BUNDLED",
    "CURRENT",
    "VERSION",
    "ModelFolder",
    "current_version",
    "folder_called",
    "is_folder",
    "is_whole",
    "open_as",
    "open_folder",
    "resolve",
    "verify",
]

BUNDLED: Final = "bundled"
"""The name under which the model that ships with the package is always found."""

CURRENT: Final = "current"
"""The file beside a model's versions that names the one that counts."""

VERSION: Final = re.compile(r"[a-z0-9_]{1,32}-[0-9a-f]{12}(-[0-9]+)?")
"""Names of versions: how the weights are stored, a digest, and a number if that was taken."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder and what its manifest says."""

    path: Path
    """Where the files are: one version of an installed model, or the folder that was named."""

    manifest: Manifest

    name: str
    """What ``--model`` takes: ``bundled``, the name it is installed under, or the folder."""

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(entry.size for entry in self.manifest.files.values())

    @property
    def version(self) -> str:
        """The version, derived from the content; empty for a folder outside the store's layout."""
        return self.path.name if _is_version(self.path) else ""


def folder_called(name: str) -> Path | None:
    """The folder that a user means by *name*; ``None`` if there is none, whatever *name* is."""
    try:
        folder = Path(name).expanduser()
    except RuntimeError:  # the home of a user that there is not
        return None
    return folder if name and is_folder(folder) else None


def is_folder(path: Path) -> bool:
    """Whether *path* is a folder; also where the system takes it for no path at all."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # too long; a zero byte
        return False


def open_folder(path: Path) -> ModelFolder:
    """The model in a folder, its files only looked at, not read.

    :raises ModelDamagedError: no readable manifest, or a file is missing or truncated.
    """
    return open_as(path, str(path))


def open_as(path: Path, name: str) -> ModelFolder:
    """Like :func:`open_folder`, for a model that goes by *name*."""
    model = ModelFolder(path, read_manifest(path, mend=_mend(path)), name)
    verify(model)
    return model


def resolve(folder: Path) -> Path:
    """Where the files of the model in *folder* are: its current version, or *folder* itself.

    :raises ModelDamagedError: the file that says so says nonsense.
    """
    version = current_version(folder)
    by_hand = (folder / MANIFEST).is_file() and not (folder / version).is_dir()
    return folder if by_hand else folder / version


def current_version(folder: Path) -> str:
    """The version that counts in *folder*; empty if there is none.

    :raises ModelDamagedError: the file that says so says nonsense.
    """
    path = folder / CURRENT
    try:
        version = path.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError):
        version = ""
    if not VERSION.fullmatch(version):
        raise ModelDamagedError(f"{path} is damaged", mend=_renew(folder.name))
    return version


def _is_version(path: Path) -> bool:
    """Whether *path* has the place and the name of a version in the store."""
    return bool(VERSION.fullmatch(path.name)) and (path.parent / CURRENT).is_file()


def verify(folder: ModelFolder, *, deep: bool = False) -> None:
    """Check that every file is there and has its size; *deep* compares digests, too.

    :raises ModelDamagedError: names the first file that is missing, truncated or changed.
    """
    mend = _mend(folder.path) or f"remove {folder.path} and install the model again"
    for name in sorted({*required_files(folder.manifest), *folder.manifest.files}):
        entry = folder.manifest.files.get(name)
        path = folder.path / name
        if entry is None:
            raise ModelDamagedError(f"{folder.path / MANIFEST} does not list {name}", mend=mend)
        try:
            size = path.stat().st_size
            changed = size == entry.size and deep and digest(path) != entry.sha256
        except OSError as error:
            reason = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read"
            raise ModelDamagedError(f"{path} {reason}", mend=mend) from error
        if size != entry.size:
            raise ModelDamagedError(f"{path} has {size} bytes instead of {entry.size}", mend=mend)
        if changed:
            raise ModelDamagedError(f"{path} was changed since it was installed", mend=mend)


def _mend(path: Path) -> str | None:
    """How to mend the model in *path*, where that depends on the place."""
    if path.name == BUNDLED:
        return "reinstall codegen-lsp"
    return _renew(path.parent.name) if _is_version(path) else None


def _renew(name: str) -> str:
    return f"run: codegen-lsp models remove {name}; then pull it again"


def is_whole(path: Path) -> bool:
    """Whether there is a model in *path* and nothing in it was changed."""
    try:
        verify(ModelFolder(path, read_manifest(path), ""), deep=True)
    except ModelDamagedError:
        return False
    return True
