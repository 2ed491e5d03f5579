"""Where CTranslate2 can run and what its failures mean: tables and pure functions.

Knows its devices, compute types and messages without importing it. ``ct2`` runs it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.errors import (
    CodegenError,
    EngineUnavailableError,
    ModelDamagedError,
)
from codegen_lsp.types import Token

__all__ = ["Attempt", "attempts", "likeliest", "translate"]

_AUTO_TYPES: Final = {
    "cpu": ("int8", "int8_float32", "float32"),
    "cuda": ("float16", "int8_float16", "bfloat16", "int8_float32", "float32"),
}
"""Compute types to try, best first: a model too big for float16 is tried in int8."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way of loading a model."""

    device: str
    compute_type: str


def attempts(
    device: str,
    compute_type: str,
    cuda: int,
    supported: Callable[[str], Collection[str]],
) -> list[Attempt]:
    """The ways to try, best first; at least one.

    *cuda* counts the usable CUDA devices; *supported* gives a device's compute types.

    :raises EngineUnavailableError: the device is not there, or cannot compute in that type.
    """
    if device == "cuda" and not cuda:
        raise EngineUnavailableError(
            "no CUDA device can be used", mend="set device to 'auto' or 'cpu'"
        )
    if device == "auto":
        devices = ("cuda", "cpu") if cuda else ("cpu",)
    elif device in _AUTO_TYPES:
        devices = (device,)
    else:
        raise EngineUnavailableError(
            f"no device {device!r}", mend="set device to 'auto', 'cpu' or 'cuda'"
        )
    able = {name: supported(name) for name in devices}
    found = [
        Attempt(name, kind)
        for name in devices
        for kind in (_AUTO_TYPES[name] if compute_type == "auto" else (compute_type,))
        if kind in able[name]
    ]
    if not found:
        known = ", ".join(sorted(able[devices[0]]))
        raise EngineUnavailableError(
            f"{devices[0]} cannot compute in {compute_type}",
            mend=f"set computeType to 'auto' or one of {known}",
        )
    return found


def likeliest(logits: NDArray[np.float32], ids: Sequence[int]) -> Token:
    """The likeliest of *ids* under *logits* [vocabulary], with its log-probability."""
    chosen = ids[int(logits[np.asarray(ids)].argmax())]
    top = float(logits.max())
    norm = top + math.log(float(np.exp(logits - top).sum()))
    return Token(chosen, float(logits[chosen]) - norm)


_MEMORY: Final = "close other programs or use a smaller model"
_AGAIN: Final = "remove the folder and install the model again"

_FAILURES: Final[tuple[tuple[re.Pattern[str], type[CodegenError], str], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind, mend)
    for pattern, kind, mend in (
        (r"out of memory|bad_?alloc|failed to allocate", EngineUnavailableError, _MEMORY),
        (r"cuda|cublas|cudnn|driver", EngineUnavailableError, "set device to 'cpu'"),
        (r"compute type", EngineUnavailableError, "set computeType to 'auto'"),
        (r"binary version|unsupported model", ModelDamagedError, "update codegen-lsp"),
        (r"", ModelDamagedError, _AGAIN),
    )
)
"""What a message of CTranslate2 at loading means; the first pattern found wins."""


def translate(error: BaseException, folder: Path) -> CodegenError:
    """Our error for a failure of CTranslate2 to load *folder*."""
    text = str(error) or type(error).__name__
    if isinstance(error, MemoryError):
        text = f"out of memory: {text}"
    kind, mend = next((k, m) for pattern, k, m in _FAILURES if pattern.search(text))
    return kind(f"cannot load the model in {folder}: {text}", mend=mend)
