"""The routes, and how errors are answered. Handlers translate; others decide.

Knows Starlette. Does not listen anywhere: ``serving`` does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from codegen_lsp.team.access import authorize, authorize_page
from codegen_lsp.team.answering import Completions
from codegen_lsp.team.observing import Observed, record_of
from codegen_lsp.team.openapi import describe
from codegen_lsp.team.refusals import RefusedError
from codegen_lsp.team.state import Team
from codegen_lsp.team.status import PAGE_HEADERS, status_page

__all__ = ["create_app"]

Handler = Callable[[Request, Team], Awaitable[Response]]


async def _models(request: Request, team: Team) -> Response:
    record_of(request.scope).key = authorize(request, team)
    served = team.served
    one = {
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": "codegen-lsp",
        # vLLM's name for it.
        "max_model_len": served.context_length,
        "family": served.family.name,
        "infill": served.infill,
    }
    return JSONResponse({"object": "list", "data": [one]})


async def _health(_: Request, __: Team) -> Response:
    return JSONResponse({"status": "ok"})


async def _metrics(request: Request, team: Team) -> Response:
    record_of(request.scope).key = authorize_page(request, team)
    metrics = team.metrics
    metrics.waiting.set(team.batcher.waiting)
    metrics.running.set(team.batcher.running)
    return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


async def _status(request: Request, team: Team) -> Response:
    record_of(request.scope).key = authorize_page(request, team)
    return HTMLResponse(status_page(team), headers=PAGE_HEADERS)


async def _openapi(_: Request, team: Team) -> Response:
    return JSONResponse(describe(guarded=team.keys is not None))


HANDLERS: Final[Mapping[str, Handler]] = {
    "/v1/models": _models,
    "/health": _health,
    "/metrics": _metrics,
    "/status": _status,
    "/openapi.json": _openapi,
}
"""What is asked with GET, by path."""

COMPLETIONS: Final = "/v1/completions"


def create_app(team: Team) -> ASGIApp:
    """The application of *team*."""
    routes = [Route(COMPLETIONS, Completions(team), methods=["POST"])]
    routes += [Route(path, _bound(handler, team)) for path, handler in HANDLERS.items()]
    app = Starlette(
        routes=routes,
        exception_handlers={
            RefusedError: _refused,
            HTTPException: _unknown,
            Exception: _failed,
        },
    )
    return Observed(app, team, [COMPLETIONS, *HANDLERS])


def _bound(handler: Handler, team: Team) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await handler(request, team)

    return endpoint


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)  # noqa: S101 - narrows for the type checker
    record_of(request.scope).refused = error.code or error.kind
    return JSONResponse(error.body, error.status, error.headers)


def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - narrows for the type checker
    refused = RefusedError(error.status_code, error.detail, headers=error.headers)
    return _refused(request, refused)


def _failed(request: Request, _: Exception) -> Response:
    refused = RefusedError(500, "the server failed; its log says where", kind="server_error")
    return _refused(request, refused)
