"""Who asks: the key in a request's headers, and the name it belongs to.

Knows ``Authorization``. A browser, which has no place for a bearer's token, may send the key as the
password of basic authentication where people look at pages.
"""

from __future__ import annotations

import base64
import binascii

from starlette.requests import Request

from codegen_lsp.team.keys import ANYBODY
from codegen_lsp.team.refusals import RefusedError, unauthorized
from codegen_lsp.team.state import Team

__all__ = ["authorize", "authorize_page"]


def authorize(request: Request, team: Team) -> str:
    """The name of the key that *request* bears.

    :raises RefusedError: there is none, or it is nobody's.
    """
    return _named(_bearer(request), team)


def authorize_page(request: Request, team: Team) -> str:
    """The same, also for browsers.

    :raises RefusedError: there is no key, or it is nobody's; a browser asks for it then.
    """
    try:
        return _named(_bearer(request) or _password(request), team)
    except RefusedError as error:
        error.headers["WWW-Authenticate"] = 'Basic realm="codegen-lsp team: the key as password"'
        raise


def _named(key: str, team: Team) -> str:
    if team.keys is None:
        return ANYBODY
    if not key:
        raise unauthorized("this server needs a key: Authorization: Bearer KEY")
    name = team.keys.name_of(key)
    if name is None:
        raise unauthorized("this key is not known here")
    return name


def _bearer(request: Request) -> str:
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else ""


def _password(request: Request) -> str:
    kind, _, code = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(code, validate=True).decode("utf-8").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
