"""The first facts of a GGUF file: how large the network is, read without any library.

Knows the head of the format, as far as those facts. Does not know tensors or tokens.

Source: ggml-org/ggml, docs/gguf.md.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from codegen_lsp.errors import ModelDamagedError

__all__ = ["GgufHeader", "read_header"]

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)

_NUMBERS: Final[Mapping[int, str]] = {
    **dict(enumerate(("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?"))),
    **{10: "<Q", 11: "<q", 12: "<d"},
}
"""How the values of a type are packed, by the type's number."""

_STRING, _ARRAY = 8, 9

_LONGEST: Final = 1 << 20
"""A string or a list beyond this many bytes or entries is no fact of ours, or no GGUF."""


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What the head of the file says."""

    layers: int
    width: int
    context_length: int
    """Most tokens the network was trained with."""

    def kept_bytes(self, tokens: int, number: int = 2) -> int:
        """Bytes of the keys and values of *tokens*, a number taking *number* bytes."""
        return 2 * self.layers * self.width * tokens * number


def read_header(path: Path) -> GgufHeader:
    """The facts of the file *path*.

    :raises ModelDamagedError: it is no GGUF, or its head is cut off or says nothing of them.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except (OSError, struct.error, ValueError, KeyError, RecursionError) as error:
        raise ModelDamagedError(
            f"{path} is no whole GGUF file ({error or type(error).__name__})",
            mend="remove it; codegen-lsp bench engine makes it anew",
        ) from error


def _read(file: BinaryIO) -> GgufHeader:
    if file.read(4) != _MAGIC or _number(file, "<I") not in _VERSIONS:
        raise ValueError("it does not begin like one")
    _number(file, "<Q")  # tensors
    found: dict[str, int] = {}
    wanted = ("block_count", "embedding_length", "context_length")
    for _ in range(_number(file, "<Q")):
        key = _string(file).rpartition(".")[2]
        value = _value(file, _number(file, "<I"))
        if key in wanted and isinstance(value, int):
            found[key] = value
        if len(found) == len(wanted):  # the vocabulary, which is long, comes after them
            break
    if min(found.values(), default=0) < 1:
        raise ValueError("a network of nothing")
    return GgufHeader(*(found[key] for key in wanted))


def _number(file: BinaryIO, form: str) -> int:
    (value,) = struct.unpack(form, file.read(struct.calcsize(form)))
    return int(value) if form not in ("<f", "<d") else 0


def _string(file: BinaryIO) -> str:
    length = _number(file, "<Q")
    if length > _LONGEST:
        raise ValueError(f"a string of {length} bytes")
    return file.read(length).decode("utf-8", "replace")


def _value(file: BinaryIO, kind: int) -> int | None:
    """A whole number, or ``None`` for what is none; either way the file stands behind it."""
    if kind == _STRING:
        _string(file)
        return None
    if kind == _ARRAY:
        of, count = _number(file, "<I"), _number(file, "<Q")
        if count > _LONGEST:
            raise ValueError(f"a list of {count} entries")
        for _ in range(count):
            _value(file, of)
        return None
    return _number(file, _NUMBERS[kind])
