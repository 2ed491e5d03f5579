"""The trained model outside of training: plain arrays from a run's checkpoint, and their logits.

Knows: where a run's newest parameters lie and how plain names map onto the JAX model. Reads only:
a run in progress is not disturbed.
Does not know: optimizers, other layouts of the weights (the converters do).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx
from numpy.typing import NDArray

from codegen_lsp.errors import TrainingError
from codegen_lsp.tpu.checkpoint import read_model_config
from codegen_lsp.tpu.model import CodeGen, CodeGenConfig, parameters_to_numpy

__all__ = ["logits_of", "model_of", "read_run"]


def read_run(run: Path) -> tuple[dict[str, NDArray[Any]], CodeGenConfig]:
    """The newest parameters of a run's folder as plain float32 arrays, and the model's shape.

    Names and shapes are those of :func:`codegen_lsp.tpu.model.parameters_to_numpy`.

    :raises TrainingError: the folder holds no run, no checkpoint, or an unreadable one.
    """
    config = read_model_config(run)
    steps = [int(path.name) for path in run.glob("checkpoints/*") if path.name.isdigit()]
    if not steps:
        raise TrainingError(f"{run} holds no checkpoint", mend="train first")
    folder = run / "checkpoints" / str(max(steps)) / "state"
    try:
        return parameters_to_numpy(_restore(folder.absolute())["params"]), config
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(
            f"cannot read the checkpoint {folder}: {error}", mend="use an older one"
        ) from error


def _restore(folder: Path) -> Any:
    """The tree of a checkpoint as numpy arrays, whatever devices it was written on."""
    checkpointer = ocp.PyTreeCheckpointer()
    found = checkpointer.metadata(folder).item_metadata
    if found is None:
        raise ValueError("it has no metadata")
    shapes = found.tree
    plain = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
    return checkpointer.restore(folder, restore_args=plain)


def logits_of(
    plain: Mapping[str, NDArray[Any]], config: CodeGenConfig, tokens: Sequence[Sequence[int]]
) -> NDArray[np.float32]:
    """Logits [sequences, length, vocabulary] of plain weights, computed in float32 throughout.

    *tokens* are sequences of one length.
    """
    model = model_of(plain, replace(config, matmul_dtype="float32"))
    return np.asarray(model.logits(model(jnp.asarray(tokens))))


def model_of(plain: Mapping[str, NDArray[Any]], config: CodeGenConfig) -> CodeGen:
    """The JAX model with plain weights in it."""
    model = CodeGen(config, rngs=nnx.Rngs(0))
    for name, weight in plain.items():
        if not (config.tie_embeddings and name == "lm_head.weight"):
            _parameter(model, name)[...] = jnp.asarray(weight)
    return model


_ATTRIBUTES: Final = {
    "lm_head.weight": "lm_head",
    "lm_head.bias": "lm_head_bias",
    "fc_in.kernel": "fc_in",
    "fc_in.bias": "fc_in_bias",
    "fc_out.kernel": "fc_out",
    "fc_out.bias": "fc_out_bias",
}
"""Parameters whose path in the module is not their plain name."""


def _parameter(model: CodeGen, name: str) -> Any:
    """The model's variable with a plain name."""
    place: Any = model
    if name.startswith("h."):
        _, layer, name = name.split(".", 2)
        place = model.h[int(layer)]
    for part in _ATTRIBUTES.get(name, name).split("."):
        place = getattr(place, part)
    return place
