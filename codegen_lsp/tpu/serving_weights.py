"""Weights for serving: plain arrays in the type they are served in, each on its devices.

Knows bfloat16 and int8 (a scale for every output, as CTranslate2 stores them), and how plain names
map onto the model's tree. Holds one matrix at a time beside what was placed already.

Does not know: files or other layouts (``codegen_lsp.converters`` reads those into plain arrays).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from numpy.typing import NDArray

from codegen_lsp.errors import ModelDamagedError
from codegen_lsp.tpu.model import CodeGen, CodeGenConfig
from codegen_lsp.tpu.sharding import check_divisible, parameter_shardings, placed_shape

__all__ = ["Plain", "parameter_shapes", "place", "quantized"]

Floats = NDArray[np.float32]


class Plain(Protocol):
    """Arrays by plain name, as `model.parameters_to_numpy` calls them; read when asked for."""

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The array; KeyError where there is none."""
        ...


_OUTPUTS: Final[Mapping[str, int]] = {
    "qkv": -2,
    "out": -2,
    "fc_in": -2,
    "fc_out": -2,
    "wte": -1,
    "lm_head": -1,
}
"""The axis of each matrix over which an output is summed: its largest value sets the scale."""

_PLAIN: Final[Mapping[str, str]] = {
    "fc_in": "fc_in.kernel",
    "fc_in_bias": "fc_in.bias",
    "fc_out": "fc_out.kernel",
    "fc_out_bias": "fc_out.bias",
    "lm_head": "lm_head.weight",
    "lm_head_bias": "lm_head.bias",
}
"""Parameters whose name in the tree is not their plain name."""


def quantized(matrix: NDArray[Any], axis: int) -> tuple[NDArray[np.int8], Floats]:
    """*matrix* as int8 and the float32 scales by which its outputs are to be multiplied.

    *axis* is summed over in a product. The largest value of an output becomes 127; ties are
    rounded to even.
    """
    values = np.asarray(matrix, np.float32)
    largest = np.abs(values).max(axis=axis, keepdims=True)
    steps = np.where(largest == 0, np.float32(1), np.float32(127) / np.where(largest, largest, 1))
    integers = np.rint(values * steps).astype(np.int8)
    return integers, np.squeeze((1 / steps).astype(np.float32), axis=axis)


def parameter_shapes(config: CodeGenConfig, mesh: Mesh | None = None) -> Any:
    """The tree of the model's parameters, shapes and types only, placed on *mesh* if given.

    :raises UsageError: the mesh's devices cannot share the model.
    """
    model = nnx.eval_shape(lambda: CodeGen(config, rngs=nnx.Rngs(0)))
    shapes = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    if mesh is None:
        return shapes
    check_divisible(config, mesh.size)
    return jax.tree.map(
        lambda leaf, there: placed_shape(leaf.shape, leaf.dtype, there),
        shapes,
        parameter_shardings(shapes, mesh),
    )


def place(plain: Plain, config: CodeGenConfig, mesh: Mesh | None = None) -> Any:
    """The parameters of *plain* as ``config.weights`` keeps them, on the devices of *mesh*.

    :raises UsageError: the mesh's devices cannot share the model.
    :raises ModelDamagedError: a parameter is missing, has another shape or cannot be quantized.
    """
    shapes = parameter_shapes(config, mesh)
    paths, tree = jax.tree_util.tree_flatten_with_path(shapes)
    read = _Reader(plain)
    placed = [_placed(read, [str(part.key) for part in path], leaf) for path, leaf in paths]
    return jax.tree_util.tree_unflatten(tree, placed)


class _Reader:
    """Arrays by their place in the tree; the matrix quantized last is kept for its scales."""

    def __init__(self, plain: Plain) -> None:
        self._plain = plain
        self._last: tuple[str, NDArray[np.int8], Floats] | None = None

    def values(self, path: list[str]) -> NDArray[Any]:
        """The float array at *path*."""
        name = ".".join([*path[:-1], _PLAIN.get(path[-1], path[-1])])
        try:
            return self._plain[name]
        except KeyError:
            raise ModelDamagedError(
                f"the weights have no parameter {name!r}", mend="convert them again"
            ) from None

    def integers(self, path: list[str]) -> tuple[NDArray[np.int8], Floats]:
        """The matrix at *path* quantized."""
        name = ".".join(path)
        if self._last is None or self._last[0] != name:
            matrix = np.asarray(self.values(path))
            if not np.isfinite(matrix).all():
                raise ModelDamagedError(f"{name} holds values that are not finite")
            self._last = (name, *quantized(matrix, _OUTPUTS[path[-1]]))
        return self._last[1:]


def _placed(read: _Reader, path: list[str], leaf: jax.ShapeDtypeStruct) -> jax.Array:
    base = path[-1].removesuffix("_scale")
    if base != path[-1]:
        array: NDArray[Any] = read.integers([*path[:-1], base])[1]
    elif leaf.dtype == np.int8:
        array = read.integers(path)[0]
    else:
        array = np.asarray(read.values(path))
    if array.shape != leaf.shape:
        raise ModelDamagedError(
            f"{'.'.join(path)} has the shape {array.shape}, not {leaf.shape}",
            mend="convert the weights again",
        )
    there: jax.Array = jax.device_put(array.astype(leaf.dtype), leaf.sharding)
    return there
