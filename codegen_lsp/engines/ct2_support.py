"""Where CTranslate2 can run, what its failures mean, and what reading a token takes.

Knows its devices, compute types, messages and model file without importing it. ``ct2`` runs it.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import re
import struct
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.errors import (
    CodegenError,
    EngineUnavailableError,
    ModelDamagedError,
)
from codegen_lsp.types import Token

__all__ = ["Attempt", "attempts", "give_back", "likeliest", "token_bytes", "translate"]

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


_BINARY_VERSION: Final = 6

_PROJECTION: Final = re.compile(r"decoder/layer_\d+/self_attention/linear_([01])/weight")
"""Queries, keys and values in one, [their widths, width]; what comes back, [width, queries]."""


def token_bytes(model: Path, compute_type: str) -> int:
    """Bytes that a decoder keeps of each token it has read: keys and values of all layers.

    Two bytes a number in a 16-bit *compute_type*, else four, also where weights are in int8. 0
    where the file *model* does not tell.
    """
    numbers = 0
    try:
        with model.open("rb") as file:
            for name, shape in _variables(file):
                found = _PROJECTION.fullmatch(name)
                if found and len(shape) == 2:
                    numbers += shape[0] if found[1] == "0" else -shape[1]
    except (OSError, struct.error, UnicodeDecodeError):
        return 0
    return max(0, numbers) * (2 if compute_type.endswith("float16") else 4)


def _variables(file: BinaryIO) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes in a ``model.bin``.

    Source: CTranslate2 4.8.5, ``specs/model_spec.py``, binary version 6.
    """

    def numbers(layout: str) -> tuple[int, ...]:
        return struct.unpack(layout, file.read(struct.calcsize(layout)))

    def string() -> str:
        return file.read(numbers("<H")[0])[:-1].decode("ascii")

    (version,) = numbers("<I")
    if version != _BINARY_VERSION:
        return
    string()
    _, count = numbers("<II")
    for _ in range(count):
        name = string()
        (rank,) = numbers("<B")
        shape = numbers(f"<{rank}I")
        _, size = numbers("<BI")
        file.seek(size, 1)
        yield name, shape


def give_back() -> None:
    """Give memory that was freed back to the system, where the C library would keep it.

    Measured with CodeGen-350M's shape on Linux: without this, 1.1 of 1.5 GB stay with the process
    once the model is reloaded.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another library than glibc
            ctypes.CDLL(None).malloc_trim(0)
