"""One answer as it comes over a connection: opened, read event by event, and let go of.

Letting go before the end is what makes a server stop. With HTTP/1.1 the connection is closed. With
HTTP/2 the stream is reset (RFC 9113, 6.4) and the connection stays for the next request: the
library only forgets such a stream, whereupon the server would go on to the end, so the frame is
written here.

Knows HTTP. Does not know what events say, nor whether a request is worth repeating.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import httpx2

from codegen_lsp.engines.remote_trouble import UnansweredError, of_exception, of_status, of_timeout
from codegen_lsp.engines.remote_wire import DONE, Events

__all__ = ["Stream", "fetch", "open_stream"]

MOST_RESETS: Final = 32
"""Streams that are reset on one connection before it is replaced: the library goes on to count them
as open, and most servers allow a hundred."""

END_SECONDS: Final = 0.5
"""How long the end of an answer that is over is waited for, so that its connection can be kept."""

LARGEST: Final = 1 << 20
"""Most bytes of a body that has no events."""

_COMPLAINT: Final = 4096
"""Bytes of a complaint that are looked at."""

_RESETS: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
"""How many streams were reset on a connection."""


class Stream:
    """A response that has begun, with a status of success."""

    def __init__(self, response: httpx2.Response, host: str, limit: float) -> None:
        self._response = response
        self._host = host
        self._limit = limit
        # Not unpacked: we ask for nothing packed, and a megabyte can become a thousand.
        self._chunks = response.aiter_raw()
        self._over = False

    @property
    def has_events(self) -> bool:
        """Whether this is a stream of events; some servers know only whole answers."""
        kind = self._response.headers.get("content-type", "")
        return str(kind).startswith("text/event-stream")

    async def events(self) -> AsyncGenerator[str, None]:
        """The data of one event after another, the last one (``[DONE]``) left out.

        :raises UnansweredError: the connection broke or nothing comes.
        :raises GenerationError: an event has no end.
        """
        parser = Events()
        while (chunk := await self._next(self._limit)) is not None:
            for event in parser.push(chunk):
                if event.strip() == DONE:
                    await self._finish()
                    return
                yield event
        self._over = True

    async def body(self, most: int = LARGEST) -> bytes:
        """All of it, where there are no events; little more than *most* bytes.

        :raises UnansweredError: the connection broke or nothing comes.
        """
        found = b""
        while len(found) < most:
            chunk = await self._next(self._limit)
            if chunk is None:
                self._over = True
                break
            found += chunk
        return found

    async def _next(self, limit: float) -> bytes | None:
        """The next bytes; ``None`` at the end."""
        try:
            async with asyncio.timeout_at(limit):
                return await anext(self._chunks, None)
        except TimeoutError:
            raise of_timeout(self._host) from None
        except httpx2.HTTPError as error:
            raise of_exception(error, self._host) from None

    async def _finish(self) -> None:
        """Read the few bytes behind the last event: a connection read to its end is used again."""
        soon = asyncio.get_running_loop().time() + END_SECONDS
        with contextlib.suppress(UnansweredError):
            while await self._next(min(soon, self._limit)) is not None:
                pass
            self._over = True

    async def aclose(self) -> bool:
        """Let go; the server stops where it is. Whether a connection was lost by that."""
        lost = not self._over and not await _reset(self._response)
        await self._chunks.aclose()
        await self._response.aclose()
        return lost


async def _reset(response: httpx2.Response) -> bool:
    """Reset the stream of an HTTP/2 *response*; whether its connection can be kept."""
    number = response.extensions.get("stream_id")
    connection = response.extensions.get("network_stream")
    if number is None or connection is None:
        return False
    resets = _RESETS.get(connection, 0) + 1
    _RESETS[connection] = resets
    # Length 4, type RST_STREAM, no flags, the stream, error code CANCEL.
    frame = b"\0\0\4\3\0" + int(number).to_bytes(4, "big") + b"\0\0\0\x08"
    try:
        await connection.write(frame, 1.0)
    except Exception:  # whatever is wrong with it, the server must notice
        resets = MOST_RESETS
    if resets >= MOST_RESETS:
        await connection.aclose()
        return False
    return True


async def open_stream(
    client: httpx2.AsyncClient, body: Mapping[str, Any], key: Mapping[str, str], limit: float
) -> Stream:
    """Ask for an answer, which has to be whole at *limit* (the event loop's time).

    :raises UnansweredError: there is none.
    """
    request = client.build_request("POST", "completions", json=dict(body), headers=dict(key))
    return await _opened(client, request, limit)


async def fetch(
    client: httpx2.AsyncClient, path: str, key: Mapping[str, str], seconds: float
) -> bytes:
    """What is at *path*, within *seconds*.

    :raises UnansweredError: nothing, or no success.
    """
    limit = asyncio.get_running_loop().time() + seconds
    request = client.build_request("GET", path, headers=dict(key))
    stream = await _opened(client, request, limit)
    try:
        return await stream.body()
    finally:
        await stream.aclose()


async def _opened(client: httpx2.AsyncClient, request: httpx2.Request, limit: float) -> Stream:
    host = client.base_url.netloc.decode()
    try:
        async with asyncio.timeout_at(limit):
            response = await client.send(request, stream=True)
    except TimeoutError:
        raise of_timeout(host) from None
    except httpx2.HTTPError as error:
        raise of_exception(error, host) from None
    stream = Stream(response, host, limit)
    if response.status_code == 200:
        return stream
    try:
        complaint = await _complaint(stream)
    finally:
        await stream.aclose()
    raise of_status(response.status_code, response.headers, complaint, host)


async def _complaint(stream: Stream) -> bytes:
    try:
        return (await stream.body(_COMPLAINT))[:_COMPLAINT]
    except UnansweredError:
        return b""
