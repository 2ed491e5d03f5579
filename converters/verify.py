"""Whether two layouts of a model compute the same: their logits side by side.

Knows four ways to logits: the numpy reference, transformers (where torch is installed), JAX and
CTranslate2. Does not convert anything and knows no text: it is given token ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.errors import ConversionError

from .reference import forward
from .shape import Shape
from .to_hf import from_hf_tensors, read_tensors

__all__ = [
    "EXACT",
    "QUANTIZED",
    "Difference",
    "Tolerance",
    "compare",
    "ct2_logits",
    "hf_logits",
    "jax_logits",
    "require",
    "transformers_logits",
]

Logits = NDArray[np.floating]
"""[sequences * length, vocabulary], not normalized."""

Tokens = Sequence[Sequence[int]]
"""Sequences of token ids, all of one length."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two sets of logits are apart."""

    max_abs: float
    """Largest absolute difference of a logit, both sides normalized to log-probabilities."""

    agreement: float
    """Share of positions at which both find the same token likeliest."""

    divergence: float
    """Mean Kullback-Leibler divergence of the second from the first, in nats per token."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What is still the same model."""

    max_abs: float
    agreement: float
    divergence: float


EXACT: Final = Tolerance(max_abs=2e-3, agreement=0.995, divergence=1e-5)
"""Two float32 computations of the same weights; ties may fall either way."""

QUANTIZED: Final = Tolerance(max_abs=float("inf"), agreement=0.9, divergence=0.05)
"""int8 against float32: single logits may move, what is predicted may not."""


def compare(first: Logits, second: Logits) -> Difference:
    """Compare logits position by position.

    :raises ConversionError: the shapes differ, or a value is not finite.
    """
    if first.shape != second.shape:
        raise ConversionError(f"logits of shape {first.shape} against {second.shape}")
    left, right = _log_softmax(first), _log_softmax(second)
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise ConversionError("the logits hold values that are not finite")
    same = left.argmax(axis=-1) == right.argmax(axis=-1)
    divergence = (np.exp(left) * (left - right)).sum(axis=-1)
    return Difference(
        float(np.abs(left - right).max()), float(same.mean()), float(divergence.mean())
    )


def _log_softmax(logits: Logits) -> Logits:
    shifted = np.asarray(logits, np.float64) - np.max(logits, axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def require(step: str, difference: Difference, tolerance: Tolerance) -> Difference:
    """The difference itself, where it is within *tolerance*.

    :raises ConversionError: it is not; *step* says what was compared.
    """
    beyond = [
        f"{name} {value:.3g} (allowed {limit:.3g})"
        for name, value, limit, bad in (
            ("logit difference", difference.max_abs, tolerance.max_abs, 1),
            ("agreement", difference.agreement, tolerance.agreement, -1),
            ("divergence", difference.divergence, tolerance.divergence, 1),
        )
        if bad * value > bad * limit
    ]
    if beyond:
        raise ConversionError(f"{step}: not the same model: {', '.join(beyond)}")
    return difference


def hf_logits(folder: Path, tokens: Tokens) -> Logits:
    """The numpy reference on the weights of a Hugging Face folder.

    :raises ConversionError: the folder cannot be read.
    """
    shape = Shape.from_folder(folder)
    plain = from_hf_tensors(read_tensors(folder), shape)
    return np.concatenate([forward(plain, shape, sequence) for sequence in tokens])


def transformers_logits(folder: Path, tokens: Tokens) -> Logits | None:
    """What transformers computes from a Hugging Face folder, or None where it is not installed."""
    try:
        import torch
        from transformers import CodeGenForCausalLM
        from transformers.utils import logging
    except ImportError:
        return None
    untyped: Any = logging
    untyped.disable_progress_bar()
    model: Any = CodeGenForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.eval()
    with torch.inference_mode():
        logits = model(torch.tensor(tokens)).logits.numpy()
    return np.asarray(logits.reshape(-1, logits.shape[-1]))


def jax_logits(plain: Mapping[str, NDArray[np.generic]], shape: Shape, tokens: Tokens) -> Logits:
    """What the project's own JAX model computes in float32 from plain weights."""
    from codegen_lsp.tpu.model import CodeGenConfig
    from codegen_lsp.tpu.plain import logits_of

    config = CodeGenConfig(
        vocab_size=shape.vocab_size,
        n_positions=shape.n_positions,
        n_embd=shape.n_embd,
        n_layer=shape.n_layer,
        n_head=shape.n_head,
        rotary_dim=shape.rotary_dim,
        layer_norm_epsilon=shape.layer_norm_epsilon,
    )
    return logits_of(plain, config, tokens).reshape(-1, shape.vocab_size)


def ct2_logits(folder: Path, tokens: Tokens, compute_type: str) -> Logits:
    """What CTranslate2 computes on the CPU from a model folder.

    :raises ConversionError: it cannot load the folder.
    """
    import ctranslate2

    try:
        model = ctranslate2.Generator(str(folder), device="cpu", compute_type=compute_type)
        logits = np.array(model.forward_batch([list(sequence) for sequence in tokens]))
    except (RuntimeError, ValueError) as error:
        raise ConversionError(f"CTranslate2 cannot run {folder}: {error}") from error
    return logits.reshape(-1, logits.shape[-1])
