"""Installing a model folder: copied aside, checked, renamed into place, and only then current.

Knows the order in which that is done, so that a process may be killed at any moment and leaves
the old model or the new one. Does not know where the folder came from.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from pathlib import Path

import msgspec

from codegen_lsp.errors import ModelDamagedError, ModelError
from codegen_lsp.models.folders import (
    BUNDLED,
    CURRENT,
    VERSION,
    ModelFolder,
    current_version,
    is_whole,
    open_as,
    verify,
)
from codegen_lsp.models.manifest import MANIFEST, Manifest, read_manifest
from codegen_lsp.models.staging import (
    check_name,
    discard,
    locked,
    models_of,
    staging,
    stored_folders,
    sweep,
    writing,
)

__all__ = ["install"]


def install(
    source: Path, home: Path, *, name: str | None = None, move: bool = False
) -> ModelFolder:
    """Put the model in *source* into the store, whole or not at all.

    It is installed as *name*, by default as its manifest says; a model of that name is replaced.
    Installing what is there already changes nothing. Waits for other processes that change the
    same model.

    :param move: the files may be taken out of *source*, whether the installation succeeds or not.
    :raises ModelDamagedError: *source* is not a whole model.
    :raises ModelError: the store cannot be written, or *name* is no name.
    """
    model = ModelFolder(source, read_manifest(source), str(source))
    name = check_name(name or model.manifest.name)
    if name.lower() == BUNDLED:
        raise ModelError(
            f"{name!r} cannot be the name of an installed model", mend="choose another"
        )
    verify(model, deep=True)
    with locked(name, home):
        sweep(home)
        _refuse_clash(name, home)
        return _install(model, name, home, move=move)


def _refuse_clash(name: str, home: Path) -> None:
    """Two names that differ in case only are one on some file systems, and links lead astray."""
    for folder, other in stored_folders(home):
        if other.lower() == name.lower() and other != name:
            raise ModelError(f"a model called {other!r} is installed", mend="use that name")
        if other == name and (folder.is_symlink() or not folder.is_dir()):
            raise ModelError(
                f"{folder} is no folder of the store", mend="remove it, or choose another name"
            )


def _install(model: ModelFolder, name: str, home: Path, *, move: bool) -> ModelFolder:
    folder = models_of(home) / name
    base = _version_of(model.manifest)
    version = ""
    with contextlib.suppress(ModelDamagedError):
        version = current_version(folder)
    if not (version.startswith(base) and is_whole(folder / version)):
        _tidy(folder, home, keep=version)
        version = _free(folder, base)
        _add(model, folder, version, home, move=move)
    _tidy(folder, home, keep=version)
    return open_as(folder / version, name)


def _version_of(manifest: Manifest) -> str:
    """Compute type and digest of the manifest, which has the digest of every file in it."""
    content = msgspec.json.encode(manifest, order="sorted")
    kind = re.sub("[^a-z0-9_]", "", manifest.compute_type.lower())[:32] or "model"
    return f"{kind}-{hashlib.sha256(content).hexdigest()[:12]}"


def _free(folder: Path, base: str) -> str:
    """*base*, or *base* with a number if a damaged version of that name is in the way."""
    version, number = base, 2
    while (folder / version).exists():
        version, number = f"{base}-{number}", number + 1
    return version


def _add(model: ModelFolder, folder: Path, version: str, home: Path, *, move: bool) -> None:
    """Make *version* in a scratch folder, put it in place, then let it count."""
    with staging(home) as scratch, writing(home):
        fresh = scratch / folder.name
        _fill(fresh / version, model, move=move)
        (fresh / CURRENT).write_text(f"{version}\n", encoding="utf-8")
        _sync(fresh / CURRENT)
        if folder.exists():
            (fresh / version).rename(folder / version)
            (fresh / CURRENT).replace(folder / CURRENT)
        else:
            fresh.rename(folder)


def _fill(target: Path, model: ModelFolder, *, move: bool) -> None:
    """Bring the files of *model* to *target*, the manifest last."""
    target.mkdir(parents=True)
    for name in (*model.manifest.files, MANIFEST):
        source = model.path / name
        if move and not source.is_symlink():
            shutil.move(source, target / name)
        else:
            shutil.copyfile(source, target / name)
        _sync(target / name)


def _sync(path: Path) -> None:
    """Have a file on the disk before anything says that it is there."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _tidy(folder: Path, home: Path, *, keep: str) -> None:
    """Delete versions that do not count and, if one does, a model that was put there by hand."""
    with writing(home):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name != keep and VERSION.fullmatch(path.name):
                with contextlib.suppress(PermissionError):  # Windows: somebody reads it; later then
                    discard(path, home)
        if keep and (folder / keep).is_dir() and (folder / MANIFEST).is_file():
            for name in (*_files_by_hand(folder), MANIFEST):
                (folder / name).unlink(missing_ok=True)


def _files_by_hand(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(read_manifest(folder).files)
    except ModelDamagedError:
        return ()
