"""What the ``models`` commands say of a model, installed or of the catalog: as values, as words.

Knows both tables and how they belong together. Does not know where its words are shown.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from codegen_lsp.config.home import home
from codegen_lsp.errors import UsageError
from codegen_lsp.models import fit
from codegen_lsp.models.catalog import Entry, find_entry
from codegen_lsp.models.gguf import KINDS, gguf_file

if TYPE_CHECKING:
    from codegen_lsp.models.store import ModelFolder

__all__ = [
    "bytes_text",
    "count_text",
    "describe_entry",
    "describe_model",
    "engines_of",
    "entry_of",
    "fit_of",
    "gguf_bytes",
    "installed_entries",
    "languages_text",
    "needed",
]

UNITS = ("bytes", "kB", "MB", "GB", "TB")


def bytes_text(number: float) -> str:
    """A size in two digits or more, with its unit as disks are sold: ``1.2 GB``, ``31 GB``."""
    power = 0
    while number >= 999.5 and power < len(UNITS) - 1:
        number, power = number / 1000, power + 1
    digits = 1 if power and number < 9.95 else 0
    return f"{number:.{digits}f} {UNITS[power]}"


def count_text(parameters: int) -> str:
    """A number of weights, short: ``357M``, ``2.8B``; ``?`` if it is unknown."""
    if not parameters:
        return "?"
    if parameters < 1e7:
        return f"{parameters / 1e6:.1f}M"
    return f"{parameters / 1e6:.0f}M" if parameters < 9.995e8 else f"{parameters / 1e9:.1f}B"


SAME_SIZE: Final = 0.02
"""How far apart, as a share, the parameters of a model and of its row may be."""


def languages_text(languages: Iterable[str], *, natural: bool = False) -> str:
    """One language by its name, several by their number.

    :param natural: none means that the model was trained on natural language; else it is unknown.
    """
    names = list(languages)
    if len(names) > 1:
        return str(len(names))
    return names[0] if names else ("none" if natural else "?")


def entry_of(model: ModelFolder) -> Entry | None:
    """The row of the catalog that an installed model came from."""
    origin = model.manifest.origin
    if origin is not None:
        return find_entry(origin.repo)  # what came from a folder may be called anything
    return find_entry(model.manifest.name)


def installed_entries(models: Iterable[ModelFolder]) -> set[str]:
    """Names of the catalog's rows that are installed."""
    return {entry.name for entry in map(entry_of, models) if entry is not None}


def needed(model: ModelFolder) -> int:
    """Bytes of memory that an installed model takes; at least, where its shape is unknown."""
    entry = entry_of(model)
    manifest = model.manifest
    # A row is no measure for a repository that has its name and another shape.
    if entry is not None and abs(entry.parameters / max(manifest.parameters, 1) - 1) < SAME_SIZE:
        with contextlib.suppress(UsageError):  # a compute type that we have never heard of
            return fit.memory_bytes(entry, manifest.compute_type, context=manifest.context_length)
    return model.size + fit.OVERHEAD


def fit_of(entry: Entry, machine: int) -> fit.Fit:
    """How a published model goes with this machine as it is pulled by default, in int8."""
    return fit.fits(entry, "int8", machine)


def describe_model(model: ModelFolder) -> Mapping[str, Any]:
    """All that is known of an installed model, for JSON and for ``models info``."""
    manifest = model.manifest
    origin = manifest.origin
    return {
        "model": model.name,
        "name": manifest.name,
        "description": manifest.description,
        "family": manifest.family,
        "architecture": manifest.architecture,
        "parameters": manifest.parameters,
        "compute_type": manifest.compute_type,
        "context_length": manifest.context_length,
        "languages": list(manifest.languages),
        "licence": manifest.licence,
        "bytes": model.size,
        "gguf_bytes": gguf_bytes(model),
        "memory_bytes": needed(model),
        "version": model.version,
        "folder": str(model.path),
        "engines": engines_of(model),
        "origin": None if origin is None else msgspec.to_builtins(origin),
        "checks": msgspec.to_builtins(manifest.checks),
    }


def engines_of(model: ModelFolder) -> list[str]:
    """The engines that an installed model is ready for, with how its weights are stored there."""
    ready = (kind for kind in KINDS if gguf_file(model, home(), kind).is_file())
    return ["ct2", *(f"llama {kind}" for kind in ready)]


def gguf_bytes(model: ModelFolder) -> int:
    """What the files take on the disk that were made of an installed model for llama.cpp."""
    size = 0
    for kind in KINDS:
        with contextlib.suppress(OSError):  # none was made
            size += gguf_file(model, home(), kind).stat().st_size
    return size


def describe_entry(entry: Entry, machine: int, *, installed: bool) -> Mapping[str, Any]:
    """All that is known of a published model, for JSON and for ``models info``."""
    here = {kind: fit.fits(entry, kind, machine) for kind in fit.COMPUTE_TYPES}
    return {
        "name": entry.name,
        "hub_id": entry.hub_id,
        "formerly": list(entry.formerly),
        "series": entry.series,
        "family": entry.family,
        "architecture": entry.architecture,
        "model_type": entry.shape.model_type,
        "shape": {
            key: value
            for key, value in dataclasses.asdict(entry.shape).items()
            if key != "model_type"
        },
        "parameters": entry.parameters,
        "context_length": entry.context_length,
        "infill": entry.infill,
        "languages": list(entry.languages),
        "licence": entry.licence,
        "gated": entry.gated,
        "tokenizer": entry.tokenizer,
        "verified": entry.verified,
        "remote_only": entry.remote_only,
        "memory_bytes": {kind: found.needed for kind, found in here.items()},
        "fits": {kind: found.verdict for kind, found in here.items()},
        "smallest_machine": fit.smallest_machine(entry),
        "installed": installed,
    }
