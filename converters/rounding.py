"""Weights as a format stores them: rounded, and widened again.

A conversion that quantizes may change logits as much as a wrong row does, on a model that says
little. So what was converted is compared with the source's weights *rounded alike*: what is left
then is the order of additions, and a wrong layout stands out.

Knows which tensors of a checkpoint each format rounds, and how. Does not know models.
"""

from __future__ import annotations

import zlib
from functools import partial
from typing import Final

import numpy as np

from . import ct2_file
from .pickled import widened
from .tensors import Array, LazyTensors, Tensors
from .to_gguf import HEAD_KIND, dequantized, kind_of

__all__ = ["as_ct2", "as_float16", "as_gguf", "jittered"]

_NO_MATRIX: Final = ("transformer.wpe.weight", "relative_attention_bias.weight")
"""Ends of names of tables that CTranslate2 does not treat as matrices."""


def as_ct2(tensors: Tensors, quantization: str) -> Tensors:
    """*tensors* of a checkpoint as CTranslate2 stores them with *quantization*."""
    matrices, others = ct2_file.QUANTIZATIONS[quantization]

    def make(name: str) -> Array:
        tensor = tensors[name]
        is_matrix = tensor.ndim == 2 and not name.endswith(_NO_MATRIX)
        return _ct2(tensor, matrices if is_matrix else others)

    return LazyTensors({name: partial(make, name) for name in tensors})


def _ct2(tensor: Array, kind: str | None) -> Array:
    if kind is None:
        return tensor
    stored, scales = ct2_file.quantized(tensor, kind)
    if scales is not None:
        return np.asarray(stored.astype(np.float32) / scales[:, None])
    return widened(stored, bfloat16=True) if kind == "bfloat16" else stored


def as_float16(tensors: Tensors) -> Tensors:
    """*tensors* of a checkpoint in float16."""

    def make(name: str) -> Array:
        return tensors[name].astype(np.float16)

    return LazyTensors({name: partial(make, name) for name in tensors})


def as_gguf(tensors: Tensors, kind: str) -> Tensors:
    """*tensors* of a CodeGen checkpoint as a GGUF of type *kind* stores them.

    :raises ConversionError: the ``gguf`` package is missing.
    """

    def make(name: str) -> Array:
        tensor = tensors[name]
        head = HEAD_KIND if name == "lm_head.weight" else None
        return dequantized(tensor, kind_of(tensor.shape, kind, head))

    return LazyTensors({name: partial(make, name) for name in tensors})


def jittered(tensors: Tensors) -> Tensors:
    """*tensors* in float32, each value moved by a rounding error: the same ones every time.

    What a model makes of them is as far from what it makes of *tensors* as two right
    computations are from each other.
    """

    def make(name: str) -> Array:
        tensor = np.asarray(tensors[name], np.float32)
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        moved = rng.standard_normal(tensor.shape, np.float32)
        moved *= np.float32(2.0**-24)
        moved += np.float32(1)
        moved *= tensor
        return moved

    return LazyTensors({name: partial(make, name) for name in tensors})
