"""The store: finding, listing, installing and removing models.

Models are under ``<home>/models`` (``folders`` says how), beside the package (``bundled``), and in
any folder that a user names. A change is whole or it is not at all (``installing``, ``staging``),
and readers need no lock: whoever reads while a version is replaced finds that the version he knew
has gone, and looks again.

Does not know what a file means to an engine, and downloads nothing.
"""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Callable
from pathlib import Path

from codegen_lsp.errors import ModelDamagedError, ModelError, ModelNotFoundError
from codegen_lsp.models.catalog import find_entry
from codegen_lsp.models.folders import (
    BUNDLED,
    CURRENT,
    ModelFolder,
    folder_called,
    is_folder,
    open_as,
    open_folder,
    resolve,
    verify,
)
from codegen_lsp.models.installing import install
from codegen_lsp.models.manifest import MANIFEST, read_manifest
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

__all__ = [
    "BUNDLED",
    "CURRENT",
    "ModelFolder",
    "bundled_folder",
    "check_name",
    "damaged",
    "find_model",
    "install",
    "installed",
    "locked",
    "occupied",
    "open_folder",
    "remove",
    "staging",
    "sweep",
    "verify",
]


def bundled_folder() -> Path:
    """Where the model that ships with the package is."""
    return Path(__file__).parent / BUNDLED


def find_model(name_or_path: str, home: Path) -> ModelFolder:
    """The model called *name_or_path*: ``bundled``, an installed name, or a folder.

    An installed model wins over a folder of the same name in the working directory. What was
    pulled is found by the id it was pulled by, too.

    :raises ModelNotFoundError: there is no such name or folder.
    :raises ModelDamagedError: there is, and something in it is missing or truncated.
    """
    if name_or_path == BUNDLED:
        return open_as(bundled_folder(), BUNDLED)
    if "/" not in name_or_path and os.sep not in name_or_path:
        stored = _stored(name_or_path, home)
        if stored is not None:
            return stored
    path = folder_called(name_or_path)
    if path is not None:
        return open_folder(path)
    models = installed(home)
    model = next((m for m in models if m.manifest.name == name_or_path), None)
    model = model or _pulled_as(name_or_path, models)
    if model is not None:
        verify(model)
        return model
    raise _not_found(name_or_path, home)


def _pulled_as(name: str, models: list[ModelFolder]) -> ModelFolder | None:
    """The model that a pull of *name*, a Hugging Face id or the catalog's, has installed."""
    entry = find_entry(name)
    for model in models:
        origin = model.manifest.origin
        if origin is None or origin.adapter or not origin.repo:
            continue
        if origin.repo == name or (entry is not None and find_entry(origin.repo) is entry):
            return model
    return None


def _stored(name: str, home: Path) -> ModelFolder | None:
    """The model installed as *name*, whole; ``None`` if there is none."""
    folder = models_of(home) / name
    tried: Path | None = None
    while name not in ("", ".", "..") and is_folder(folder):
        path = resolve(folder)
        try:
            return open_as(path, name)
        except ModelDamagedError:
            # An installation may have replaced this version while we looked at it.
            if path == tried:
                raise
            tried = path
    return None


def _not_found(name: str, home: Path) -> ModelNotFoundError:
    entry = find_entry(name)
    if entry is not None:
        mend = "its engine is a team's server" if entry.remote_only else None
        return ModelNotFoundError(
            f"{name} is not installed", mend=mend or f"run: codegen-lsp models pull {entry.name}"
        )
    # The bundled model's folder bears its alias: each name once.
    names = list(dict.fromkeys([BUNDLED, *(model.name for model in installed(home))]))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[:3]
    what = "folder" if "/" in name or os.sep in name else "model"
    return ModelNotFoundError(f"no {what} {name!r}", mend=f"available: {', '.join(near)}")


def installed(home: Path) -> list[ModelFolder]:
    """All models with a readable manifest, the bundled one first, then by name.

    Damaged files are not noticed here (:func:`verify` does); folders without a manifest are no
    models.
    """
    found: list[ModelFolder] = []
    for folder, name in [(bundled_folder(), BUNDLED), *stored_folders(home)]:
        with contextlib.suppress(ModelDamagedError):
            path = resolve(folder)
            found.append(ModelFolder(path, read_manifest(path), name))
    return found


def damaged(home: Path) -> list[ModelDamagedError]:
    """What is wrong with the models of the store that cannot be used."""
    wrong: list[ModelDamagedError] = []
    for folder, name in stored_folders(home):
        if (folder / CURRENT).is_file() or (folder / MANIFEST).is_file():
            try:
                _stored(name, home)
            except ModelDamagedError as error:
                wrong.append(error)
    return wrong


def occupied(name: str, home: Path) -> tuple[int, Path]:
    """Bytes and folder of the model installed as *name*, damaged or not: what goes with it.

    :raises ModelError: as :func:`remove` does where there is nothing to remove.
    """
    folder = _removable(name, home)
    return _bytes_in(folder), folder


def remove(name: str, home: Path, on_wait: Callable[[], None] | None = None) -> int:
    """Remove the model installed as *name*; returns the bytes that are free now.

    It vanishes at once, whole. A model that is damaged can be removed, too; of a link only the
    link is removed.

    :param on_wait: called if another process changes the model, before waiting for it.
    :raises ModelNotFoundError: there is none of that name.
    :raises ModelError: it came with the package, or the store cannot be written.
    """
    folder = _removable(name, home)
    with locked(name, home, on_wait), writing(home):
        sweep(home)
        size = _bytes_in(folder)
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            discard(folder, home)
    return size


def _removable(name: str, home: Path) -> Path:
    models = installed(home)
    folder = models_of(home) / name
    hidden = not name or name.startswith(".") or Path(name).name != name
    links = (path for path, _ in stored_folders(home) if path.is_symlink())
    if not hidden and (is_folder(folder) or folder in links):
        return folder
    if name == BUNDLED or (models and models[0].name == BUNDLED == _handle(name, models)):
        raise ModelError("the bundled model cannot be removed", mend="it is part of codegen-lsp")
    names = [model.name for model in models if model.name != BUNDLED]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[:3]
    raise ModelNotFoundError(
        f"no installed model {name!r}", mend=f"installed: {', '.join(near) or 'none'}"
    )


def _handle(name: str, models: list[ModelFolder]) -> str:
    """What ``--model`` takes for the model whose manifest says *name*; empty if there is none."""
    return next((model.name for model in models if model.manifest.name == name), "")


def _bytes_in(folder: Path) -> int:
    if folder.is_symlink():
        return 0
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
