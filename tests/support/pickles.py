"""PyTorch archives put together by hand: what torch writes, and what nobody should."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Global:
    """A name that the pickle asks for."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """A function called with arguments."""

    function: Any
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Persistent:
    """What the archive's reader is asked for by an id of its own."""

    id: Any


@dataclass(frozen=True)
class Build:
    """A value whose attributes are set."""

    value: Any
    state: Any


def pickled(value: Any) -> bytes:
    """*value* as a pickle, which never has to exist in this process."""
    return b"\x80\x02" + _encoded(value) + b"."


def _encoded(value: Any) -> bytes:
    match value:
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return b"\x8a\x08" + struct.pack("<q", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple() | list():
            return b"(" + b"".join(map(_encoded, value)) + b"t"
        case dict():
            items = b"".join(_encoded(k) + _encoded(v) for k, v in value.items())
            return b"}(" + items + b"u"
        case Global():
            return f"c{value.module}\n{value.name}\n".encode()
        case Call():
            return _encoded(value.function) + _encoded(value.arguments) + b"R"
        case Build():
            return _encoded(value.value) + _encoded(value.state) + b"b"
        case Persistent():
            return _encoded(value.id) + b"Q"
    raise TypeError(value)


def storage(kind: str, key: str, count: int) -> Persistent:
    """A reference to a storage of *count* elements, kept as *key*."""
    return Persistent(("storage", Global("torch", kind), key, "cpu", count))


def tensor(of: Persistent, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Call:
    """A view of a storage."""
    hooks = Call(Global("collections", "OrderedDict"), ())
    arguments = (of, offset, size, stride, False, hooks)
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), arguments)


def write_archive(
    path: Path,
    content: Any,
    storages: Mapping[str, NDArray[Any]],
    *,
    compression: int = zipfile.ZIP_STORED,
    byteorder: str | None = "little",
) -> Path:
    """An archive like torch's; *content* is encoded unless it is a whole pickle already."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        described = content if isinstance(content, bytes) else pickled(content)
        archive.writestr("archive/data.pkl", described)
        if byteorder is not None:
            archive.writestr("archive/byteorder", byteorder)
        for key, values in storages.items():
            info = zipfile.ZipInfo(f"archive/data/{key}")
            info.compress_type = compression
            # torch aligns data by padding the header of the member, not the directory's entry.
            info.extra = struct.pack("<HH", 0x4246, 13) + b"Z" * 13
            archive.writestr(info, np.asarray(values).tobytes())
        archive.writestr("archive/version", "3\n")
    return path
