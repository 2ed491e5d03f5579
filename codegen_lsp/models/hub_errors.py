"""What the exceptions of ``huggingface_hub`` mean: the one place where they become our errors.

A visible table from class names to lines. By names, because the library's HTTP client changed its
package between versions and its exceptions kept theirs; so nothing foreign is imported here.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from codegen_lsp.errors import HubError
from codegen_lsp.models.catalog import suggestions

__all__ = ["MEANINGS", "Asked", "is_passing", "meaning"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for when it failed."""

    repo: str
    """Hugging Face id."""

    endpoint: str
    """Address of the hub."""

    revision: str = ""
    """Branch, tag or commit hash; empty for the newest."""

    file: str = ""
    """The file that was being fetched; empty for the repository itself."""

    @property
    def again(self) -> str:
        """What to do when it may well succeed the next time."""
        return "run again" if not self.file else "run again; what was fetched is kept"


Line = Callable[[Any, Asked], HubError]
"""From an exception and what was asked for to what the user reads."""

_SIGN_IN: Final = "`export HF_TOKEN=…` with a token of your account"


def meaning(error: Exception, asked: Asked) -> HubError:
    """The error for *error*; the nearest class of :data:`MEANINGS` decides."""
    for kind in type(error).__mro__:
        line = MEANINGS.get(kind.__name__)
        if line is not None:
            return line(error, asked)
    return HubError(
        f"cannot fetch {asked.repo} from {asked.endpoint}: {_words(error)}", mend=asked.again
    )


_PASSING: Final = frozenset({"NetworkError", "RemoteProtocolError", "TimeoutException"})
_PASSING_STATUS: Final = frozenset({408, 429, 500, 502, 503, 504})


def is_passing(error: Exception) -> bool:
    """Whether the same request may well succeed a moment later."""
    if _status(error):
        return _status(error) in _PASSING_STATUS
    return any(kind.__name__ in _PASSING for kind in type(error).__mro__)


def _status(error: Exception) -> int:
    """The HTTP status that an exception brought; 0 if it brought none."""
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def _words(error: Exception) -> str:
    return str(error).strip() or type(error).__name__


def _unknown(_: Exception, asked: Asked) -> HubError:
    near = suggestions(asked.repo)
    named = f"known models: {', '.join(near)}" if near else "see `codegen-lsp models list`"
    return HubError(
        f"no repository {asked.repo} at {asked.endpoint}, or it is private",
        mend=f"{named}; a private one needs {_SIGN_IN}",
    )


def _no_id(_: Exception, asked: Asked) -> HubError:
    near = suggestions(asked.repo)
    named = f"; known models: {', '.join(near)}" if near else ""
    return HubError(
        f"{asked.repo!r} is no repository id", mend=f"write it as organization/name{named}"
    )


def _gated(_: Exception, asked: Asked) -> HubError:
    return HubError(
        f"{asked.repo} is gated: its licence must be accepted first",
        mend=f"accept it at {asked.endpoint}/{asked.repo}, then {_SIGN_IN} and run again",
    )


def _disabled(_: Exception, asked: Asked) -> HubError:
    return HubError(f"{asked.repo} was disabled by {asked.endpoint}", mend="choose another model")


def _no_revision(_: Exception, asked: Asked) -> HubError:
    return HubError(
        f"{asked.repo} has no revision {asked.revision!r}",
        mend=f"leave --revision away, or choose one of {asked.endpoint}/{asked.repo}/commits/main",
    )


def _no_file(_: Exception, asked: Asked) -> HubError:
    return HubError(
        f"{asked.repo} lists {asked.file or 'a file'} and does not serve it",
        mend="try another --revision, or report it to the model's authors",
    )


def _offline(_: Exception, asked: Asked) -> HubError:
    return HubError(
        f"cannot fetch {asked.repo}: HF_HUB_OFFLINE is set",
        mend="unset it, or give a folder that holds the model",
    )


def _bad_token(error: Exception, asked: Asked) -> HubError:
    return HubError(
        f"{asked.endpoint} does not accept the token for {asked.repo} ({_status(error) or 'text'})",
        mend=f"correct it, or remove it: {_SIGN_IN}, or `unset HF_TOKEN`",
    )


def _needs_token(_: Exception, asked: Asked) -> HubError:
    return HubError(
        f"{asked.endpoint} wants to know who asks for {asked.repo} (401)",
        mend=f"{_SIGN_IN} and run again",
    )


def _forbidden(_: Exception, asked: Asked) -> HubError:
    return HubError(
        f"{asked.endpoint} refuses {asked.repo} to you (403)",
        mend=f"{_SIGN_IN}; accept its licence at {asked.endpoint}/{asked.repo}",
    )


def _busy(_: Exception, asked: Asked) -> HubError:
    return HubError(
        f"{asked.endpoint} asks to wait: too many requests (429)",
        mend=f"wait a few minutes, or {_SIGN_IN}; then {asked.again}",
    )


_STATUS: Final[Mapping[int, Line]] = {401: _needs_token, 403: _forbidden, 429: _busy}


def _http(error: Exception, asked: Asked) -> HubError:
    """An answer with a status that says it failed."""
    status = _status(error)
    if status == 401 and "Invalid credentials" in str(error):
        return _bad_token(error, asked)
    if status in _STATUS:
        return _STATUS[status](error, asked)
    if status >= 500:
        return HubError(
            f"{asked.endpoint} failed with {status}", mend=f"wait a while, then {asked.again}"
        )
    what = f"{asked.repo}/{asked.file}" if asked.file else asked.repo
    return HubError(
        f"{asked.endpoint} answered {status} when asked for {what}",
        mend="check HF_ENDPOINT and the repository's id",
    )


def _unreachable(error: Exception, asked: Asked) -> HubError:
    hint = "check the network, HTTPS_PROXY and HF_ENDPOINT"
    if "CERTIFICATE" in str(error).upper():
        hint = "set SSL_CERT_FILE to your network's certificates"
    return HubError(
        f"cannot reach {asked.endpoint}: {_words(error)}", mend=f"{hint}; then {asked.again}"
    )


def _proxy(error: Exception, asked: Asked) -> HubError:
    return HubError(
        f"the proxy does not let {asked.endpoint} through: {_words(error)}",
        mend="check HTTP_PROXY and HTTPS_PROXY",
    )


def _slow(_: Exception, asked: Asked) -> HubError:
    return HubError(
        f"{asked.endpoint} does not answer in time", mend=f"check the network; {asked.again}"
    )


def _cut(_: Exception, asked: Asked) -> HubError:
    what = asked.file or asked.repo
    return HubError(
        f"the connection to {asked.endpoint} breaks while {what} comes in", mend=asked.again
    )


def _no_address(_: Exception, asked: Asked) -> HubError:
    return HubError(
        f"HF_ENDPOINT {asked.endpoint!r} is no address of a hub",
        mend="write it as https://host, or unset it",
    )


def _no_hub(_: Exception, asked: Asked) -> HubError:
    return HubError(
        f"{asked.endpoint} does not answer as a Hugging Face hub does",
        mend="check HF_ENDPOINT, and that no login page of the network stands in the way",
    )


_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def _system(error: OSError, asked: Asked) -> HubError:
    """The operating system refused; the disk more likely than anything else."""
    what = asked.file or asked.repo
    if error.errno in _FULL:
        return HubError(
            f"the disk is full: {what} could not be written",
            mend=f"make room, or set CODEGEN_LSP_HOME to a larger disk; then {asked.again}",
        )
    where = f" {error.filename}" if error.filename else ""
    return HubError(
        f"cannot keep {what}{where}: {error.strerror or _words(error)}",
        mend="set CODEGEN_LSP_HOME to a folder that can be written",
    )


MEANINGS: Final[Mapping[str, Line]] = {
    # What the hub says.
    "GatedRepoError": _gated,
    "RepositoryNotFoundError": _unknown,
    "DisabledRepoError": _disabled,
    "RevisionNotFoundError": _no_revision,
    "RemoteEntryNotFoundError": _no_file,
    "HfHubHTTPError": _http,
    # What the library says by itself.
    "OfflineModeIsEnabled": _offline,
    "HFValidationError": _no_id,
    "FileMetadataError": _no_hub,
    # What the network says.
    "ProxyError": _proxy,
    "ConnectError": _unreachable,
    "TimeoutException": _slow,
    "NetworkError": _cut,
    "RemoteProtocolError": _cut,
    "UnsupportedProtocol": _no_address,
    "InvalidURL": _no_address,
    "TooManyRedirects": _no_hub,
    "DecodingError": _no_hub,
    # What Python says of an answer, or of a token, that is not one.
    "UnicodeEncodeError": _bad_token,
    "JSONDecodeError": _no_hub,
    "KeyError": _no_hub,
    "TypeError": _no_hub,
    "AttributeError": _no_hub,
    # What the system says.
    "OSError": _system,
}
"""From the name of an exception's class, the nearest base first, to what it means."""
