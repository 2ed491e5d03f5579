"""The JSON file of a JAXFORMER training run: which model it made, on how many cores.

Its fields are those of ``config/codegen_350M_nl.json`` in ``salesforce/jaxformer``, completed as
``run/trainer.py`` there does. Knows that file and where it is looked for. Does not know weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from codegen_lsp.errors import ConversionError

from .shape import Shape

__all__ = ["find_run", "require_run", "shape_of_run"]

_CORES: Final = {3: 8, 4: 4}
"""Cores that share a model, by ``tpu_version``; version 3 where nothing is said."""

_FIELDS: Final = {
    "vocab_size": "model_vocab_size",
    "n_positions": "model_seq_len",
    "n_embd": "model_dim",
    "n_layer": "model_layers",
    "n_head": "model_heads",
    "rotary_dim": "model_pe_rotary_dims",
}
"""Fields of a shape, and their names in the JSON file of a training run."""


def find_run(folder: Path) -> Path | None:
    """The JSON file of the run; None where there is none.

    :raises ConversionError: several disagree.
    """
    for place in (folder, folder.parent):
        found = {path: run for path in sorted(place.glob("*.json")) if (run := _run(path))}
        shapes = {shape_of_run(path) for path in found}
        if len(shapes) > 1:
            names = ", ".join(path.name for path in found)
            raise ConversionError(
                f"{place} holds files of several models: {names}", mend="leave the right one there"
            )
        if found:
            return next(iter(found))
    return None


def require_run(folder: Path) -> Path:
    """The JSON file of the run.

    :raises ConversionError: there is none, or several disagree.
    """
    path = find_run(folder)
    if path is None:
        raise ConversionError(
            f"{folder} has no JSON file that says what model it is",
            mend="put the file it was trained with beside it (JAXFORMER's config/codegen_….json)",
        )
    return path


def _run(path: Path) -> Mapping[str, Any] | None:
    """What *path* says of a training run; None where it is something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and "model_layers" in content else None


def shape_of_run(path: Path) -> Shape:
    """The shape that the file of a run describes; ``parts`` are the cores that shared the model.

    :raises ConversionError: a number is missing or impossible.
    """
    run = _run(path) or {}
    numbers = {field: _number(run, name, path) for field, name in _FIELDS.items()}
    version = run.get("tpu_version", 3)
    cores = run.get("tpu_cores", _CORES.get(version) if isinstance(version, int) else None)
    if not isinstance(cores, int) or cores < 1:
        raise ConversionError(
            f"{path} does not say how many cores share the model",
            mend='set "tpu_cores" there, or "tpu_version" to 3 (8 cores) or 4 (4 cores)',
        )
    shape = Shape(**numbers, parts=cores)
    head = run.get("model_head_dim", shape.head_dim)
    if head != shape.head_dim or shape.n_embd % shape.n_head or shape.n_head % cores:
        raise ConversionError(
            f"{path} contradicts itself: {shape.n_head} heads of {head} in a width of"
            f" {shape.n_embd} on {cores} cores"
        )
    shape.check()
    return shape


def _number(run: Mapping[str, Any], name: str, path: Path) -> int:
    value = run.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConversionError(f"{path} states {name} as {value!r}, which is no positive number")
    return value
