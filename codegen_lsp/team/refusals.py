"""Answers that are errors, in the shape that OpenAI's clients read.

Knows statuses and the body's form. No member of the tree in ``errors``: these go to a client on
the network, and no command ends with one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = ["RefusedError", "invalid", "overloaded", "unauthorized", "unknown_model"]


class RefusedError(Exception):
    """A request that is not answered, and why. No message holds a key or anything of a prompt."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, object]:
        """The body of the answer."""
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }


def invalid(message: str, param: str | None = None, code: str | None = None) -> RefusedError:
    """400: what was asked for makes no sense, or is not offered here."""
    return RefusedError(400, message, param=param, code=code)


def unauthorized(message: str) -> RefusedError:
    """401: no key, or none that is known."""
    return RefusedError(
        401,
        message,
        kind="authentication_error",
        code="invalid_api_key",
        headers={"WWW-Authenticate": 'Bearer realm="codegen-lsp team"'},
    )


def unknown_model(name: str) -> RefusedError:
    """404: *name* is what is served here."""
    return RefusedError(
        404, f"no such model here; this server has {name!r}", code="model_not_found", param="model"
    )


def overloaded(message: str, seconds: float, code: str = "rate_limit_exceeded") -> RefusedError:
    """429: come again in *seconds*."""
    return RefusedError(
        429,
        message,
        kind="rate_limit_error",
        code=code,
        headers={"Retry-After": str(max(1, math.ceil(seconds)))},
    )
