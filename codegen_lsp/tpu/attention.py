"""Causal attention for training, in a form that suits processors without fused kernels.

Knows: softmax attention over whole sequences and its derivative, in blocks of queries.
Does not know: rotary positions, projections, or key/value caches.

Source of the derivative: Dao et al., "FlashAttention", arXiv 2205.14135, appendix B.2; here the
weights are kept rather than computed again, since memory is not what is short.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

QUERY_BLOCK = 128
"""Queries attended to at once; keys after a block's last query are never multiplied."""

HIDDEN = -1e30
"""Score of a key that a query may not see; its weight is exactly 0."""


class Attend(Protocol):
    """Attention over already rotated queries and keys.

    `query`, `key` and `value` are [batch, length, heads, head_dim]; `layer` counts from 0, so that
    an implementation can find its own cache. The answer has the shape of `query`.
    """

    def __call__(self, query: jax.Array, key: jax.Array, value: jax.Array, layer: int) -> jax.Array:
        """Mixes values by how queries match keys."""
        ...


def causal(dtype: str) -> Attend:
    """Attention of each position to itself and those before it, operands of products in `dtype`.

    Scores, weights and sums are float32, scores are divided by sqrt(head_dim).
    """

    def attend(query: jax.Array, key: jax.Array, value: jax.Array, layer: int) -> jax.Array:
        del layer
        scale = 1.0 / math.sqrt(query.shape[-1])
        parts = (jnp.swapaxes(part, 1, 2) for part in (query * scale, key, value))
        return jnp.swapaxes(_attention(*parts, dtype), 1, 2)

    return attend


def _dot(left: jax.Array, right: jax.Array) -> jax.Array:
    """Product of the last two axes, summed and returned in float32."""
    return jnp.matmul(left, right, preferred_element_type=jnp.float32)


def transposed(x: jax.Array) -> jax.Array:
    """`x` with its last two axes swapped in memory.

    XLA would fold a plain transposition into the product that follows, which is slower on a CPU.
    """
    turned: jax.Array = jax.lax.optimization_barrier(  # type: ignore[no-untyped-call]
        jnp.swapaxes(x, -1, -2)
    )
    return turned


def _blocks(length: int) -> list[tuple[int, int]]:
    return [(at, min(at + QUERY_BLOCK, length)) for at in range(0, length, QUERY_BLOCK)]


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _attention(query: jax.Array, key: jax.Array, value: jax.Array, dtype: str) -> jax.Array:
    """Attention of scaled queries; all arrays are [batch, heads, length, head_dim]."""
    return _forward(query, key, value, dtype)[0]


Residuals = tuple[jax.Array, jax.Array, jax.Array, list[jax.Array], jax.Array]


def _forward(
    query: jax.Array, key: jax.Array, value: jax.Array, dtype: str
) -> tuple[jax.Array, Residuals]:
    query, key, value = (part.astype(dtype) for part in (query, key, value))
    turned_key = transposed(key)
    kept, outputs = [], []
    for start, end in _blocks(query.shape[2]):
        scores = _dot(query[:, :, start:end], turned_key[..., :end])
        visible = np.arange(end)[None, :] <= np.arange(start, end)[:, None]
        weights = jax.nn.softmax(jnp.where(visible, scores, HIDDEN), axis=-1).astype(dtype)
        kept.append(weights)
        outputs.append(_dot(weights, value[:, :, :end]))
    output = jnp.concatenate(outputs, axis=2)
    return output, (query, key, value, kept, output)


def _backward(
    dtype: str, residuals: Residuals, cotangent: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    query, key, value, kept, output = residuals
    length = query.shape[2]
    balance = jnp.sum(cotangent * output, axis=-1, keepdims=True)
    low = cotangent.astype(dtype)
    turned_low, turned_query, turned_value = transposed(low), transposed(query), transposed(value)
    d_query = []
    d_key = d_value = jnp.zeros(turned_query.shape, jnp.float32)
    for (start, end), weights in zip(_blocks(length), kept, strict=True):
        d_weights = _dot(low[:, :, start:end], turned_value[..., :end])
        centred = d_weights - balance[:, :, start:end]
        d_scores = (weights.astype(jnp.float32) * centred).astype(dtype)
        d_query.append(_dot(d_scores, key[:, :, :end]))
        unseen = ((0, 0), (0, 0), (0, 0), (0, length - end))
        d_value = d_value + jnp.pad(_dot(turned_low[..., start:end], weights), unseen)
        d_key = d_key + jnp.pad(_dot(turned_query[..., start:end], d_scores), unseen)
    return jnp.concatenate(d_query, axis=2), transposed(d_key), transposed(d_value)


_attention.defvjp(_forward, _backward)
