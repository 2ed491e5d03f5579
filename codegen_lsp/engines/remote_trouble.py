"""What can go wrong between us and a server, and what it means: try again, wait, or tell the user.

The one place that knows the HTTP library's exceptions and the meaning of a status. Nothing of what
a server answers is quoted, except a code that is a single word: servers like to repeat the prompt
in their complaints, and errors end in logs.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2

from codegen_lsp.engines.remote_access import KEY_VARIABLE
from codegen_lsp.engines.remote_health import ENOUGH
from codegen_lsp.errors import EngineError, EngineUnavailableError, GenerationError, RemoteAwayError

__all__ = ["UnansweredError", "of_exception", "of_status", "of_timeout"]

TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same request may be answered. 500 is one: a server that is being
restarted says so, too."""

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{1,40}")


class UnansweredError(Exception):
    """A request that was not answered, and what to make of it."""

    def __init__(
        self,
        error: EngineError,
        *,
        transient: bool = False,
        after: float | None = None,
        weight: int = 1,
        status: int = 0,
    ) -> None:
        super().__init__(error.message)
        self.error = error
        """What to raise where nothing helps."""
        self.transient = transient
        """Whether the same request may be answered in a moment."""
        self.after = after
        """Seconds after which the server wants to be asked again, where it says so."""
        self.weight = weight
        """How many failures this counts for."""
        self.status = status
        """The HTTP status; 0 where there was none."""


def of_exception(error: Exception, host: str) -> UnansweredError:
    """What an exception of the HTTP library means."""
    tls = next((one for one in _causes(error) if isinstance(one, ssl.SSLError)), None)
    if tls is not None:
        return _of_tls(tls, host)
    if isinstance(error, httpx2.TimeoutException):
        return of_timeout(host, isinstance(error, httpx2.ConnectTimeout))
    if isinstance(error, httpx2.ProxyError):
        what = "the proxy does not let us through"
    elif isinstance(error, httpx2.ConnectError):
        what = _reason(error)
    else:  # it was there a moment ago
        what = "the connection broke"
    return UnansweredError(_away(host, what), transient=isinstance(error, httpx2.TransportError))


def of_timeout(host: str, connecting: bool = False) -> UnansweredError:
    """Nothing came in time: more telling than a broken connection."""
    what = "nobody answers there" if connecting else "it does not answer in time"
    return UnansweredError(_away(host, what), transient=True, weight=2 if connecting else ENOUGH)


def _of_tls(error: ssl.SSLError, host: str) -> UnansweredError:
    if isinstance(error, ssl.SSLCertVerificationError):
        what = error.verify_message or "it is not trusted"
        return UnansweredError(
            EngineUnavailableError(
                f"the certificate of {host} cannot be trusted ({what})",
                mend="renew it, or set serverCa to the authority that signed it",
            )
        )
    reason = (error.reason or "").replace("_", " ").lower()
    if "version number" in reason or "record layer" in reason or "http request" in reason:
        return UnansweredError(
            EngineUnavailableError(
                f"{host} does not speak TLS", mend="set server to http://…, or turn TLS on there"
            )
        )
    if "certificate" in reason or "alert" in reason:
        return UnansweredError(
            EngineUnavailableError(
                f"{host} refuses our certificate ({reason})", mend="set serverCertificate"
            )
        )
    return UnansweredError(_away(host, "the TLS connection broke"), transient=True)


def of_status(status: int, headers: Mapping[str, str], body: bytes, host: str) -> UnansweredError:
    """What an answer means that is no success; *body* is as much of it as was read."""
    code = _code(body)
    said = f"{status}, {code}" if code else f"{status}"
    if status in TRANSIENT:
        what = "it is busy" if status == 429 else f"it answers {said}"
        after = _retry_after(headers)
        return UnansweredError(_away(host, what), transient=True, after=after, status=status)
    return UnansweredError(_refused(status, said, host), status=status)


def _refused(status: int, said: str, host: str) -> EngineError:
    if status in (401, 403):
        return EngineUnavailableError(
            f"{host} refuses our key ({said})",
            mend=f"set {KEY_VARIABLE}, serverKeyCommand or serverKeyring",
        )
    if status == 404:
        return EngineUnavailableError(
            f"{host} has no such model or no /completions ({said})",
            mend="look at the settings server and serverModel",
        )
    if status == 407:
        return EngineUnavailableError(
            "the proxy wants a password", mend="put it into HTTPS_PROXY, or set NO_PROXY"
        )
    if 300 <= status < 400:
        return EngineUnavailableError(
            f"{host} sends us elsewhere ({said})", mend="set server to where that is"
        )
    return GenerationError(f"{host} refuses the request ({said})")


def _away(host: str, what: str) -> RemoteAwayError:
    return RemoteAwayError(f"the server {host} is away: {what}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _reason(error: BaseException) -> str:
    """Why a connection was not made, in a few words."""
    for cause in _causes(error):
        if isinstance(cause, ConnectionRefusedError):
            return "the connection is refused"
        if isinstance(cause, OSError) and cause.strerror and len(cause.strerror) < 80:
            return cause.strerror.lower()
    return "no connection is made"


def _code(body: bytes) -> str:
    """The code or type of an error in OpenAI's shape, if it is a single word."""
    try:
        error = json.loads(body)["error"]
        found = [error.get("code"), error.get("type")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    return next((one for one in found if isinstance(one, str) and _WORD.fullmatch(one)), "")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from now, given as such or as a date (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), 86_400.0)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    return min(max(0.0, (when - datetime.now(UTC)).total_seconds()), 86_400.0)
