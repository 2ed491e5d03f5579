"""Reading a request's body, as far as it may go on and for as long as it may take.

Knows sizes and times. Does not know what is in it.
"""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from codegen_lsp.team.refusals import RefusedError, invalid

__all__ = ["read_body"]

_CLOSE = {"Connection": "close"}
"""What was not read cannot be told from the next request."""


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """The body, at most *most* bytes. One that announces more is not read at all.

    :raises RefusedError: it is too large, or did not come within *seconds*.
    :raises ClientDisconnect: the client went away.
    """
    announced = request.headers.get("content-length")
    if announced is not None and not (announced.isascii() and announced.isdigit()):
        raise invalid("Content-Length is no number")
    if announced is not None and int(announced) > most:
        raise _too_large(most)
    content = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                content += chunk
                if len(content) > most:
                    raise _too_large(most)
    except TimeoutError:
        raise RefusedError(
            408, f"the body did not come within {seconds:g} seconds", headers=_CLOSE
        ) from None
    except ClientDisconnect:
        raise
    return bytes(content)


def _too_large(most: int) -> RefusedError:
    return RefusedError(
        413, f"a body has at most {most} bytes here", code="body_too_large", headers=_CLOSE
    )
