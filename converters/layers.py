"""Layers of transformers in numpy, for the references: slow, short, one sequence, no cache.

Each follows the published equation that its docstring names. Does not know any model or file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "attention",
    "causal",
    "gelu",
    "gelu_tanh",
    "heads",
    "layer_norm",
    "look_up",
    "relu",
    "rms_norm",
    "rotate_halves",
    "silu",
]

Floats = NDArray[np.float32]

_erf: Final = np.frompyfunc(math.erf, 1, 1)


def look_up(table: Floats, ids: Sequence[int]) -> Floats:
    """Rows *ids* of an embedding [rows, width]: [length, width]."""
    return np.asarray(table[np.asarray(ids, np.int64)])


def layer_norm(x: Floats, scale: Floats, bias: Floats, epsilon: float) -> Floats:
    """Layer normalization of the last axis (arXiv 1607.06450, equation 4)."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + epsilon) * scale + bias, np.float32)


def rms_norm(x: Floats, scale: Floats, epsilon: float) -> Floats:
    """Root mean square normalization of the last axis (arXiv 1910.07467, equation 4)."""
    square = (x**2).mean(axis=-1, keepdims=True)
    return np.asarray(x / np.sqrt(square + epsilon) * scale, np.float32)


def heads(x: Floats, count: int) -> Floats:
    """[length, count * size] cut into [count, length, size]."""
    return np.asarray(x.reshape(x.shape[0], count, -1).swapaxes(0, 1))


def attention(query: Floats, key: Floats, value: Floats, bias: Floats, scale: float) -> Floats:
    """Scaled dot-product attention (arXiv 1706.03762, equation 1): [length, heads * size].

    *query* is [heads, length, size]; *key* and *value* are [groups, others, size], where each
    group serves as many heads in a row (arXiv 2305.13245; one group: arXiv 1911.02150). *bias* is
    added to the scores [heads, length, others] and may be broadcast.
    """
    group = query.shape[0] // key.shape[0]
    key, value = np.repeat(key, group, axis=0), np.repeat(value, group, axis=0)
    scores = query @ key.swapaxes(1, 2) * np.float32(scale) + bias
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = scores / scores.sum(axis=-1, keepdims=True) @ value
    return np.asarray(mixed.swapaxes(0, 1).reshape(query.shape[1], -1), np.float32)


def causal(length: int) -> Floats:
    """The bias [length, length] that hides what comes later."""
    return np.where(np.tri(length, dtype=bool), np.float32(0), np.float32(-np.inf))


def rotate_halves(x: Floats, base: float) -> Floats:
    """Rotary positions (arXiv 2104.09864, equation 34) on *x* [heads, length, size].

    Dimension i is paired with i + size/2, as Llama's checkpoints have it.
    """
    half = x.shape[-1] // 2
    frequencies = base ** (-np.arange(half, dtype=np.float64) / half)
    angles = np.arange(x.shape[1])[:, None] * frequencies
    sin, cos = np.sin(angles).astype(np.float32), np.cos(angles).astype(np.float32)
    left, right = x[..., :half], x[..., half:]
    return np.concatenate((left * cos - right * sin, right * cos + left * sin), axis=-1)


def relu(x: Floats) -> Floats:
    """Negative numbers become 0."""
    return np.maximum(x, np.float32(0))


def silu(x: Floats) -> Floats:
    """Each number times its sigmoid (arXiv 1606.08415, section 2)."""
    # The exponential of a large number is infinite, which is the right limit here.
    with np.errstate(over="ignore"):
        return np.asarray(x / (1 + np.exp(-x)), np.float32)


def gelu(x: Floats) -> Floats:
    """GELU by the error function (arXiv 1606.08415, section 2)."""
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2)).astype(np.float32)), np.float32)


def gelu_tanh(x: Floats) -> Floats:
    """GELU's approximation by the hyperbolic tangent (the same section)."""
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return np.asarray(0.5 * x * (1 + np.tanh(inner)), np.float32)
