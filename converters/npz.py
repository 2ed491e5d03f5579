"""Arrays in ``.npz`` files, and parts of them, without reading the rest of the file.

numpy writes an ``.npz`` uncompressed, so an array can be mapped where it lies; that is how one
layer of an array that holds all layers is read. ``numpy.load`` would read the whole array.

Knows the two containers (zip and ``.npy``) and the number types of checkpoints. Does not know
what the arrays mean. Never unpickles: an array of objects is an error.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import numpy as np

from codegen_lsp.errors import ConversionError

from .tensors import Array

__all__ = ["Member", "members", "require_intact"]

_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
"""Of a zip entry: its mark, and the lengths of the name and of the extra field behind it."""

_HEADERS: Final = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

_FLOATS: Final = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))

_BFLOAT16: Final = np.dtype("V2")
"""What numpy makes of JAX's bfloat16, a type it does not know: two bytes without a meaning."""


@dataclass(frozen=True, slots=True)
class Member:
    """One array of an ``.npz`` file, known by its header."""

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    fortran: bool
    """Whether the first index runs fastest."""

    offset: int | None
    """Of the first number, from the begin of the file; None where the entry is compressed."""

    def read(self, index: int | None = None) -> Array:
        """The array, or its *index*-th part along the first axis; float16 or float32.

        :raises ConversionError: the file ends early or is damaged.
        """
        try:
            whole = self._unpacked() if self.offset is None else self._mapped(self.offset)
            return _widened(whole if index is None else whole[index])
        except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise ConversionError(
                f"cannot read {self.name} of {self.file}: {error}", mend="fetch the file again"
            ) from error

    def _mapped(self, offset: int) -> Array:
        if 0 in self.shape:
            return np.zeros(self.shape, self.dtype)
        mapped: Array = np.memmap(
            self.file,
            dtype=self.dtype,
            mode="r",
            offset=offset,
            shape=self.shape,
            order="F" if self.fortran else "C",
        )
        return mapped

    def _unpacked(self) -> Array:
        with zipfile.ZipFile(self.file) as archive, archive.open(self.name) as stream:
            array: Array = np.lib.format.read_array(stream, allow_pickle=False)
            return array


def _widened(array: Array) -> Array:
    if array.dtype == _BFLOAT16:
        # The upper half of a float32: shifting is exact, and needs no bfloat16 in numpy.
        bits = np.ascontiguousarray(array).view(np.uint16).astype(np.uint32) << 16
        return bits.view(np.float32)
    kind = np.float16 if array.dtype.itemsize == 2 else np.float32
    return np.array(array, kind, order="C")


def members(file: Path) -> list[Member]:
    """The arrays of *file* in the order in which they were written; only headers are read.

    :raises ConversionError: the file cannot be read, is no ``.npz`` file, or holds something
        that is not an array of floats (an array of objects would be a pickle).
    """
    try:
        with zipfile.ZipFile(file) as archive, file.open("rb") as raw:
            return [_member(file, archive, entry, raw) for entry in archive.infolist()]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ConversionError(
            f"cannot read {file}: {error}", mend="fetch the file again, it is no whole .npz file"
        ) from error


def require_intact(file: Path) -> None:
    """Nothing, where every array of *file* has the checksum that was saved with it.

    Takes a whole reading of the file; :meth:`Member.read` does not look at checksums.

    :raises ConversionError: an array has another checksum, or the file cannot be read.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            wrong = archive.testzip()
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ConversionError(f"cannot read {file}: {error}", mend="fetch it again") from error
    if wrong is not None:
        raise ConversionError(
            f"{wrong} of {file} has another checksum than was saved", mend="fetch the file again"
        )


def _member(file: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, raw: IO[bytes]) -> Member:
    with archive.open(entry) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"{entry.filename} has version {version} of the array format")
        shape, fortran, dtype = _HEADERS[version](stream)
        header = stream.tell()
    if dtype.hasobject:
        raise ConversionError(
            f"{entry.filename} of {file} is a pickle of Python objects, which is never opened",
            mend="save the weights as arrays of numbers",
        )
    if dtype not in _FLOATS and dtype != _BFLOAT16:
        raise ConversionError(f"{entry.filename} of {file} holds {dtype}, not floats")
    stored = entry.compress_type == zipfile.ZIP_STORED
    offset = _begin(raw, entry) + header if stored else None
    if stored and entry.file_size != header + int(np.prod(shape, dtype=object)) * dtype.itemsize:
        raise ConversionError(f"{entry.filename} of {file} is not as long as its header says")
    return Member(file, entry.filename, tuple(shape), dtype, fortran, offset)


def _begin(raw: IO[bytes], entry: zipfile.ZipInfo) -> int:
    """Where an entry's content begins; the central directory does not say."""
    raw.seek(entry.header_offset)
    mark, name, extra = _LOCAL_HEADER.unpack(raw.read(_LOCAL_HEADER.size))
    if mark != b"PK\3\4":
        raise zipfile.BadZipFile(f"no entry at byte {entry.header_offset}")
    return entry.header_offset + _LOCAL_HEADER.size + int(name) + int(extra)
