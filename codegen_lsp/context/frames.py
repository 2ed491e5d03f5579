"""What the server and the process that reads for it say to each other.

A frame is four bytes, its length (big-endian), and a message in msgpack. Both ends are of one
program, so nothing is negotiated. Knows no processes.
"""

from __future__ import annotations

import struct
from typing import IO, Final

import msgspec

from codegen_lsp.context.facts import FileFacts

__all__ = ["Reply", "Request", "receive", "reply_bytes", "reply_of", "request_bytes", "request_of"]

_LENGTH: Final = struct.Struct(">I")

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of a message, far above what the largest file can give; more is no message of ours."""


class Request(msgspec.Struct, frozen=True, array_like=True):
    """Read this file. Paths are as ``os.fsencode`` makes them: not every name is text."""

    root: bytes
    path: bytes
    """Relative to ``root``, with ``/``."""


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """What came of a request; one of the two."""

    facts: FileFacts | None

    refusal: str | None
    """Name of a :class:`~codegen_lsp.context.files.Refusal`."""


_ENCODER: Final = msgspec.msgpack.Encoder()
_REQUESTS: Final = msgspec.msgpack.Decoder(Request)
_REPLIES: Final = msgspec.msgpack.Decoder(Reply)


def _framed(message: Request | Reply) -> bytes:
    body = _ENCODER.encode(message)
    return _LENGTH.pack(len(body)) + body


def request_bytes(request: Request) -> bytes:
    """The frame of a request."""
    return _framed(request)


def reply_bytes(reply: Reply) -> bytes:
    """The frame of a reply."""
    return _framed(reply)


def receive(stream: IO[bytes]) -> bytes | None:
    """The next message of a blocking, buffered stream; ``None`` at its end, even in a message.

    :raises ValueError: what comes is no message
    """
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > LARGEST:
        raise ValueError(f"a message of {length} bytes")
    body = stream.read(length)
    return body if len(body) == length else None


def request_of(message: bytes) -> Request:
    """What a message asks for."""
    return _REQUESTS.decode(message)


def reply_of(message: bytes) -> Reply:
    """What a message answers.

    :raises msgspec.DecodeError: it is no reply
    """
    return _REPLIES.decode(message)
