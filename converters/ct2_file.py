"""CTranslate2's model file, written variable by variable.

The library's own specification classes lay a model out and its own ``save`` writes it; but its
``optimize`` wants every array at once. Here a variable is a recipe: its shape and stored type are
known beforehand, its bytes are made when the file has come to it, and then forgotten. The file is
byte for byte what ``optimize`` and ``save`` make of the same arrays.

Knows quantization and aliases. Does not know architectures or vocabularies.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
from ctranslate2.specs import model_spec
from numpy.typing import NDArray

from codegen_lsp.errors import ConversionError

from .tensors import Array

__all__ = [
    "BLOCK",
    "QUANTIZATIONS",
    "LazyVariable",
    "Progress",
    "bfloat16",
    "quantized",
    "write_spec",
]

Progress = Callable[[int, int], None]
"""Told how many bytes of how many are written."""

QUANTIZATIONS: Final = {
    "int8": ("int8", None),
    "int8_float32": ("int8", "float32"),
    "int8_float16": ("int8", "float16"),
    "int8_bfloat16": ("int8", "bfloat16"),
    "float16": ("float16", "float16"),
    "bfloat16": ("bfloat16", "bfloat16"),
    "float32": ("float32", "float32"),
}
"""How matrices are stored and how everything else is (None: as it is), by CTranslate2's names."""

_SIZES: Final = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}

_VOCABULARY_SIZED: Final = ("embeddings/weight", "embeddings_0/weight", "projection/weight")
"""Ends of the names of variables that models may share."""

BLOCK: Final = 1 << 20
"""Elements that are widened to float32 at a time."""


class LazyVariable(model_spec.Variable):  # type: ignore[misc]
    """A variable whose array *make* makes each time it is asked for.

    *make* gives float32 or float16 of the shape *shape*; *stored* is the type in the file.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        make: Callable[[], Array],
        *,
        stored: str = "float32",
        name: str = "a weight",
    ) -> None:
        self._shape = tuple(int(n) for n in shape)
        self._make = make
        self._stored = stored
        self.name = name
        self.digest: bytes | None = None
        self.written: Callable[[int], None] | None = None
        """Called with the number of bytes that were asked for."""
        self.scales: NDArray[np.float32] | None = None
        """What the rows of an int8 variable were multiplied with, once its bytes were made."""

    @property
    def shape(self) -> list[int]:
        """Lengths of the axes."""
        return list(self._shape)

    @property
    def dtype(self) -> str:
        """The type in the file."""
        return self._stored

    def numpy(self) -> Array:
        """The array as it is before it is quantized.

        :raises ConversionError: it cannot be had, or has another shape.
        """
        array = self._make()
        if array.shape != self._shape:
            raise ConversionError(
                f"{self.name} has the shape {list(array.shape)} instead of {self.shape}",
                mend="check the numbers in config.json",
            )
        return array

    def num_bytes(self) -> int:
        """Length of :meth:`to_bytes`."""
        return math.prod(self._shape) * _SIZES[self._stored]

    def to_bytes(self) -> memoryview:
        """What is written; made anew at each call.

        :raises ConversionError: see :meth:`numpy`; or a value does not fit the type.
        """
        try:
            array, self.scales = quantized(self.numpy(), self._stored)
        except ValueError as error:
            raise ConversionError(f"{self.name} {error}") from error
        if self.written is not None:
            self.written(array.nbytes)
        return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data

    def stored_as(self, kind: str, name: str) -> LazyVariable:
        """The same variable, stored as *kind*."""
        return LazyVariable(self._shape, self._make, stored=kind, name=name)

    def _to(self, dtype: str) -> LazyVariable:
        return self.stored_as(dtype, self.name)

    def _equal(self, other: LazyVariable) -> bool:
        # Contents are compared by digest where that was made, because two models' worth of reading
        # for each pair of variables is what this class is there to avoid.
        return self is other or (self.digest is not None and self.digest == other.digest)


class _Scales(LazyVariable):
    """The scales of the rows of an int8 variable, which is written just before."""

    def __init__(self, of: LazyVariable) -> None:
        super().__init__(tuple(of.shape[:1]), self._take, name=f"{of.name}_scale")
        self._of = of

    def _take(self) -> Array:
        if self._of.scales is None:
            self._of.to_bytes()
        scales, self._of.scales = self._of.scales, None
        return np.asarray(scales, np.float32)


def quantized(array: Array, kind: str) -> tuple[Array, NDArray[np.float32] | None]:
    """*array* as *kind* is stored, and the rows' scales if *kind* is int8.

    bfloat16 comes as its uint16 patterns.

    :raises ValueError: a value is not finite, or too large for *kind*.
    """
    if kind == "int8":
        return _int8(array)
    if not _finite(array):
        raise ValueError("holds values that are not finite")
    if kind == "bfloat16":
        return bfloat16(array), None
    with np.errstate(over="ignore"):
        stored = array.astype(kind, copy=False)
    if kind == "float16" and not _finite(stored):
        raise ValueError("holds values too large for float16; use bfloat16 or int8")
    return stored, None


def _finite(array: Array) -> bool:
    return all(np.isfinite(array.reshape(-1)[block]).all() for block in _blocks(array.size, 1))


def _blocks(rows: int, width: int) -> Iterator[slice]:
    step = max(1, BLOCK // max(1, width))
    return (slice(begin, begin + step) for begin in range(0, rows, step))


def _int8(array: Array) -> tuple[Array, NDArray[np.float32]]:
    """Each row scaled so that its largest value becomes 127; as CTranslate2 does it."""
    rows = array.reshape(array.shape[0], -1)
    stored = np.empty(rows.shape, np.int8)
    scales = np.empty(len(rows), np.float32)
    least = np.float32(127) / np.finfo(np.float32).max
    for block in _blocks(*rows.shape):
        values = rows[block].astype(np.float32)
        largest = np.abs(values).max(axis=1)
        if not np.isfinite(largest).all():
            raise ValueError("holds values that are not finite")
        largest[largest == 0] = 127.0
        scales[block] = np.float32(127.0) / np.maximum(largest, least)
        values *= scales[block, None]
        stored[block] = np.rint(values, out=values)
    return stored.reshape(array.shape), scales


def bfloat16(array: Array) -> NDArray[np.uint16]:
    """The uint16 patterns of *array* rounded to bfloat16, ties to even; NaN is not expected."""
    stored = np.empty(array.size, np.uint16)
    flat = array.reshape(-1)
    for block in _blocks(array.size, 1):
        bits = flat[block].astype(np.float32).view(np.uint32)
        rounding = bits >> np.uint32(16)
        rounding &= np.uint32(1)
        rounding += np.uint32(0x7FFF)
        bits += rounding
        stored[block] = bits >> np.uint32(16)
    return stored.reshape(array.shape)


def write_spec(spec: Any, out: Path, quantization: str, progress: Progress | None = None) -> int:
    """Quantize and write *spec* into the existing folder *out*; returns the number of parameters.

    *spec* is one of CTranslate2's, complete with vocabulary and configuration. Parameters are
    counted without scalars, and once where two variables are the same.

    :raises ConversionError: something is missing in *spec* or cannot be had, or the folder
        cannot be written.
    """
    matrices, others = _types(quantization)
    try:
        spec.validate()
        _digest_shared(spec)
        spec.optimize(quantization=None)  # finds aliases, changes nothing else
        parameters = sum(int(math.prod(v.shape)) for v in _arrays(spec))
        model_spec.visit_spec(spec, _quantizer(matrices, others))
        if progress is not None:
            _announce(spec, progress)
        spec.save(str(out))
    except ValueError as error:
        raise ConversionError(f"the model is not complete: {error}") from error
    except OSError as error:
        raise ConversionError(
            f"cannot write {out}: {error.strerror or error}", mend="make room there"
        ) from error
    return parameters


def _types(quantization: str) -> tuple[str, str | None]:
    if quantization not in QUANTIZATIONS:
        raise ConversionError(
            f"unknown quantization {quantization!r}", mend=f"use one of {', '.join(QUANTIZATIONS)}"
        )
    return QUANTIZATIONS[quantization]


def _arrays(spec: Any) -> list[model_spec.Variable]:
    """Variables that are neither scalars nor names of others."""
    found = spec.variables().values()
    return [v for v in found if isinstance(v, model_spec.Variable) and not v.is_scalar()]


def _digest_shared(spec: Any) -> None:
    """Digest the matrices that models share, where another has the same shape.

    A head that repeats the embedding would be stored and loaded twice otherwise. Digests, because
    comparing the two would hold both in memory.
    """
    named = spec.variables(ordered=True)
    shared = [v for name, v in named if name.endswith(_VOCABULARY_SIZED)]
    shared = list({id(v): v for v in shared if isinstance(v, LazyVariable)}.values())
    if any(a.shape == b.shape for a, b in combinations(shared, 2)):
        for variable in shared:
            variable.digest = _digest(variable)


def _digest(variable: LazyVariable) -> bytes:
    content = np.ascontiguousarray(variable.numpy())
    state = hashlib.sha256(f"{content.dtype}{content.shape}".encode())
    state.update(content.reshape(-1).view(np.uint8).data)
    return state.digest()


def _quantizer(matrices: str, others: str | None) -> Callable[[Any, str, Any], None]:
    """What gives each variable of a layer the type it is stored as."""

    def visit(layer: Any, name: str, value: Any) -> None:
        if not isinstance(value, model_spec.Variable) or value.is_scalar():
            return
        key = name.rpartition("/")[2]
        # A field for scales is what makes a variable quantizable.
        quantizable = hasattr(layer, f"{key}_scale")
        kind = matrices if quantizable else others
        if value.dtype not in ("float32", "float16") or kind is None:
            return
        lazy = _lazy(value).stored_as(kind, name)
        setattr(layer, key, lazy)
        if kind == "int8":
            setattr(layer, f"{key}_scale", _Scales(lazy))

    return visit


def _lazy(value: Any) -> LazyVariable:
    return value if isinstance(value, LazyVariable) else LazyVariable(value.shape, value.numpy)


def _announce(spec: Any, progress: Progress) -> None:
    """Have the bytes that are written reported."""
    lazy = [v for v in spec.variables().values() if isinstance(v, LazyVariable)]
    total, done = sum(v.num_bytes() for v in lazy), 0

    def count(written: int) -> None:
        nonlocal done
        done += written
        progress(done, total)

    for variable in lazy:
        variable.written = count
