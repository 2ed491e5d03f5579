"""The weights and the configuration in a Hugging Face folder, whichever files hold them.

Knows safetensors and ``.bin`` files, whole or in shards with an index, and how to write
safetensors one tensor after another. Does not know what the tensors mean.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from codegen_lsp.errors import ConversionError

from .pickled import open_pickled, widened
from .tensors import Array, LazyTensors, Tensors

__all__ = [
    "WEIGHTS",
    "open_checkpoint",
    "open_safetensors",
    "read_config",
    "read_json",
    "weight_files",
    "write_safetensors",
]

WEIGHTS: Final = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Where weights are, the file that wins first."""

_READABLE: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""safetensors' names of the floating-point types that are read, in numpy's words."""

_FLOATS: Final = frozenset(_READABLE) | {"F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "F6_E2M3"}

_WRITABLE: Final = {"float32": "F32", "float16": "F16"}

_ENTRY_ROOM: Final = 256
"""Bytes kept free in a header for a tensor's entry, its name not counted."""


def read_config(folder: Path) -> dict[str, Any]:
    """The content of ``config.json``.

    :raises ConversionError: it is missing or no JSON object.
    """
    return read_json(folder / "config.json")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in *path*.

    :raises ConversionError: it is missing or no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConversionError(
            f"{path.parent} has no {path.name}", mend="name a folder that holds a whole model"
        ) from None
    except OSError as error:
        raise ConversionError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"{path} is damaged: {error}", mend="download it again") from error
    if not isinstance(content, dict):
        raise ConversionError(f"{path} is damaged: no JSON object", mend="download it again")
    return content


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights of *folder*: one, or shards in the order of their names.

    :raises ConversionError: there are none, or an index is unreadable or names a missing file.
    """
    for name in WEIGHTS:
        path = folder / name
        if path.is_file():
            return _shards(path) if name.endswith(".index.json") else [path]
    raise ConversionError(
        f"{folder} holds no weights: no model.safetensors and no pytorch_model.bin",
        mend="download or save them with the model",
    )


def _shards(index: Path) -> list[Path]:
    names = sorted(set(_weight_map(index).values()))
    for name in names:
        # A name with a path in it could lead out of the folder.
        if Path(name).name != name:
            raise ConversionError(f"{index} names {name!r}, which is no file beside it")
        if not (index.parent / name).is_file():
            raise ConversionError(
                f"{index.parent} lacks {name}, which its index names", mend="download it again"
            )
    return [index.parent / name for name in names]


def _weight_map(index: Path) -> dict[str, str]:
    """Which file holds which tensor, as an index says."""
    weights = read_json(index).get("weight_map")
    if (
        not isinstance(weights, dict)
        or not weights
        or not all(isinstance(name, str) for name in weights.values())
    ):
        raise ConversionError(f"{index} is damaged: no weight_map", mend="download it again")
    return weights


def open_checkpoint(folder: Path) -> Tensors:
    """The floating-point tensors in *folder* by name, each read when it is asked for.

    float16 stays float16; float32, bfloat16 and float64 come as float32. safetensors win over
    ``.bin`` files. Buffers of integers and truth values are left out.

    :raises ConversionError: no weights, a damaged file, or an index that does not fit its shards;
        also, later, when a tensor cannot be read.
    """
    files = weight_files(folder)
    recipes: dict[str, Callable[[], Array]] = {}
    names: dict[str, set[str]] = {}
    for path in files:
        opener = open_safetensors if path.suffix == ".safetensors" else open_pickled
        tensors, others = opener(path)
        names[path.name] = {*tensors, *others}
        recipes |= {name: _getter(tensors, name) for name in tensors}
    index = next(folder / name for name in WEIGHTS if (folder / name).is_file())
    if index.suffix == ".json":
        _check_index(index, names)
    return LazyTensors(recipes)


def _getter(tensors: Tensors, name: str) -> Callable[[], Array]:
    return lambda: tensors[name]


def _check_index(index: Path, names: Mapping[str, set[str]]) -> None:
    for tensor, file in _weight_map(index).items():
        if tensor not in names[file]:
            raise ConversionError(
                f"{index.parent / file} lacks {tensor}, which the index says it holds",
                mend="download the folder again",
            )


def open_safetensors(path: Path) -> tuple[Tensors, frozenset[str]]:
    """The floating-point tensors of one safetensors file, and the names of what else it holds.

    Tensors come as from :func:`open_checkpoint`.

    :raises ConversionError: the file is damaged; also, later, when a tensor cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        # The library judges the header. It maps the file and copies, and knows no bfloat16 in
        # numpy: so the bytes are read here, one tensor's at a time.
        with safe_open(path, framework="numpy"):
            pass
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
    except (OSError, SafetensorError, ValueError, struct.error) as error:
        raise ConversionError(
            f"cannot read {path}: {error}", mend="download the file again"
        ) from error
    header.pop("__metadata__", None)
    recipes = {
        name: _recipe(path, name, entry, 8 + length)
        for name, entry in header.items()
        if entry["dtype"] in _FLOATS
    }
    return LazyTensors(recipes), frozenset(header.keys() - recipes.keys())


def _recipe(path: Path, name: str, entry: Mapping[str, Any], start: int) -> Callable[[], Array]:
    kind, shape = entry["dtype"], entry["shape"]
    offset = start + entry["data_offsets"][0]

    def make() -> Array:
        if kind not in _READABLE:
            raise ConversionError(
                f"{name} in {path} is stored as {kind}, which cannot be read",
                mend="use weights in float16, bfloat16 or float32",
            )
        count = int(np.prod(shape, dtype=np.int64))
        try:
            flat = np.fromfile(path, np.dtype(_READABLE[kind]), count, offset=offset)
        except OSError as error:
            raise ConversionError(f"cannot read {path}: {error.strerror or error}") from error
        if flat.size != count:
            raise ConversionError(f"{path} ends within {name}", mend="download the file again")
        return widened(flat.reshape(shape), bfloat16=kind == "BF16")

    return make


def write_safetensors(
    folder: Path, tensors: Tensors, *, max_shard_bytes: int = 5 * 2**30
) -> list[Path]:
    """Write *tensors* into *folder*, asking for each once and keeping none; returns the files.

    Up to *max_shard_bytes* it is ``model.safetensors``, beyond that shards and their index. Files
    appear under their names when all are complete.

    :raises ConversionError: a tensor cannot be had or is neither float32 nor float16, or the
        folder cannot be written.
    """
    writing = _Shards(folder, max_shard_bytes)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in tensors:
            writing.add(name, tensors[name], room=len(tensors))
        return writing.finish()
    except OSError as error:
        raise ConversionError(
            f"cannot write {folder}: {error.strerror or error}", mend="make room there"
        ) from error
    finally:
        writing.discard()


class _Shards:
    """Safetensors files in the making: a gap for the header, then tensor after tensor.

    How long a header will be is not known before every tensor was made, and a tensor is made
    once: the format allows a header to end in blanks, so the gap is as long as it may become.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._file: BinaryIO | None = None
        self._headers: list[dict[str, Any]] = []
        self._size = 0
        self._gap = 0

    def add(self, name: str, tensor: Array, *, room: int) -> None:
        """Append one tensor; a header shall have space for *room* of them."""
        kind = _WRITABLE.get(tensor.dtype.name)
        if kind is None:
            raise ConversionError(f"{name} is of type {tensor.dtype}, which is not written")
        file = self._file
        if file is None or (self._size and self._size + tensor.nbytes > self._limit):
            file = self._begin(room)
        header = self._headers[-1]
        end = self._size + tensor.nbytes
        header[name] = {
            "dtype": kind,
            "shape": list(tensor.shape),
            "data_offsets": [self._size, end],
        }
        little = tensor.astype(tensor.dtype.newbyteorder("<"), order="C", copy=False)
        file.write(little.reshape(-1).view(np.uint8).data)
        self._size = end

    def _begin(self, room: int) -> BinaryIO:
        self._close()
        # "format" is what transformers reads to know that no framework wrote the file.
        self._headers.append({"__metadata__": {"format": "pt"}})
        self._gap, self._size = 4096 + room * 2 * _ENTRY_ROOM, 0
        self._file = file = self._scratch(len(self._headers)).open("wb")
        file.seek(8 + self._gap)
        return file

    def _close(self) -> None:
        """Fill the header of the current shard in."""
        if self._file is None:
            return
        header = json.dumps(self._headers[-1], separators=(",", ":")).encode()
        if len(header) > self._gap:
            raise ConversionError("the names of the tensors are too long for a safetensors header")
        self._file.seek(0)
        self._file.write(struct.pack("<Q", self._gap) + header.ljust(self._gap))
        self._file.close()
        self._file = None

    def _scratch(self, number: int) -> Path:
        return self._folder / f".writing-{number:05}.safetensors"

    def finish(self) -> list[Path]:
        """Give every file its name, an index last."""
        if not self._headers:
            raise ConversionError("there are no tensors to write")
        self._close()
        for name in WEIGHTS[:2]:
            (self._folder / name).unlink(missing_ok=True)
        count = len(self._headers)
        names = [f"model-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1)]
        names = names if count > 1 else [WEIGHTS[0]]
        for number, name in enumerate(names, 1):
            self._scratch(number).replace(self._folder / name)
        if count > 1:
            self._write_index(names)
        return [self._folder / name for name in names]

    def _write_index(self, names: list[str]) -> None:
        weights = {
            tensor: (name, entry["data_offsets"])
            for name, header in zip(names, self._headers, strict=True)
            for tensor, entry in header.items()
            if tensor != "__metadata__"
        }
        total = sum(end - begin for _, (begin, end) in weights.values())
        index = {
            "metadata": {"total_size": total},
            "weight_map": {tensor: name for tensor, (name, _) in weights.items()},
        }
        scratch = self._folder / ".writing-index"
        scratch.write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        scratch.replace(self._folder / WEIGHTS[1])

    def discard(self) -> None:
        """Remove what did not get a name."""
        if self._file is not None:
            self._file.close()
        for number in range(1, len(self._headers) + 1):
            self._scratch(number).unlink(missing_ok=True)
