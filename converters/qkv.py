"""The attention weights of CodeGen: the fused matrix of the checkpoints, and its three parts.

Salesforce trained the models on several TPU cores and stored query, value and key (in this
order) core by core: a fused weight [3d, n] is, seen as [parts, 3, d / parts, n], one slice of
each per core. ``parts`` is 4 for all of CodeGen 1 and 8 for CodeGen2-1B and -3.7B; heads are in
the same order on both sides.

Knows rows only: weights are [out, in] as in ``torch.nn.Linear``, so *n* is anything. Does not
know files or names.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.errors import ConversionError

__all__ = ["PARTS", "fuse", "interleaved_to_sliced", "sliced_to_interleaved", "split"]

PARTS = 4
"""Slices of a fused matrix where nothing else is said."""

Array = NDArray[np.generic]


def fuse(query: Array, key: Array, value: Array, parts: int = PARTS) -> Array:
    """The fused matrix [3d, n] of three matrices [d, n].

    :raises ConversionError: the width is not a multiple of *parts*.
    """
    width = _checked(query.shape[0], parts)
    shape = (parts, width // parts, *query.shape[1:])
    stacked = np.stack([part.reshape(shape) for part in (query, value, key)], axis=1)
    return stacked.reshape(3 * width, *query.shape[1:])


def split(fused: Array, parts: int = PARTS) -> tuple[Array, Array, Array]:
    """Query, key and value, each [d, n], of a fused matrix [3d, n]; undoes :func:`fuse`.

    :raises ConversionError: the width is not a multiple of *parts*.
    """
    width = _checked(fused.shape[0] // 3, parts)
    view = fused.reshape(parts, 3, width // parts, *fused.shape[1:])
    query, value, key = (view[:, i].reshape(width, *fused.shape[1:]) for i in range(3))
    return query, key, value


def _checked(width: int, parts: int) -> int:
    if width % parts:
        raise ConversionError(
            f"a width of {width} cannot be stored in {parts} parts",
            mend=f"use a width and a number of heads that are multiples of {parts}",
        )
    return width


def interleaved_to_sliced(weight: Array, heads: int, rotary_dim: int) -> Array:
    """Rows [d, n] reordered per head so that rotated pairs (2i, 2i+1) become (i, i + r/2).

    The dot products of queries and keys do not change when both are reordered alike; engines
    that rotate half against half then compute what the interleaved rotation computes.
    """
    return _reordered(weight, heads, _even_then_odd(rotary_dim))


def sliced_to_interleaved(weight: Array, heads: int, rotary_dim: int) -> Array:
    """Undoes :func:`interleaved_to_sliced`."""
    return _reordered(weight, heads, np.argsort(_even_then_odd(rotary_dim)))


def _even_then_odd(rotary_dim: int) -> NDArray[np.intp]:
    order = np.arange(rotary_dim, dtype=np.intp)
    return np.concatenate((order[::2], order[1::2]))


def _reordered(weight: Array, heads: int, order: NDArray[np.intp]) -> Array:
    per_head = weight.reshape(heads, weight.shape[0] // heads, *weight.shape[1:])
    rest = np.arange(len(order), per_head.shape[1], dtype=np.intp)
    return per_head[:, np.concatenate((order, rest))].reshape(weight.shape)
