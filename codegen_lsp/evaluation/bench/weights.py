"""How many bytes of weights one token costs. Knows shapes and types of storage, no engines."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final

from codegen_lsp.models.manifest import Manifest

__all__ = ["BYTES_PER_WEIGHT", "bytes_per_token", "embedding_weights"]

BYTES_PER_WEIGHT: Final[Mapping[str, float]] = {
    "int8": 1,
    "int8_float32": 1,
    "int8_float16": 1,
    "int8_bfloat16": 1,
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "q8_0": 34 / 32,  # 32 weights and the scale they share
    "q4_0": 18 / 32,
}
"""By how weights are stored; scales of whole rows, biases and norms are too few to count."""

EMBEDDING: Final = "decoder/embeddings/weight"


def bytes_per_token(manifest: Manifest, folder: Path, stored_as: str) -> float | None:
    """Bytes of weights that are read for one new token; ``None`` where that is not known.

    All of them but the embedding, of which one token reads one row. Keys and values come on top.
    """
    each = BYTES_PER_WEIGHT.get(stored_as)
    embedding = embedding_weights(folder / "model.bin")
    if each is None or not manifest.parameters or embedding is None:
        return None
    return (manifest.parameters - embedding) * each


def embedding_weights(model: Path) -> int | None:
    """Weights of the embedding in CTranslate2's *model* file; ``None`` where it cannot be read.

    The file is a list of named arrays in the order of their names: a name, a shape, a type, the
    length of the data and the data, each number little-endian.
    """
    try:
        with model.open("rb") as file:
            _, _, count = _number(file, "I"), _name(file), _number(file, "II")
            for _ in range(count):
                name, shape = _name(file), _shape(file)
                if name == EMBEDDING:
                    return math.prod(shape)
                file.seek(_number(file, "BI"), os.SEEK_CUR)
    except (OSError, struct.error, UnicodeDecodeError):
        return None
    return None


def _number(file: BinaryIO, form: str) -> int:
    """The last of some unsigned numbers."""
    size = struct.calcsize("<" + form)
    return int(struct.unpack("<" + form, file.read(size))[-1])


def _name(file: BinaryIO) -> str:
    return file.read(_number(file, "H")).rstrip(b"\0").decode("utf-8")


def _shape(file: BinaryIO) -> tuple[int, ...]:
    return tuple(_number(file, "I") for _ in range(_number(file, "B")))
