"""``POST /v1/completions``: from a request's bytes to the bytes of its answer.

Each step is made elsewhere; here is their order, who is told when the client goes away, and what
is written into the request's record. An answer nobody waits for ends at its next token.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from codegen_lsp.errors import CodegenError
from codegen_lsp.team.access import authorize
from codegen_lsp.team.access_log import Record
from codegen_lsp.team.batching import QueueFullError
from codegen_lsp.team.bodies import read_body
from codegen_lsp.team.completions import Answers, Part, Shape, collect
from codegen_lsp.team.observing import record_of
from codegen_lsp.team.refusals import RefusedError, overloaded
from codegen_lsp.team.requests import Asked, judge, parse
from codegen_lsp.team.state import Team

__all__ = ["Completions"]

_SHORT: Final = 4096
"""Bytes of a body that is judged at once; tokenizing a longer one would hold up the others."""

_JSON: Final = [(b"content-type", b"application/json")]

_EVENTS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would keep what is to be streamed
]


class Completions:
    """The endpoint, an ASGI application."""

    def __init__(self, team: Team) -> None:
        self._team = team

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        :raises RefusedError: it is not answered; nothing was sent.
        """
        team, record = self._team, record_of(scope)
        request = Request(scope, receive)
        record.key = authorize(request, team)
        with team.limits.admit(record.key), suppress(ClientDisconnect):
            content = await read_body(request, team.most_body, team.read_seconds)
            asked = await self._judged(content)
            record.stream, record.choices = asked.stream, asked.choices
            record.prompt_tokens = asked.prompt_tokens
            await _Exchange(team, record, asked, receive, send).run()
            return
        record.cancelled = True

    async def _judged(self, content: bytes) -> Asked:
        body = parse(content)
        if len(content) <= _SHORT:
            return judge(body, self._team.served)
        return await asyncio.to_thread(judge, body, self._team.served)


class _Exchange:
    """One answer on its way to one client."""

    def __init__(
        self, team: Team, record: Record, asked: Asked, receive: Receive, send: Send
    ) -> None:
        self._team = team
        self._record = record
        self._asked = asked
        self._receive = receive
        self._raw_send = send
        self._answers = Answers(asked, team.served, team.batcher)
        self._shape = Shape(asked, team.served)
        self._begin = time.monotonic()
        self._ending = False
        """Whether the last of the answer is being sent: who goes then has it."""

    async def run(self) -> None:
        try:
            self._answers.start()
        except QueueFullError as full:
            raise overloaded(
                "the server has as much to do as it can", full.seconds, "server_overloaded"
            ) from None
        except CodegenError as error:
            raise _failed(error) from error
        watch = asyncio.create_task(self._watch())
        try:
            await (self._stream() if self._asked.stream else self._whole())
        except TimeoutError:  # it takes nothing any more
            self._record.cancelled = True
        finally:
            self._answers.cancel()
            watch.cancel()
            self._note()

    async def _watch(self) -> None:
        """End the answer when the client has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._ending:
            self._record.cancelled = True
        self._answers.cancel()

    async def _whole(self) -> None:
        try:
            saids, reasons = await collect(self._answers, self._asked)
        except CodegenError as error:
            raise _failed(error) from error
        if self._record.cancelled:
            return
        body = msgspec.json.encode(self._shape.whole(saids, reasons, self._answers.new_tokens))
        self._ending = True
        length = (b"content-length", str(len(body)).encode("ascii"))
        await self._send(
            {"type": "http.response.start", "status": 200, "headers": [*_JSON, length]}
        )
        await self._send({"type": "http.response.body", "body": body})

    async def _stream(self) -> None:
        try:
            echoes = await self._answers.echoes()
        except CodegenError as error:
            raise _failed(error) from error
        await self._send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
        try:
            if self._asked.echo:
                n = self._asked.n
                await self._say([Part(i, echoes[i // n]) for i in range(self._asked.choices)])
            async for burst in self._answers.bursts():
                await self._say([part for part in burst if _tells(part)])
            await self._end()
        except CodegenError as error:
            await self._events([_failed(error).body])
            self._ending = True
            await self._send({"type": "http.response.body", "body": b""})

    async def _end(self) -> None:
        if self._record.cancelled:
            return
        self._ending = True
        last = self._events_of([self._shape.last(self._answers.new_tokens)])
        body = (last if self._asked.usage else b"") + b"data: [DONE]\n\n"
        await self._send({"type": "http.response.body", "body": body})

    async def _say(self, parts: list[Part]) -> None:
        if parts and not self._record.cancelled:
            await self._events([self._shape.chunk(part) for part in parts])

    async def _events(self, chunks: list[dict[str, object]]) -> None:
        body = self._events_of(chunks)
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    def _events_of(self, chunks: list[dict[str, object]]) -> bytes:
        return b"".join(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks)

    async def _send(self, message: dict[str, object]) -> None:
        """:raises TimeoutError: the client does not take it."""
        async with asyncio.timeout(self._team.send_seconds):
            await self._raw_send(message)

    def _note(self) -> None:
        answers, record = self._answers, self._record
        record.new_tokens = answers.new_tokens
        if answers.began_at:
            record.queue_ms = _since(self._begin, answers.began_at)
        if answers.first_at:
            record.first_token_ms = _since(self._begin, answers.first_at)


def _tells(part: Part) -> bool:
    return bool(part.said.text or part.said.ids or part.finish)


def _since(begin: float, moment: float) -> float:
    return round(1000 * max(0.0, moment - begin), 1)


def _failed(error: CodegenError) -> RefusedError:
    """503, since another try may do; the message says nothing of the prompt."""
    return RefusedError(
        503, error.message, kind="server_error", code="engine_failed", headers={"Retry-After": "1"}
    )
