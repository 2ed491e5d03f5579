"""Writing with the JAX model: a key/value cache, prefill, decode, greedy text.

Knows: the cache, attention over it (the block is the one of training, ``model``), and one step for
prompts and single tokens alike. Rows of a batch stand at positions of their own.

Does not know: sampling, stopping, requests, pages of memory (vLLM's business; its attention is
injected in the same place), or where weights come from (``serving_weights``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from codegen_lsp.errors import UsageError
from codegen_lsp.tpu.attention import HIDDEN
from codegen_lsp.tpu.model import CodeGen, CodeGenConfig
from codegen_lsp.tpu.sharding import cache_sharding, placed_shape

__all__ = ["Answer", "Cache", "Step", "cache_shapes", "empty_cache", "greedy", "make_step"]

_TILE: Final = 8
"""Rows of a tile of a TPU's registers."""

Cache = tuple[tuple[jax.Array, jax.Array], ...]
"""Keys and values of each layer, [rows, heads, length, head_dim], keys rotated."""


class Answer(NamedTuple):
    """What one step gives."""

    tokens: jax.Array
    """The most likely next token of every row, [rows]."""
    logits: jax.Array
    """Of the next token of every row, [rows, vocabulary], float32."""
    cache: Cache
    """The cache with the step's tokens in it; the one that was passed in is gone."""


Step = Callable[[Any, jax.Array, jax.Array, jax.Array, Cache], Answer]
"""(parameters, tokens [rows, n], start [rows], last [rows], cache) -> Answer. See `make_step`."""


class _Cached:
    """Attention that writes keys and values into a cache and reads all of it that is past.

    An ``Attend`` for one step; ``cache`` is the new cache once every layer was called.
    """

    def __init__(self, cache: Cache, positions: jax.Array, dtype: str) -> None:
        self._layers = list(cache)
        self._positions = positions
        self._dtype = dtype

    @property
    def cache(self) -> Cache:
        return tuple(self._layers)

    def __call__(self, query: jax.Array, key: jax.Array, value: jax.Array, layer: int) -> jax.Array:
        keys, values = self._layers[layer]
        keys = _written(keys, key, self._positions[:, 0])
        values = _written(values, value, self._positions[:, 0])
        self._layers[layer] = keys, values
        tiled = jnp.swapaxes(_tiled(jnp.swapaxes(query, 0, 1)), 0, 1)
        mixed = _attention(tiled, keys, values, self._positions, self._dtype)
        return mixed[:, : query.shape[1]]


def _attention(
    query: jax.Array, keys: jax.Array, values: jax.Array, positions: jax.Array, dtype: str
) -> jax.Array:
    """Queries [rows, n, heads, size] at *positions* [rows, n or 1] over a whole cache's layer."""
    scaled = (query / math.sqrt(query.shape[-1])).astype(dtype)
    scores = _product("bqhd,bhkd->bhqk", scaled, keys.astype(dtype))
    past = jnp.arange(keys.shape[2]) <= positions[:, None, :, None]
    weights = jax.nn.softmax(jnp.where(past, scores, HIDDEN), axis=-1).astype(dtype)
    return _pinned(_product("bhqk,bhkd->bqhd", weights, values.astype(dtype)))


def _tiled(x: jax.Array) -> jax.Array:
    """*x*, repeated where there is one row alone, as the `_TILE` that a matrix unit takes at once.

    With one alone a TPU's compiler leaves the matrix unit out and needs twice the time.
    """
    return x if len(x) > 1 else _pinned(jnp.broadcast_to(x, (_TILE, *x.shape[1:])))


def _pinned(x: jax.Array) -> jax.Array:
    """*x*, through which the compiler moves nothing: it would undo the tile."""
    pinned: jax.Array = jax.lax.optimization_barrier(x)  # type: ignore[no-untyped-call]
    return pinned


def _product(equation: str, left: jax.Array, right: jax.Array) -> jax.Array:
    return jnp.einsum(equation, left, right, preferred_element_type=jnp.float32)


def _written(held: jax.Array, new: jax.Array, starts: jax.Array) -> jax.Array:
    """*held* [rows, heads, length, size] with *new* [rows, n, heads, size] from *starts* on."""
    new = jnp.swapaxes(new, 1, 2).astype(held.dtype)
    if new.shape[0] == 1:
        return jax.lax.dynamic_update_slice(held, new, (0, 0, starts[0], 0))
    for row in range(new.shape[0]):  # each in place; a scatter would be a loop of its own
        held = jax.lax.dynamic_update_slice(held, new[row : row + 1], (row, 0, starts[row], 0))
    return held


def make_step(config: CodeGenConfig) -> Step:
    """A step of the model: tokens read from each row's position on, and what comes next.

    Row *i* reads ``tokens[i]`` at positions ``start[i]``, ``start[i] + 1``, … and is answered
    after its token number ``last[i]``; what stands behind that is padding, and is written over by
    the step that reads there. One token a row is decoding, more are a prompt or a part of it.
    ``start[i] + n`` must not exceed the cache's length. Not compiled: ``jax.jit`` it, with the
    cache donated.
    """
    graph = nnx.split(nnx.eval_shape(lambda: CodeGen(config, rngs=nnx.Rngs(0))))[0]

    def step(
        params: Any, tokens: jax.Array, start: jax.Array, last: jax.Array, cache: Cache
    ) -> Answer:
        model = nnx.merge(graph, nnx.State(params))
        positions = start[:, None] + jnp.arange(tokens.shape[1])[None, :]
        attend = _Cached(cache, positions, config.matmul_dtype)
        hidden = model(tokens, positions, attend)
        ends = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
        logits = model.logits(_tiled(ends))[: len(ends)]
        return Answer(jnp.argmax(logits, axis=-1), logits, attend.cache)

    return step


def cache_shapes(
    config: CodeGenConfig, rows: int, length: int, mesh: Mesh | None = None
) -> tuple[tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct], ...]:
    """The shapes of a cache for *rows* texts of up to *length* tokens, heads cut by *mesh*.

    Keys and values are kept in the type in which they are multiplied.
    """
    shape = (rows, config.n_head, length, config.head_dim)
    place = None if mesh is None else cache_sharding(mesh)
    one = placed_shape(shape, jnp.dtype(config.matmul_dtype), place)
    return ((one, one),) * config.n_layer


def empty_cache(config: CodeGenConfig, rows: int, length: int, mesh: Mesh | None = None) -> Cache:
    """A cache of zeros; see `cache_shapes`."""
    shapes = cache_shapes(config, rows, length, mesh)
    cache: Cache = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype, device=s.sharding), shapes)
    return cache


def greedy(
    config: CodeGenConfig,
    params: Any,
    prompts: Sequence[Sequence[int]],
    count: int,
    mesh: Mesh | None = None,
) -> list[list[int]]:
    """The *count* most likely tokens, one after the other, behind each of *prompts*, in one batch.

    Nothing ends a text early.

    :raises UsageError: an empty prompt, or one that leaves no room for *count* tokens.
    """
    longest = max(map(len, prompts), default=0)
    if min(map(len, prompts), default=0) < 1 or longest + count > config.n_positions:
        raise UsageError(
            f"prompts of 1 to {config.n_positions - count} tokens can be continued by {count}"
        )
    tokens = np.zeros((len(prompts), longest), np.int32)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = prompt
    step = jax.jit(make_step(config), donate_argnums=4)
    lengths = np.asarray([len(prompt) for prompt in prompts], np.int32)
    zeros = np.zeros_like(lengths)
    answer = step(
        params, tokens, zeros, lengths - 1, empty_cache(config, len(prompts), longest + count, mesh)
    )
    written = [np.asarray(answer.tokens)]
    for done in range(count - 1):
        answer = step(params, answer.tokens[:, None], lengths + done, zeros, answer.cache)
        written.append(np.asarray(answer.tokens))
    return [[int(token) for token in row] for row in np.stack(written, axis=1)]
