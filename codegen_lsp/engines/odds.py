"""How likely every token was at a step: what a model computed anyway, kept small.

Knows logits. Does not know engines or text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Logits"]

LEAST: Final = -60_000.0


class Logits:
    """The logits [vocabulary] of one step. Two bytes a token; nothing is computed until asked."""

    __slots__ = ("_logits",)

    def __init__(self, logits: NDArray[np.floating]) -> None:
        # What is never generated has no logit that half the precision could hold.
        bounded = np.maximum(logits.reshape(-1), LEAST)
        self._logits: NDArray[np.float16] = bounded.astype(np.float16)

    def among(self, ids: Sequence[int]) -> tuple[float, float]:
        """Log-probabilities: of any of *ids* (at least one), and of the likeliest of them."""
        logits = self._logits.astype(np.float32)
        own = logits[np.asarray(ids)]
        norm = _log_sum(logits)
        return _log_sum(own) - norm, float(own.max()) - norm


def _log_sum(logits: NDArray[np.float32]) -> float:
    top = float(logits.max())
    return top + float(np.log(np.exp(logits - top).sum()))
