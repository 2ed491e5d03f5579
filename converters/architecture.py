"""What a model architecture must offer to be converted and checked.

Knows the shape of an entry; the entries are in ``architectures``, the visible table. Does not
know any architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .tensors import Tensors

__all__ = ["Architecture", "Facts", "Logits"]

Logits = NDArray[np.floating]
"""[length, vocabulary] of one sequence, not normalized."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rest of the program must know of a model, whatever its architecture."""

    context_length: int
    """Most tokens of prompt and answer together (of the longer side of an encoder-decoder)."""

    vocab_size: int
    """Rows of the embedding, padding included."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """How checkpoints of one ``model_type`` are read.

    *config* is the content of ``config.json``; *tensors* are named as in the checkpoint. All
    functions raise ``ConversionError`` for a field or a tensor that is missing or impossible.
    """

    model_type: str
    """As ``config.json`` names it."""

    kind: Literal["decoder", "encoder-decoder"]
    """Which of CTranslate2's classes runs it."""

    facts: Callable[[Mapping[str, Any]], Facts]

    specification: Callable[[Tensors, Mapping[str, Any]], Any]
    """CTranslate2's specification with lazy variables (``ct2_file``) in it; no vocabulary yet."""

    reference: Callable[[Tensors, Mapping[str, Any], Sequence[int]], Logits]
    """Logits of one sequence by numpy, in float32 or better, tensor by tensor.

    For an encoder-decoder the sequence is what the encoder reads, and the logits [length,
    vocabulary] are those of a decoder that is fed the same ids behind its start token.
    """
