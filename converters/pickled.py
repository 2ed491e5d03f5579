"""PyTorch's ``.bin`` checkpoints, read without PyTorch and without trusting them.

Such a file is a zip archive: ``data.pkl`` describes the tensors, ``data/<key>`` holds the bytes of
a storage, uncompressed. A pickle may ask for any function of the interpreter; this reader hands
out the few in :data:`ALLOWED`, its own stand-ins, and refuses a file that asks for another.

Knows the archive, the pickle and strides; reads a tensor's bytes when the tensor is asked for.
Archives of before PyTorch 1.6 are no zip files: those need torch itself (weights only). Does not
know which tensors make a model, or how several files belong together (``checkpoint`` does).
"""

from __future__ import annotations

import math
import pickle
import struct
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.errors import ConversionError

from .tensors import Array, LazyTensors, Tensors

__all__ = ["ALLOWED", "open_pickled", "widened"]

_MEND: Final = "download the file again, or use a model with safetensors"

_LOCAL_HEADER: Final = struct.Struct("<4s5H3I2H")
"""What precedes a member's name in a zip file (APPNOTE 4.3.7)."""

_LOCAL_MAGIC: Final = b"PK\3\4"


# A pickle may set attributes of whatever it is handed. Named tuples, and objects with empty slots,
# have none that can be set.


class _StorageType(NamedTuple):
    """Stands for ``torch.FloatStorage`` and its like."""

    code: str
    """numpy's letter and size, without byte order; ``bf`` for bfloat16, which numpy lacks."""

    floating: bool = True

    @property
    def item(self) -> int:
        """Bytes of one element."""
        return 2 if self.code == "bf" else int(self.code[1:])


class _Storage(NamedTuple):
    """A block of elements in the archive."""

    type: _StorageType
    key: str
    elements: int


class _View(NamedTuple):
    """A tensor: elements of a storage, *offset* and *stride* counted in elements."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def span(self) -> int:
        """Elements of the storage from the first to the last that is used."""
        if 0 in self.size:
            return 0
        return 1 + sum((n - 1) * s for n, s in zip(self.size, self.stride, strict=True))

    @property
    def is_weight(self) -> bool:
        """Whether it may be one: floats, each element its own.

        An expanded tensor (stride 0) could claim any size; some buffers are, no weight is one.
        """
        return self.storage.type.floating and math.prod(self.size) <= self.storage.elements


class _RebuildTensor:
    """Stands for ``torch._utils._rebuild_tensor_v2``."""

    __slots__ = ()

    def __call__(
        self, storage: object, offset: object, size: object, stride: object, *_: object
    ) -> _View:
        if not isinstance(storage, _Storage):
            raise pickle.UnpicklingError("a tensor without a storage")
        numbers = tuple(_sizes(part) for part in ((offset,), size, stride))
        view = _View(storage, numbers[0][0], numbers[1], numbers[2])
        if len(view.size) != len(view.stride) or view.offset + view.span > storage.elements:
            raise pickle.UnpicklingError("a tensor that reaches beyond its storage")
        return view


def _sizes(numbers: object) -> tuple[int, ...]:
    if not isinstance(numbers, tuple) or not all(type(n) is int and n >= 0 for n in numbers):
        raise pickle.UnpicklingError("a tensor of an impossible shape")
    return numbers


class _Same:
    """Stands for what wraps a tensor into a parameter."""

    __slots__ = ()

    def __call__(self, data: object, *_: object) -> object:
        return data


ALLOWED: Final[Mapping[tuple[str, str], Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): _RebuildTensor(),
    ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor(),
    ("torch._utils", "_rebuild_parameter"): _Same(),
    ("torch._utils", "_rebuild_parameter_with_state"): _Same(),
    ("torch", "DoubleStorage"): _StorageType("f8"),
    ("torch", "FloatStorage"): _StorageType("f4"),
    ("torch", "HalfStorage"): _StorageType("f2"),
    ("torch", "BFloat16Storage"): _StorageType("bf"),
    ("torch", "LongStorage"): _StorageType("i8", floating=False),
    ("torch", "IntStorage"): _StorageType("i4", floating=False),
    ("torch", "ShortStorage"): _StorageType("i2", floating=False),
    ("torch", "CharStorage"): _StorageType("i1", floating=False),
    ("torch", "ByteStorage"): _StorageType("u1", floating=False),
    ("torch", "BoolStorage"): _StorageType("b1", floating=False),
    ("torch", "device"): str,
    ("torch", "float64"): "float64",
    ("torch", "float32"): "float32",
    ("torch", "float16"): "float16",
    ("torch", "bfloat16"): "bfloat16",
    ("torch", "int64"): "int64",
    ("torch", "int32"): "int32",
    ("torch", "uint8"): "uint8",
    ("torch", "bool"): "bool",
}
"""Everything a checkpoint may ask for, and what it gets. Nothing here touches the world."""


class _NotAllowedError(pickle.UnpicklingError):
    """The pickle asks for something that no checkpoint needs."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise _NotAllowedError(f"{module}.{name}")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", _StorageType() as kind, str(key), _, int(count)) if count >= 0:
                return _Storage(kind, key, count)
        raise pickle.UnpicklingError("a storage that is described in an unknown way")


Opened = tuple[Tensors, frozenset[str]]
"""Floating-point tensors, and the names of what else the file holds.

Published checkpoints hold attention masks as truth values, and buffers that repeat one value;
those are never read.
"""


def open_pickled(path: Path) -> Opened:
    """The floating-point tensors of a ``.bin`` file by name, each read when asked for.

    bfloat16 becomes float32, float64 too; float16 stays.

    :raises ConversionError: the file is no checkpoint, is damaged, or asks for something that no
        checkpoint needs; also, later, when a tensor cannot be read.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != _LOCAL_MAGIC:
                return _legacy(path)
            with zipfile.ZipFile(file) as archive:
                return _Archive(path, archive).tensors()
    except OSError as error:
        raise ConversionError(f"cannot read {path}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ConversionError(f"{path} is damaged: {error}", mend=_MEND) from error


class _Archive:
    """An open archive; what it returns reads the file anew and needs it open no longer."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path = path
        self._archive = archive
        self._members = {member.filename: member for member in archive.infolist()}
        pickles = [name for name in self._members if name.split("/", 1)[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise ConversionError(f"{path} is no checkpoint: it has no data.pkl", mend=_MEND)
        self._pickle = pickles[0]
        self._prefix = self._pickle.removesuffix("data.pkl")

    def tensors(self) -> Opened:
        order = self._byte_order()
        content = _state(self._unpickled(), self.path)
        views = {
            name: value
            for name, value in content.items()
            if isinstance(value, _View) and value.is_weight
        }
        _require(views, self.path)
        with self.path.open("rb") as file:
            starts = {
                storage.key: self._start(file, storage)
                for storage in {view.storage for view in views.values()}
            }
        tensors = {
            name: _recipe(self.path, name, view, starts[view.storage.key], order)
            for name, view in views.items()
        }
        return LazyTensors(tensors), frozenset(content.keys() - tensors.keys())

    def _unpickled(self) -> object:
        try:
            with self._archive.open(self._pickle) as content:
                return _Unpickler(content).load()
        except _NotAllowedError as error:
            raise ConversionError(
                f"{self.path} is no checkpoint: it asks for {error}",
                mend="do not use this file; use a model with safetensors",
            ) from None
        except zipfile.BadZipFile:
            raise
        except Exception as error:  # a damaged pickle fails in any way
            raise ConversionError(
                f"{self.path} is no checkpoint: its description cannot be read: {error}", mend=_MEND
            ) from error

    def _byte_order(self) -> str:
        name = self._prefix + "byteorder"
        order = self._archive.read(name) if name in self._members else b"little"
        if order not in (b"little", b"big"):
            raise ConversionError(f"{self.path} is damaged: byte order {order!r}", mend=_MEND)
        return "<" if order == b"little" else ">"

    def _start(self, file: BinaryIO, storage: _Storage) -> int:
        """Where the bytes of *storage* begin in the file."""
        member = self._members.get(f"{self._prefix}data/{storage.key}")
        if member is None:
            raise ConversionError(f"{self.path} is damaged: no data {storage.key!r}", mend=_MEND)
        if member.compress_type != zipfile.ZIP_STORED:
            raise ConversionError(
                f"{self.path} is compressed, which no checkpoint is", mend="unpack and save it anew"
            )
        # PyTorch may leave the sizes of big members to the archive's directory, which zipfile read.
        if member.file_size != storage.elements * storage.type.item:
            raise ConversionError(
                f"{self.path} is damaged: data {storage.key!r} has {member.file_size} bytes",
                mend=_MEND,
            )
        # The directory does not say how long the padding before the data is; the member does.
        file.seek(member.header_offset)
        header = file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or header[:4] != _LOCAL_MAGIC:
            raise ConversionError(f"{self.path} is damaged: a member has no header", mend=_MEND)
        name_length, extra_length = _LOCAL_HEADER.unpack(header)[-2:]
        return int(member.header_offset + _LOCAL_HEADER.size + name_length + extra_length)


def _state(content: object, path: Path) -> dict[str, object]:
    """What the pickle holds by name; trainers put it under ``state_dict``."""
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise ConversionError(
            f"{path} is no checkpoint: it holds no tensors by name", mend="use a state_dict"
        )
    return {name: value for name, value in content.items() if isinstance(name, str)}


def _require(tensors: Mapping[str, object], path: Path) -> None:
    if not tensors:
        raise ConversionError(
            f"{path} is no checkpoint: it holds no tensors", mend="use a file with the weights"
        )


def _recipe(path: Path, name: str, view: _View, start: int, order: str) -> Callable[[], Array]:
    code = view.storage.type.code
    dtype = np.dtype(order + ("u2" if code == "bf" else code))

    def make() -> Array:
        offset = start + view.offset * dtype.itemsize
        try:
            flat = np.fromfile(path, dtype, view.span, offset=offset)
        except OSError as error:
            raise ConversionError(f"cannot read {path}: {error.strerror or error}") from error
        if flat.size != view.span:
            raise ConversionError(f"{path} ends within {name}", mend=_MEND)
        return widened(_strided(flat, view), bfloat16=code == "bf")

    return make


def _strided(flat: NDArray[Any], view: _View) -> NDArray[Any]:
    strides = [stride * flat.itemsize for stride in view.stride]
    if 0 in view.size:
        return np.empty(view.size, flat.dtype)
    return np.lib.stride_tricks.as_strided(flat, view.size, strides, writeable=False)


def widened(tensor: NDArray[Any], *, bfloat16: bool = False) -> Array:
    """*tensor* in this machine's byte order, contiguous; everything but float16 as float32.

    A *bfloat16* tensor comes as its uint16 patterns: they are the upper halves of float32's.
    """
    if bfloat16:
        bits = np.asarray(tensor, order="C").astype(np.uint32)
        bits <<= np.uint32(16)
        return bits.view(np.float32)
    kept = np.float16 if tensor.dtype.itemsize == 2 else np.float32
    return np.asarray(tensor, dtype=kept, order="C")


def _legacy(path: Path) -> Opened:
    """A file that is no zip archive, read by torch, weights only."""
    try:
        import torch
    except ImportError:
        raise ConversionError(
            f"{path} is in PyTorch's format of before 2020, or no checkpoint",
            mend="pip install 'codegen-lsp[convert]'",
        ) from None
    try:
        with warnings.catch_warnings():  # what torch would warn of, our error says
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle fail in any way on what is no checkpoint
        # Not in torch's words: they advise to run the pickle.
        raise ConversionError(
            f"{path} is no checkpoint: torch does not read it as tensors", mend=_MEND
        ) from error
    state = _state(content, path)
    tensors = {
        name: _torch_recipe(tensor)
        for name, tensor in state.items()
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point()
    }
    _require(tensors, path)
    return LazyTensors(tensors), frozenset(state.keys() - tensors.keys())


def _torch_recipe(tensor: Any) -> Callable[[], Array]:
    def make() -> Array:
        import torch

        kept = tensor if tensor.dtype == torch.float16 else tensor.float()
        return np.asarray(kept.detach().numpy(), order="C")

    return make
