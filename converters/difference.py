"""How far two sets of logits are apart, and what is still the same model.

Knows numbers only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.errors import ConversionError
from codegen_lsp.models.manifest import Check

__all__ = [
    "EXACT",
    "QUANTIZED",
    "ROUNDED",
    "Difference",
    "Logits",
    "Tolerance",
    "as_check",
    "compare",
    "compared",
    "compared_exactly",
    "require",
]

Logits = NDArray[np.floating]
"""[positions, vocabulary], not normalized."""

_AGAIN: Final = "convert the model again"

_PRECISION: Final = 1e-5
"""Error of float32 arithmetic through a deep model, relative to the largest log-probability.

Measured on random weights with sharp attention, massive channels and spread logits: 6e-7 for the
350M's shape, 1.1e-6 for the 6B's (numpy, float32 against float64).
"""

_NOISES: Final = 8
"""How many times as far as its own noise two computations of a model may be apart."""

_NOISIEST: Final = (0.02, 1e-4)
"""Largest difference and divergence that noise excuses."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two sets of logits are apart."""

    max_abs: float
    """Largest absolute difference of a logit, both sides normalized to log-probabilities."""

    agreement: float
    """Share of positions at which both find the same token likeliest."""

    divergence: float
    """Mean Kullback-Leibler divergence of the second from the first, in nats per token."""

    slips: tuple[float, ...] = ()
    """Where they disagree: by how many nats the first prefers its own token to the second's."""

    positions: int = 1

    magnitude: float = 0.0
    """Largest absolute log-probability of the first."""

    def firm_agreement(self, margin: float) -> float:
        """The agreement, where a preference of less than *margin* nats is none."""
        return 1 - sum(slip > margin for slip in self.slips) / self.positions


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What is still the same model."""

    max_abs: float
    agreement: float
    """Of positions at which the first has a preference of at least the margin."""

    divergence: float
    margin: float
    """Nats below which a preference between two tokens is none."""


EXACT: Final = Tolerance(max_abs=1e-4, agreement=1.0, divergence=1e-6, margin=2e-4)
"""Two float32 computations of the same weights; only ties may fall either way.

Log-probabilities beyond 10 nats are allowed an error in proportion: float32 has 24 bits.
"""

QUANTIZED: Final = Tolerance(max_abs=float("inf"), agreement=0.9, divergence=0.05, margin=0.5)
"""Eight bits against float32: single logits may move, what is clearly predicted may not."""

ROUNDED: Final = Tolerance(max_abs=float("inf"), agreement=0.75, divergence=0.3, margin=0.5)
"""Eight bits in the arithmetic, too, of weights that are known to be in their places.

From some 6.7B parameters on, models have activations that eight bits are too few for, and lose
tenths of a nat although nothing is wrong (arXiv 2208.07339, table 1). That is reported; what is
refused is a model of which little is left.
"""


def compare(first: Logits, second: Logits) -> Difference:
    """Compare logits position by position.

    :raises ConversionError: the shapes differ, or a value is not finite.
    """
    if first.shape != second.shape:
        raise ConversionError(f"logits of shape {first.shape} against {second.shape}")
    left, right = _log_softmax(first), _log_softmax(second)
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise ConversionError(
            "the logits hold values that are not finite",
            mend="fetch the checkpoint again, or store the weights as float32",
        )
    theirs = np.take_along_axis(left, right.argmax(axis=-1)[:, None], axis=-1)[:, 0]
    slips = left.max(axis=-1) - theirs
    same = left.argmax(axis=-1) == right.argmax(axis=-1)
    divergence = (np.exp(left) * (left - right)).sum(axis=-1)
    return Difference(
        max_abs=float(np.abs(left - right).max()),
        agreement=float(same.mean()),
        divergence=float(divergence.mean()),
        slips=tuple(float(slip) for slip in slips[~same]),
        positions=len(left),
        magnitude=float(np.abs(left).max()),
    )


def _log_softmax(logits: Logits) -> Logits:
    shifted = np.asarray(logits, np.float64) - np.max(logits, axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def require(
    step: str,
    difference: Difference,
    tolerance: Tolerance,
    *,
    mend: str = _AGAIN,
) -> Difference:
    """The difference itself, where it is within *tolerance*.

    :raises ConversionError: it is not; *step* says what was compared, *mend* what helps.
    """
    largest = max(tolerance.max_abs, _PRECISION * difference.magnitude)
    margin = max(tolerance.margin, 2 * largest if np.isfinite(largest) else 0)
    firm = difference.firm_agreement(margin)
    beyond = [
        f"{name} {value:.3g} (allowed {limit:.3g})"
        for name, value, limit, bad in (
            ("logit difference", difference.max_abs, largest, 1),
            ("agreement", firm, tolerance.agreement, -1),
            ("divergence", difference.divergence, tolerance.divergence, 1),
        )
        if bad * value > bad * limit
    ]
    if beyond:
        raise ConversionError(f"{step}: not the same model: {', '.join(beyond)}", mend=mend)
    return difference


def compared(
    step: str, first: Logits, second: Logits, tolerance: Tolerance, *, mend: str = _AGAIN
) -> Check:
    """What a manifest says of a comparison.

    :raises ConversionError: the two differ; see :func:`compare` and :func:`require`.
    """
    return as_check(step, require(step, compare(first, second), tolerance, mend=mend))


def compared_exactly(
    step: str, first: Logits, second: Logits, noisy: Callable[[], Logits]
) -> Check:
    """What a manifest says of two float32 computations of the same weights.

    *noisy* computes *first* from weights that are moved by a rounding error. It is asked where
    the two are further apart than :data:`EXACT` allows: a model in which rounding alone does that
    is not held to more than float32 can give.

    :raises ConversionError: they differ by more; see :func:`compare` and :func:`require`.
    """
    difference = compare(first, second)
    try:
        return as_check(step, require(step, difference, EXACT))
    except ConversionError:
        noise = compare(first, noisy())
    largest, divergence = _NOISIEST
    allowed = min(_NOISES * noise.max_abs, largest)
    tolerance = replace(
        EXACT,
        max_abs=max(EXACT.max_abs, allowed),
        # It grows with the square of the difference.
        divergence=max(EXACT.divergence, min(_NOISES**2 * noise.divergence, divergence)),
    )
    return as_check(step, require(step, difference, tolerance))


def as_check(step: str, difference: Difference) -> Check:
    """What a manifest says of *difference*."""
    return Check(
        name=step,
        max_abs=difference.max_abs,
        agreement=difference.agreement,
        divergence=max(difference.divergence, 0.0),  # rounding may leave less than nothing
    )
