"""The base protocol finds every whole message, whatever comes between them."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen_lsp.server.framing import MAX_BODY, PipeWriter, messages, pipe_reader
from tests.server.raw_client import frame


def bodies(data: bytes, chunk: int = 1 << 16, limit: int = 64) -> list[bytes]:
    """What is found in ``data`` when it arrives in pieces of ``chunk`` bytes."""

    async def read() -> list[bytes]:
        reader = asyncio.StreamReader(limit=limit)

        async def feed() -> None:
            for start in range(0, len(data), chunk):
                reader.feed_data(data[start : start + chunk])
                await asyncio.sleep(0)
            reader.feed_eof()

        feeding = asyncio.create_task(feed())
        found = [body async for body in messages(reader)]
        await feeding
        return found

    return asyncio.run(read())


@pytest.mark.parametrize(
    "data",
    [
        frame(b"{}"),
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\n" + frame(b"{}"),
        b"Content-Length: 2\r\nContent-Type: x\r\n\r\n{}",
        b"content-length:2\r\n\r\n{}",
        b"Content-Length: 2\n\n{}",
        b"\r\n\r\n" + frame(b"{}"),
        b"hello\r\n" + frame(b"{}"),
        b"hello\r\n\r\nworld\r\n\r\n" + frame(b"{}"),
        b"rest of a message}" + frame(b"{}"),
        b"Content-Length: minus one\r\n\r\n" + frame(b"{}"),
        b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1) + frame(b"{}"),
        b"x" * 1000 + b"\r\n" + frame(b"{}"),
        b"\x00\xff\xfe" * 99 + b"\r\n" + frame(b"{}"),
        frame(b"{}") + b"Content-Length: 9\r\n\r\ncut o",
        frame(b"{}") + b"Content-Len",
    ],
)
@pytest.mark.parametrize("chunk", [1, 7, 1 << 16])
def test_one_message_is_found(data: bytes, chunk: int) -> None:
    """Odd headers, bytes that are none, streams cut off: the one whole message arrives."""
    assert bodies(data, chunk) == [b"{}"]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=99), max_size=5), st.integers(1, 50))
def test_bodies_arrive_as_they_were_sent(contents: list[bytes], chunk: int) -> None:
    """Bodies may hold anything, also what looks like a header."""
    assert bodies(b"".join(map(frame, contents)), chunk) == contents


def test_a_pipe_is_read_to_its_end_and_a_broken_one_is_noticed() -> None:
    """The descriptors of a process, without a thread left waiting."""

    async def check() -> None:
        outlet, inlet = os.pipe()
        broken = asyncio.Event()
        writer = PipeWriter(inlet, broken.set)
        reader = pipe_reader(outlet)
        writer.write(b"x" * 200_000)
        os.close(inlet)
        assert await reader.read() == b"x" * 200_000
        os.close(outlet)
        outlet, inlet = os.pipe()
        os.close(outlet)
        PipeWriter(inlet, broken.set).write(b"nobody reads this")
        os.close(inlet)
        assert broken.is_set()

    asyncio.run(check())
