"""How a CodeGen lies on several devices: tensor parallelism, by one table.

Knows which axis of each parameter and of the key/value cache is cut, and which numbers of devices
can share a model. Heads are cut whole: queries, keys and values of a head, its rows of the output
projection and its cache are on one device, so that a block speaks to the other devices only where
attention and MLP are added up. The parts in which checkpoints fuse the attention weights
(``converters.qkv``) do not matter here: ours lie apart, head after head.

Does not know: what is computed (the compiler derives the communication from the places of the
operands), real chips (``aot_chips``), or training, which runs on one device.

Source: Shoeybi et al., "Megatron-LM", arXiv 1909.08053, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codegen_lsp.errors import EngineUnavailableError, UsageError
from codegen_lsp.tpu.model import CodeGenConfig

__all__ = [
    "AXIS",
    "cache_sharding",
    "check_divisible",
    "make_mesh",
    "parameter_shardings",
    "placed_shape",
    "replicated",
]

AXIS: Final = "model"
"""The mesh's only axis."""

_CUTS: Final[Mapping[str, tuple[str | None, ...]]] = {
    "qkv": (None, None, AXIS),
    "qkv_scale": (None, AXIS),
    "out": (AXIS, None),
    "out_scale": (),
    "fc_in": (None, AXIS),
    "fc_in_scale": (AXIS,),
    "fc_in_bias": (AXIS,),
    "fc_out": (AXIS, None),
    "fc_out_scale": (),
    "fc_out_bias": (),
    "wte": (AXIS, None),
    "wte_scale": (AXIS,),
    "lm_head": (AXIS, None),
    "lm_head_scale": (AXIS,),
    "lm_head_bias": (AXIS,),
    "scale": (),
    "bias": (),
}
"""By the last part of a parameter's path: what is cut. ``scale`` and ``bias`` are LayerNorms'."""


def make_mesh(ways: int, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of the first *ways* of *devices* (those of this process unless given).

    :raises EngineUnavailableError: there are fewer.
    """
    found = list(jax.devices() if devices is None else devices)
    if not 0 < ways <= len(found):
        raise EngineUnavailableError(
            f"a model cannot be spread over {ways} devices where there are {len(found)}",
            mend=f"ask for 1 to {len(found)}",
        )
    return Mesh(np.asarray(found[:ways]), (AXIS,))


def check_divisible(config: CodeGenConfig, ways: int) -> None:
    """Nothing, where *ways* devices can share the model evenly.

    :raises UsageError: heads or vocabulary cannot be divided.
    """
    counts = {"heads": config.n_head, "rows of the vocabulary": config.vocab_size}
    for what, count in counts.items():
        if count % ways:
            fitting = [n for n in range(1, 9) if all(c % n == 0 for c in counts.values())]
            raise UsageError(
                f"{count} {what} cannot be divided among {ways} devices",
                mend=f"use {', '.join(map(str, fitting))}",
            )


def parameter_shardings(params: Any, mesh: Mesh) -> Any:
    """The sharding of every leaf of *params*, a tree as ``nnx.to_pure_dict`` gives it."""

    def of(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        del leaf
        return _cut(mesh, *_CUTS[str(path[-1].key)])

    return jax.tree_util.tree_map_with_path(of, params)


def cache_sharding(mesh: Mesh) -> NamedSharding:
    """Keys or values of a layer, [rows, heads, length, head_dim]: heads are cut."""
    return _cut(mesh, None, AXIS, None, None)


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return _cut(mesh)


def placed_shape(
    shape: tuple[int, ...], dtype: Any, place: NamedSharding | None
) -> jax.ShapeDtypeStruct:
    """An array that is not there: its shape, its type and where it would lie."""
    return jax.ShapeDtypeStruct(shape, dtype, sharding=place)  # type: ignore[no-untyped-call]


def _cut(mesh: Mesh, *axes: str | None) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(*axes))  # type: ignore[no-untyped-call]
