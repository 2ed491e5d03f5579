"""The base protocol: header, length, body; and the streams of this process.

Knows bytes only. Bytes that are no header are skipped up to the next ``Content-Length``, so that
one broken message never costs the connection.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
from collections.abc import AsyncIterator, Callable

__all__ = ["MAX_BODY", "PipeWriter", "messages", "pipe_reader"]

logger = logging.getLogger(__name__)

MAX_BODY = 256 * 1024 * 1024
"""Bytes; a longer message is taken for a broken header."""

_CHUNK = 1 << 16
_LENGTH = re.compile(rb"content-length[ \t]*:[ \t]*(\d{1,12})[ \t]*\r?\n?\Z", re.IGNORECASE)
_HEADER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*:")


async def messages(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The bodies of the messages on a stream, until it ends."""
    while (length := await _read_header(reader)) is not None:
        try:
            yield await reader.readexactly(length)
        except asyncio.IncompleteReadError:
            return


async def _read_header(reader: asyncio.StreamReader) -> int | None:
    """Bytes of the body that comes next; ``None`` at the end of the stream."""
    length: int | None = None
    strange = 0
    while line := await _read_line(reader):
        found = _LENGTH.search(line)
        if found and int(found[1]) <= MAX_BODY:
            length = int(found[1])
            strange += found.start()
        elif line.strip() == b"" and length is not None:
            if strange:
                logger.warning("%d bytes that are no message header are ignored", strange)
            return length
        elif line.strip() and (found or not _HEADER.match(line)):
            strange += len(line)
    return None


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    """One line with its end, or a piece of an overlong one; empty at the end of the stream."""
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await reader.readexactly(max(error.consumed, 1))


def pipe_reader(descriptor: int) -> asyncio.StreamReader:
    """A stream of what arrives on a file descriptor, read by a daemon thread.

    A thread, because pipes cannot be polled everywhere; a daemon, and without Python's buffered
    reader, because a read that never returns must not keep the process alive.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)

    def pump() -> None:
        try:
            while data := _read(descriptor):
                loop.call_soon_threadsafe(reader.feed_data, data)
            loop.call_soon_threadsafe(reader.feed_eof)
        except RuntimeError:
            return  # the loop is closed: nobody reads any more

    threading.Thread(target=pump, name="codegen-lsp stdin", daemon=True).start()
    return reader


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _CHUNK)
    except OSError:
        return b""


class PipeWriter:
    """Writes to a file descriptor, whole messages at a time."""

    def __init__(self, descriptor: int, on_broken: Callable[[], None]) -> None:
        """Call ``on_broken`` when nobody reads any more; what is written then is dropped."""
        self._descriptor = descriptor
        self._on_broken = on_broken

    def write(self, data: bytes) -> None:
        """Write all of ``data``."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            self._on_broken()

    def close(self) -> None:
        """Nothing: the descriptor belongs to the process."""
