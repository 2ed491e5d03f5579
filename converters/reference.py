"""CodeGen's forward pass in plain numpy: slow, short, and what the other layouts are held to.

Follows the published equations (arXiv 2203.13474, section 2.2), one sequence, no cache.
Does not know any engine or file.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .shape import Shape
from .tensors import Tensors

__all__ = ["forward"]

Floats = NDArray[np.floating]

Precision = type[np.float32] | type[np.float64]


def forward(
    plain: Tensors, shape: Shape, tokens: Sequence[int], precision: Precision = np.float64
) -> Floats:
    """Logits [length, vocabulary] of one sequence of token ids, computed in *precision*.

    *plain* is named as in ``to_hf``; one tensor of it is held at a time.
    """
    weights = _Cast(plain, precision)
    x: Floats = np.asarray(plain["wte"][np.asarray(tokens)], precision)
    for layer in range(shape.n_layer):
        x = x + _block(weights, f"h.{layer}.", shape, x)
    x = _layer_norm(x, weights, "ln_f", shape.layer_norm_epsilon)
    return np.asarray(x @ weights["lm_head.weight"].T + weights["lm_head.bias"])


class _Cast:
    """Tensors in one precision, each cast when asked for."""

    def __init__(self, tensors: Tensors, precision: Precision) -> None:
        self._tensors = tensors
        self._precision = precision

    def __getitem__(self, name: str) -> Floats:
        return np.asarray(self._tensors[name], self._precision)


def _block(weights: _Cast, at: str, shape: Shape, x: Floats) -> Floats:
    """What attention and MLP, side by side behind one LayerNorm, add to the residual stream."""
    x = _layer_norm(x, weights, at + "ln_1", shape.layer_norm_epsilon)
    inner = _gelu(x @ weights[at + "fc_in.kernel"] + weights[at + "fc_in.bias"])
    mlp = inner @ weights[at + "fc_out.kernel"] + weights[at + "fc_out.bias"]
    return _attention(weights, at, shape, x) + mlp


def _attention(weights: _Cast, at: str, shape: Shape, x: Floats) -> Floats:
    length = x.shape[0]
    query, key, value = (
        (x @ matrix).reshape(length, shape.n_head, shape.head_dim).swapaxes(0, 1)
        for matrix in weights[at + "qkv"]
    )
    query, key = _rotate(query, shape.rotary_dim), _rotate(key, shape.rotary_dim)
    scores = query @ key.swapaxes(1, 2) / x.dtype.type(np.sqrt(shape.head_dim))
    scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = scores / scores.sum(axis=-1, keepdims=True) @ value
    return np.asarray(mixed.swapaxes(0, 1).reshape(length, -1) @ weights[at + "out"])


def _rotate(heads: Floats, rotary_dim: int) -> Floats:
    """Rotate pairs (2i, 2i+1) of the first dimensions of *heads* [heads, length, head_dim]."""
    frequencies = 10000.0 ** (-np.arange(0, rotary_dim, 2) / rotary_dim)
    angles = np.arange(heads.shape[1])[:, None] * frequencies
    sin, cos = np.sin(angles).astype(heads.dtype), np.cos(angles).astype(heads.dtype)
    even, odd = heads[..., 0:rotary_dim:2], heads[..., 1:rotary_dim:2]
    turned = heads.copy()
    turned[..., 0:rotary_dim:2] = even * cos - odd * sin
    turned[..., 1:rotary_dim:2] = odd * cos + even * sin
    return turned


def _layer_norm(x: Floats, weights: _Cast, name: str, epsilon: float) -> Floats:
    centred = x - x.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)
    return np.asarray(centred / deviation * weights[name + ".scale"] + weights[name + ".bias"])


def _gelu(x: Floats) -> Floats:
    """The tanh approximation of GELU (``gelu_new``)."""
    inner: Floats = x.dtype.type(np.sqrt(2 / np.pi)) * (x + 0.044715 * x**3)
    return np.asarray(0.5 * x * (1 + np.tanh(inner)))
