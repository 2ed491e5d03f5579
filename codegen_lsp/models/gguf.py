"""Where a model's weights are in llama.cpp's layout, GGUF: files derived from an installed model.

They are kept in the store, in ``.derived/<name>/<digest>/<kind>.gguf``, apart from the models they
were made of: a file is found by the digest of the weights, so that a model that is replaced never
answers with its predecessor's. A file is there whole or not at all, and goes with its model.

Knows names and places. Does not know how a file is written (the caller hands that in) or run.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from codegen_lsp.errors import EngineUnavailableError
from codegen_lsp.models.folders import ModelFolder
from codegen_lsp.models.reporting import Reporter
from codegen_lsp.models.staging import discard, locked, models_of, staging, sweep, writing

__all__ = [
    "KINDS",
    "WriteGguf",
    "find_gguf",
    "forget_gguf",
    "gguf_file",
    "key_of",
    "kinds_of",
    "prepare",
]

KINDS: Final = ("q8_0", "q4_0")
"""How weights can be stored, the default first."""

DERIVED: Final = ".derived"

_WEIGHTS: Final = "model.bin"

_STANDS_FOR: Final = {"auto": KINDS, "int8": KINDS[:1], "q8_0": KINDS[:1], "q4_0": KINDS[1:]}
"""Which kinds do for a compute type; the first that is there is taken."""

WriteGguf = Callable[[Path, Path, str, Reporter], object]
"""Writes the model in a folder to a file that is not there yet, its weights as that kind."""


def gguf_file(model: ModelFolder, home: Path, kind: str) -> Path:
    """Where the file of *model* is, or would be."""
    entry = model.manifest.files.get(_WEIGHTS)
    digest = entry.sha256[:16] if entry is not None else "unknown"
    return _folder(key_of(model), home) / digest / f"{kind}.gguf"


def key_of(model: ModelFolder) -> str:
    """The name that the files of *model* are kept under: its own, or for a folder its manifest's.

    Two models of one name are told apart by the digest of their weights.
    """
    own = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", model.name)
    return model.name if own else model.manifest.name


def _folder(name: str, home: Path) -> Path:
    return models_of(home) / DERIVED / name


def kinds_of(compute_type: str) -> tuple[str, ...]:
    """The kinds that do for *compute_type*, best first; empty if llama.cpp has nothing like it."""
    return _STANDS_FOR.get(compute_type, ())


def find_gguf(model: ModelFolder, home: Path, compute_type: str = "auto") -> Path | None:
    """The file of *model* that does for *compute_type*; ``None`` if none was made."""
    files = (gguf_file(model, home, kind) for kind in kinds_of(compute_type))
    return next((file for file in files if file.is_file()), None)


def prepare(
    model: ModelFolder, home: Path, report: Reporter, *, write: WriteGguf, kind: str = KINDS[0]
) -> Path:
    """The file of *model*, made where there is none. Waits for another process that makes it.

    Files of weights that the model had before go.

    :raises ConversionError: its network cannot be written so, or computes something else there.
    :raises EngineUnavailableError: there is no such kind.
    :raises ModelError: the store cannot be written.
    """
    if kind not in KINDS:
        raise EngineUnavailableError(f"no kind {kind!r}", mend=f"use one of {', '.join(KINDS)}")
    file, name = gguf_file(model, home, kind), key_of(model)
    if file.is_file():
        return file

    def waiting() -> None:
        report.note(f"another process is changing {name}; waiting for it")

    with locked(name, home, waiting), writing(home):
        sweep(home)
        if file.is_file():
            return file
        with staging(home) as scratch:
            fresh = scratch / file.name
            write(model.path, fresh, kind, report)
            with fresh.open("rb+") as written:
                os.fsync(written.fileno())
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh.replace(file)
        for old in _others(file.parent):
            with contextlib.suppress(PermissionError):  # Windows: somebody reads it; later then
                discard(old, home)
    return file


def _others(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.parent.iterdir()) if path != folder)


def forget_gguf(name: str, home: Path) -> int:
    """Remove all files made of the model called *name*; returns the bytes that are free now.

    :raises ModelError: the store cannot be written.
    """
    folder = _folder(name, home)
    # Compared with what is there, so that no name can lead elsewhere.
    if not folder.parent.is_dir() or name not in {path.name for path in folder.parent.iterdir()}:
        return 0
    with locked(name, home), writing(home):
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            discard(folder, home)
    return size
