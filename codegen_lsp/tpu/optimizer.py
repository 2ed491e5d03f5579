"""How parameters move: Muon for the hidden matrices, AdamW for everything else.

Knows: which parameter is a hidden matrix, and the warm-up, stable, decay (WSD) schedule.
Does not know: the loss, the data, or how long a step takes.

Source: Jordan et al., "Muon", 2024 (https://kellerjordan.github.io/posts/muon); the schedule: Hu
et al., "MiniCPM", arXiv 2404.06395.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax.contrib import MuonDimensionNumbers, muon


@dataclass(frozen=True)
class OptimizerConfig:
    """Rates and decays of the two optimizers, and the schedule they share."""

    muon_learning_rate: float = 0.015
    """Peak rate of the hidden matrices: about the spectral norm of one update."""
    adam_learning_rate: float = 3e-3
    """Peak rate of embeddings, biases and LayerNorms."""
    muon_momentum: float = 0.95
    """Decay of Muon's (Nesterov) momentum."""
    adam_b1: float = 0.9
    """Decay of AdamW's first moment."""
    adam_b2: float = 0.99
    """Decay of AdamW's second moment."""
    weight_decay: float = 0.03
    """Pull of the hidden matrices toward zero, times the learning rate; 0 for all else."""
    clip_norm: float = 1.0
    """Global norm above which gradients are scaled down."""
    warmup_steps: int = 100
    """Steps over which both rates rise from zero."""


def wsd_schedule(
    peak: float, *, warmup_steps: int, total_steps: int, decay_steps: int
) -> Callable[[jax.Array | int], jax.Array]:
    """Learning rate as a function of the step, counted from 0.

    It rises linearly, stays at `peak`, and falls linearly to zero over the last `decay_steps` of
    `total_steps`. Until the decay begins it does not depend on `total_steps`, so that a run can be
    made longer or shorter while it is stable.
    """

    def rate(step: jax.Array | int) -> jax.Array:
        rise = (jnp.asarray(step) + 1) / max(1, warmup_steps)
        fall = (total_steps - jnp.asarray(step)) / max(1, decay_steps)
        return peak * jnp.clip(jnp.minimum(rise, fall), 0.0, 1.0)

    return rate


def matrix_axes(params: Any) -> Any:
    """For every parameter the axes Muon makes orthogonal, or None where AdamW is used.

    Hidden matrices are all parameters of two or more axes but the embedding and the head; axes
    before the last two (query, key and value of one block) are separate matrices.
    """

    def axes(path: tuple[Any, ...], leaf: jax.Array) -> MuonDimensionNumbers | None:
        name = str(getattr(path[0], "key", path[0]))
        if leaf.ndim < 2 or name in ("wte", "lm_head"):
            return None
        return MuonDimensionNumbers(leaf.ndim - 2, leaf.ndim - 1)

    return jax.tree.map_with_path(axes, params)


def make_optimizer(
    config: OptimizerConfig, *, total_steps: int, decay_steps: int
) -> optax.GradientTransformation:
    """The optimizer of a run of `total_steps`; its state does not depend on the two lengths."""

    def schedule(peak: float) -> Callable[[jax.Array | int], jax.Array]:
        return wsd_schedule(
            peak,
            warmup_steps=config.warmup_steps,
            total_steps=total_steps,
            decay_steps=decay_steps,
        )

    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        muon(
            schedule(config.muon_learning_rate),
            beta=config.muon_momentum,
            weight_decay=config.weight_decay,
            adam_b1=config.adam_b1,
            adam_b2=config.adam_b2,
            adam_learning_rate=schedule(config.adam_learning_rate),
            muon_weight_dimension_numbers=matrix_axes,
        ),
    )
