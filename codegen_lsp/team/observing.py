"""Around every request: its record, its number, and an end for what nobody expected.

Knows ASGI, the record of a request and what is counted. Does not know what is asked.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Collection, MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codegen_lsp.team.access_log import Record, now
from codegen_lsp.team.state import Team

__all__ = ["Observed", "record_of"]

logger = logging.getLogger(__name__)


class Observed:
    """An application each of whose requests is logged and counted."""

    def __init__(self, app: ASGIApp, team: Team, routes: Collection[str]) -> None:
        self._app = app
        self._team = team
        self._routes = frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the application's own start and end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.monotonic()
        record = Record(secrets.token_hex(8), now(), method=_method(scope))
        record.route = scope["path"] if scope["path"] in self._routes else "other"
        scope.setdefault("state", {})["record"] = record

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", record.id.encode("ascii")),
                ]
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except Exception as error:  # answered already; a traceback's messages may hold code
            place = _place(error)
            logger.error("request %s failed: %s at %s", record.id, type(error).__name__, place)
        finally:
            record.total_ms = _milliseconds(time.monotonic() - begin)
            self._count(record)
            self._team.log.write(record)

    def _count(self, record: Record) -> None:
        metrics = self._team.metrics
        metrics.requests.labels(record.route, str(record.status), record.key or "-").inc()
        if record.cancelled:
            metrics.cancelled.inc()
        if not record.key or record.route != "/v1/completions":
            return
        use = metrics.uses[record.key]
        use.requests += 1
        use.refused += record.status >= 400
        if record.status == 200:
            self._count_answer(record)

    def _count_answer(self, record: Record) -> None:
        metrics, use = self._team.metrics, self._team.metrics.uses[record.key]
        use.read += record.prompt_tokens
        use.written += record.new_tokens
        metrics.tokens.labels("read", record.key).inc(record.prompt_tokens)
        metrics.tokens.labels("written", record.key).inc(record.new_tokens)
        total, first = record.total_ms / 1000, record.first_token_ms / 1000
        metrics.seconds.observe(total)
        metrics.first_token.observe(first)
        metrics.window.add(total, first, record.new_tokens)


def record_of(scope: MutableMapping[str, Any]) -> Record:
    """The record of the request that *scope* belongs to."""
    record: Record = scope["state"]["record"]
    return record


def _method(scope: Scope) -> str:
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in known else "other"


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 1)


def _place(error: BaseException) -> str:
    """The file and line of our own that an error came from."""
    trace = error.__traceback__
    place = "?"
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "?")
        if str(name).startswith("codegen_lsp"):
            place = f"{name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
