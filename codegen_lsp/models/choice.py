"""What was measured: how long a keystroke takes each engine, by machine and by model.

One small file in the home, ``engines.json``. It is written whole, under a lock, since two processes
may have measured at once; a file that cannot be read counts as nothing measured, and the next
measurement replaces it.

Knows the file. Does not know how a machine is called or how an engine is measured.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec

from codegen_lsp.models.folders import ModelFolder
from codegen_lsp.models.staging import locked, writing

__all__ = ["faster", "measured", "measurements_file", "remember"]

MOST: Final = 200
"""Measurements that are kept; the oldest go. A home may be shared by many machines."""

USUAL: Final = "ct2"
CLEARLY: Final = 0.9
"""Another engine than the usual one is faster if it takes so much of its time, or less: measured
twice, one engine differs by that. And CTranslate2 alone tells the odds of all tokens."""

Milliseconds = Annotated[float, msgspec.Meta(gt=0)]


class _Entry(msgspec.Struct, frozen=True):
    machine: str
    digest: str
    """Of the model's weights."""

    model: str
    """Its name, for whoever reads the file."""

    keystroke_ms: dict[str, Milliseconds]
    """By engine."""


class _File(msgspec.Struct, frozen=True):
    entries: list[_Entry] = []
    """The oldest first."""


def measurements_file(home: Path) -> Path:
    """Where it is written; need not exist."""
    return home / "engines.json"


def measured(model: ModelFolder, machine: str, home: Path) -> Mapping[str, float]:
    """Milliseconds of a keystroke by engine; empty if nothing was measured on that *machine*."""
    digest = _digest(model)
    for entry in reversed(_read(home).entries):
        if entry.machine == machine and entry.digest == digest:
            return entry.keystroke_ms
    return {}


def faster(keystroke_ms: Mapping[str, float]) -> str | None:
    """The engine that took less, clearly; ``None`` where there are not two to compare."""
    if len(keystroke_ms) < 2:
        return None
    winner = min(keystroke_ms, key=lambda engine: keystroke_ms[engine])
    usual = keystroke_ms.get(USUAL, math.inf)
    return winner if keystroke_ms[winner] <= CLEARLY * usual else USUAL


def remember(
    model: ModelFolder, machine: str, keystroke_ms: Mapping[str, float], home: Path
) -> None:
    """Write down what was measured, in place of what was measured before.

    :raises ModelError: the home cannot be written.
    """
    entry = _Entry(machine, _digest(model), model.manifest.name, dict(keystroke_ms))
    with locked("engines.json", home), writing(home):
        others = [
            one
            for one in _read(home).entries
            if (one.machine, one.digest) != (entry.machine, entry.digest)
        ]
        content = msgspec.json.encode(_File([*others, entry][-MOST:]))
        path = measurements_file(home)
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        scratch.write_bytes(msgspec.json.format(content, indent=2) + b"\n")
        scratch.replace(path)


def _read(home: Path) -> _File:
    with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(measurements_file(home).read_bytes(), type=_File)
    return _File()


def _digest(model: ModelFolder) -> str:
    entry = model.manifest.files.get("model.bin")
    return entry.sha256 if entry is not None else ""
