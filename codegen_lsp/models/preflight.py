"""What is asked before the first byte of weights is fetched: can we run it, and is there room.

Knows ``config.json`` as far as that needs, and sizes. Does not know weights or downloads.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, Final

from codegen_lsp.errors import ConversionError, HubError
from codegen_lsp.models.selection import CONFIG

__all__ = [
    "ARCHITECTURES",
    "WEIGHT_BYTES",
    "amount",
    "converted_size",
    "needs_companion",
    "read_architecture",
    "require_room",
]

ARCHITECTURES: Final[Mapping[str, str]] = {
    "codegen": "CodeGen and CodeGen2",
    "llama": "CodeGen2.5",
    "gpt_bigcode": "StarCoder and SantaCoder",
    "t5": "CodeT5+",
}
"""What ``config.json`` may call a model that can be converted, and who is called so."""

WEIGHT_BYTES: Final[Mapping[str, float]] = {
    "int8": 1.05,
    "int8_float32": 1.05,
    "int8_float16": 1.05,
    "int8_bfloat16": 1.05,
    "float16": 2.0,
    "bfloat16": 2.0,
    "float32": 4.0,
}
"""Bytes that a weight takes on the disk, by compute type; with int8 come the scales."""

_SOURCE_BYTES: Final[Mapping[str, float]] = {"float16": 2.0, "bfloat16": 2.0, "float32": 4.0}
"""Bytes of a weight in a checkpoint, by its configuration's ``torch_dtype``."""

SENTENCES: Final = "tokenizer.model"
"""SentencePiece's file: none of the models has one, and it cannot be read."""

_MARGIN: Final = 64 * 2**20
"""Bytes that stay free."""


def read_architecture(folder: Path, what: str) -> Mapping[str, Any]:
    """The configuration in *folder*, of a model that can be converted.

    :raises ConversionError: it is unreadable, or of another architecture.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConversionError(f"{CONFIG} of {what} is damaged: {error}") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(config, dict) or kind not in ARCHITECTURES:
        known = ", ".join(f"{name} ({who})" for name, who in ARCHITECTURES.items())
        raise ConversionError(
            f"{what} is of architecture {kind!r}, which cannot be converted",
            mend=f"choose a model of one of these: {known}",
        )
    return config


def needs_companion(there: Container[str], kind: str, what: str) -> bool:
    """Whether the tokenizer can be made only with another repository's files.

    :param there: names of the files of *what*.
    :param kind: its architecture; empty for what CTranslate2 can read already.
    :raises HubError: there is no tokenizer that can be read.
    """
    if "tokenizer.json" in there or ("vocab.json" in there and "merges.txt" in there):
        return False
    if kind == "llama" and SENTENCES not in there:
        return "vocab.json" not in there
    found = f" (found {SENTENCES})" if SENTENCES in there else ""
    raise HubError(
        f"{what} has no tokenizer that can be read{found}",
        mend="choose a model with tokenizer.json, or with vocab.json and merges.txt",
    )


def converted_size(weights: int, config: Mapping[str, Any], compute_type: str) -> int:
    """Bytes that *weights* bytes of a checkpoint will take in the store."""
    kind = str(config.get("torch_dtype") or config.get("dtype") or "").removeprefix("torch.")
    # Two bytes are the more careful guess: it makes more weights of the same file.
    return int(weights / _SOURCE_BYTES.get(kind, 2.0) * WEIGHT_BYTES[compute_type])


def require_room(home: Path, name: str, download: int, converted: int) -> None:
    """Make sure that what is about to be written fits the store's disk.

    :raises HubError: it does not; both numbers are named.
    """
    place = home / "models"
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        free = shutil.disk_usage(place).free
    except OSError:
        return  # the system does not say; writing will
    needed = download + converted + _MARGIN
    if needed > free:
        raise HubError(
            f"{name} needs {amount(needed)} ({amount(download)} to fetch, {amount(converted)}"
            f" converted) and {place} has {amount(free)} free",
            mend="make room, or set CODEGEN_LSP_HOME to a folder on a larger disk",
        )


def amount(size: int) -> str:
    """Bytes, for a person."""
    if size < 1e6:
        return f"{size / 1e3:,.0f} kB"
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"
