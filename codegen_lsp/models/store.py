"""The store: finding, listing, checking and installing model folders.

Knows where models are: beside the package (``bundled``), under ``<home>/models/<name>``, or in any
folder that a user names. Does not know what a file means to an engine, and downloads nothing.
"""

from __future__ import annotations

import difflib
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from codegen_lsp.errors import ModelDamagedError, ModelError, ModelNotFoundError
from codegen_lsp.models.manifest import (
    FILES,
    MANIFEST,
    Manifest,
    digest,
    read_manifest,
    reinstall_hint,
)

__all__ = [
    "BUNDLED",
    "ModelFolder",
    "bundled_folder",
    "find_model",
    "install",
    "installed",
    "open_folder",
    "verify",
]

BUNDLED = "bundled"
"""The name under which the model that ships with the package is always found."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder and what its manifest says."""

    path: Path
    manifest: Manifest


def bundled_folder() -> Path:
    """Where the model that ships with the package is."""
    return Path(__file__).parent / BUNDLED


def open_folder(path: Path) -> ModelFolder:
    """The model in a folder, its files only looked at, not read.

    :raises ModelDamagedError: no readable manifest, or a file is missing or truncated.
    """
    folder = ModelFolder(path, read_manifest(path))
    verify(folder)
    return folder


def find_model(name_or_path: str, home: Path) -> ModelFolder:
    """The model called *name_or_path*: ``bundled``, an installed name, or a folder.

    An installed model wins over a folder of the same name in the working directory.

    :raises ModelNotFoundError: there is no such name or folder.
    :raises ModelDamagedError: there is, and something in it is missing or truncated.
    """
    if name_or_path == BUNDLED:
        return open_folder(bundled_folder())
    if "/" not in name_or_path and os.sep not in name_or_path:
        folder = home / "models" / name_or_path
        if name_or_path not in ("", ".", "..") and folder.is_dir():
            return open_folder(folder)
    path = Path(name_or_path).expanduser()
    if name_or_path and path.is_dir():
        return open_folder(path)
    model = next((m for m in installed(home) if m.manifest.name == name_or_path), None)
    if model is not None:
        verify(model)
        return model
    raise _not_found(name_or_path, home)


def _not_found(name: str, home: Path) -> ModelNotFoundError:
    # The bundled model's folder bears its alias: each name once.
    names = list(dict.fromkeys([BUNDLED, *(model.path.name for model in installed(home))]))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[:3]
    what = "folder" if "/" in name or os.sep in name else "model"
    return ModelNotFoundError(f"no {what} {name!r}", mend=f"available: {', '.join(near)}")


def installed(home: Path) -> list[ModelFolder]:
    """All models with a readable manifest, the bundled one first, then by name.

    Damaged files are not noticed here (:func:`verify` does); folders without a manifest are no
    models.
    """
    folders = [bundled_folder()]
    if (home / "models").is_dir():
        folders += sorted(p for p in (home / "models").iterdir() if not p.name.startswith("."))
    return list(_readable(folders))


def _readable(folders: Iterable[Path]) -> Iterable[ModelFolder]:
    for folder in folders:
        try:
            yield ModelFolder(folder, read_manifest(folder))
        except ModelDamagedError:
            continue


def verify(folder: ModelFolder, *, deep: bool = False) -> None:
    """Check that every file is there and has its size; *deep* compares digests, too.

    :raises ModelDamagedError: names the first file that is missing, truncated or changed.
    """
    mend = reinstall_hint(folder.path)
    for name in sorted({*FILES, *folder.manifest.files}):
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


def install(source: Path, home: Path, *, name: str | None = None) -> ModelFolder:
    """Copy the model in *source* into the store, whole or not at all.

    It is installed as *name*, by default as its manifest says; a model of that name is replaced.

    :raises ModelDamagedError: *source* is not a whole model.
    :raises ModelError: the store cannot be written, or *name* is no name.
    """
    model = ModelFolder(source, read_manifest(source))
    verify(model, deep=True)
    name = name or model.manifest.name
    if name == BUNDLED or name.startswith(".") or Path(name).name != name:
        raise ModelError(
            f"{name!r} cannot be the name of an installed model", mend="choose another"
        )
    target = home / "models" / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".install-", dir=target.parent) as scratch:
            whole = Path(scratch) / "new"
            _copy(model, whole)
            verify(ModelFolder(whole, read_manifest(whole)), deep=True)
            if target.exists():
                # Kept inside the scratch folder until the new one stands in its place.
                target.rename(Path(scratch) / "old")
            whole.rename(target)
    except OSError as error:
        raise ModelError(
            f"cannot install {name} in {target.parent}: {error.strerror or error}",
            mend="make room there, or set CODEGEN_LSP_HOME to a folder that can be written",
        ) from error
    return open_folder(target)


def _copy(model: ModelFolder, target: Path) -> None:
    """Copy the listed files, the manifest last."""
    target.mkdir()
    for name in [*model.manifest.files, MANIFEST]:
        shutil.copyfile(model.path / name, target / name)
