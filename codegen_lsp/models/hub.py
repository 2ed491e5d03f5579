"""The hub: what a Hugging Face repository holds, and fetching files of it, resumably.

The only module that imports ``huggingface_hub``, and only inside functions. Knows its requests
and digests. Does not know what its exceptions mean (``hub_errors``), which files a model needs or
where they are kept (``pull``).

Files come by the library's own requests but not by its ``hf_hub_download``: that one deletes what
a killed or cut download had brought, and we keep it. ``HF_ENDPOINT``, ``HF_TOKEN`` (or the token
file), ``HF_HUB_OFFLINE`` and the proxy variables are read at each call.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urljoin, urlsplit

from codegen_lsp.errors import HubError
from codegen_lsp.models.hub_errors import MEANINGS, Asked, is_passing, meaning

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

    from codegen_lsp.models.reporting import Reporter

__all__ = ["PARTIAL", "Remote", "RemoteFile", "describe", "endpoint", "fetch"]

PARTIAL: Final = ".incomplete"
"""Ending of a file that is still coming in."""

_ENDPOINT: Final = "https://huggingface.co"
_TRUSTED: Final = frozenset({"https://huggingface.co", "https://hf.co"})
"""Where a token may go beside the endpoint itself: mirrors send on to these."""

_TIMEOUT: Final = 10.0
"""Seconds without an answer, or without a byte, after which a request has failed."""

_WAITS: Final = (0.5, 1.0, 2.0)
"""Seconds before the next attempt; they begin anew after each one that brought something."""

_PATIENCE: Final = 15.0
"""Seconds without a byte after which no further attempt is made."""

_CHUNK: Final = 1 << 16
"""Bytes that are written at once; what a kill costs at most."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository at one commit."""

    name: str
    """Path inside the repository."""

    size: int
    """Bytes; -1 where the hub does not say."""

    sha256: str = ""
    """Digest of a large file; empty where git keeps it."""

    blob: str = ""
    """Git's own digest of a small file; of a large one it is that of a pointer, and left empty."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository at one commit."""

    repo: str
    """Its id as the hub calls it now, whatever name was asked for."""

    commit: str
    """The commit hash that a branch or a tag stood for."""

    files: tuple[RemoteFile, ...]

    licence: str
    """As its card says; empty if it says nothing."""

    gated: bool
    """Whether its licence must be accepted before files are served."""

    endpoint: str
    """The hub that described it."""


def endpoint() -> str:
    """Address of the hub."""
    return os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or _ENDPOINT


def describe(repo: str, revision: str | None = None) -> Remote:
    """What *repo* holds at *revision*, by default its newest.

    :raises HubError: it does not exist, may not be read, or cannot be asked for.
    """
    asked = Asked(repo, endpoint(), revision or "")
    _refuse_offline(asked)
    with _meanings(asked):
        api = _library().HfApi(endpoint=asked.endpoint)
        info = _persistently(
            lambda: api.model_info(repo, revision=revision, files_metadata=True, timeout=_TIMEOUT)
        )
        return Remote(
            repo=info.id,
            commit=str(info.sha or ""),
            files=tuple(_file(sibling) for sibling in info.siblings or ()),
            licence=_licence(info),
            gated=bool(info.gated),
            endpoint=asked.endpoint,
        )


def fetch(
    remote: Remote, files: Sequence[RemoteFile], folder: Path, *, report: Reporter
) -> Mapping[str, str]:
    """Bring *files* of *remote* into *folder*; returns the SHA-256 of each, by name.

    A file has its name only when it is whole and its digest is right; until then it is
    ``<name>.incomplete``, and the next call goes on where that ends. Files that are there are
    checked again and not fetched.

    :raises HubError: a file cannot be fetched or written, or is not what the hub announced.
    """
    total = sum(max(file.size, 0) for file in files)
    before = 0
    digests: dict[str, str] = {}
    for file in files:
        asked = Asked(remote.repo, remote.endpoint, remote.commit, file.name)
        _refuse_offline(asked)
        with _meanings(asked):
            folder.mkdir(parents=True, exist_ok=True)
            tell = partial(_tell, report, before, total)
            digests[file.name] = _bring(remote, file, folder, tell)
        before += (folder / file.name).stat().st_size
        _tell(report, before, total, 0)
    return digests


def _tell(report: Reporter, before: int, total: int, done: int) -> None:
    """Report bytes over all files; a total that nobody announced grows with them."""
    report.progress("download", before + done, max(total, before + done))


def _bring(remote: Remote, file: RemoteFile, folder: Path, progress: Callable[[int], None]) -> str:
    """One file, whole and checked; returns its SHA-256."""
    path = folder / file.name
    if path.name != file.name:
        raise HubError(f"{remote.repo} names a file {file.name!r}, which is a path")
    if path.is_file():
        found = _checked(path, file)
        if found:
            return found
        path.unlink()
    partial = path.with_name(path.name + PARTIAL)
    known = _persistently(lambda: _attempt(remote, file, partial, progress), lambda: _size(partial))
    found = _checked(partial, known)
    if not found:
        partial.unlink()
        raise HubError(
            f"{file.name} of {remote.repo} is not what {remote.endpoint} announced: its checksum"
            " differs",
            mend="run again to fetch it anew",
        )
    partial.replace(path)
    return found


def _attempt(
    remote: Remote, file: RemoteFile, partial: Path, progress: Callable[[int], None]
) -> RemoteFile:
    """Ask where the file is, and add to *partial* what it lacks; returns what the file must be."""
    library = _library()
    url = library.hf_hub_url(
        remote.repo, file.name, revision=remote.commit, endpoint=remote.endpoint
    )
    found = library.get_hf_file_metadata(url, timeout=_TIMEOUT, endpoint=remote.endpoint)
    known = _completed(file, found.size, found.etag or "")
    if not known.sha256 and not known.blob:
        raise HubError(
            f"{remote.endpoint} names no checksum of {file.name}", mend="set HF_ENDPOINT to another"
        )
    start = _size(partial)
    if known.size >= 0 and start > known.size:
        partial.unlink()
        start = 0
    if start == known.size:
        partial.touch()
        return known
    _stream(urljoin(url, found.location), remote.endpoint, partial, start, progress)
    return known


def _stream(url: str, hub: str, partial: Path, start: int, progress: Callable[[int], None]) -> None:
    """Append the bytes of *url* from *start* on to *partial*."""
    utils = _library().utils
    trusted = _origin(url) in {_origin(hub), *_TRUSTED}
    headers = utils.build_hf_headers(token=None if trusted else False)
    headers["Accept-Encoding"] = "identity"  # so that bytes can be counted
    if start:
        headers["Range"] = f"bytes={start}-"
    answer = utils.http_stream_backoff(
        "GET",
        url,
        headers=headers,
        timeout=_TIMEOUT,
        max_retries=0,
        retry_on_exceptions=(),
        retry_on_status_codes=(),
    )
    with answer as response:
        utils.hf_raise_for_status(response)
        goes_on = response.status_code == 206 and _begins_at(response, start)
        done = start if goes_on else 0
        with partial.open("ab" if goes_on else "wb") as out:
            for chunk in response.iter_bytes(_CHUNK):
                out.write(chunk)
                done += len(chunk)
                progress(done)


def _begins_at(response: Any, start: int) -> bool:
    """Whether a partial answer begins where we asked it to."""
    return str(response.headers.get("Content-Range", "")).startswith(f"bytes {start}-")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _completed(file: RemoteFile, size: int | None, etag: str) -> RemoteFile:
    """What the listing lacks, taken from the file's own headers; some mirrors list names only."""
    if file.sha256 or file.blob:
        return file
    return RemoteFile(
        file.name,
        file.size if file.size >= 0 or size is None else size,
        sha256=etag if len(etag) == 64 else "",
        blob=etag if len(etag) == 40 else "",
    )


def _checked(path: Path, file: RemoteFile) -> str:
    """The SHA-256 of *path* if it is what *file* says; empty if it is not."""
    size = path.stat().st_size
    if file.size not in (-1, size):
        return ""
    large, small = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as content:
        while chunk := content.read(1 << 20):
            large.update(chunk)
            if file.blob:
                small.update(chunk)
    if file.sha256 and large.hexdigest() != file.sha256:
        return ""
    if file.blob and small.hexdigest() != file.blob:
        return ""
    return large.hexdigest()


def _file(sibling: RepoSibling) -> RemoteFile:
    size = -1 if sibling.size is None else sibling.size
    if sibling.lfs is not None:
        return RemoteFile(sibling.rfilename, size, sha256=sibling.lfs.sha256)
    return RemoteFile(sibling.rfilename, size, blob=sibling.blob_id or "")


def _licence(info: Any) -> str:
    """The licence that a model's card or its tags name."""
    card = getattr(info, "card_data", None)
    named = getattr(card, "license", None)
    if isinstance(named, str) and named:
        return named
    tags = info.tags or ()
    return next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), "")


def _refuse_offline(asked: Asked) -> None:
    """The library reads these variables once, when it is imported; we honour them at each call."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(name, "").strip().upper() in {"1", "ON", "YES", "TRUE"}:
            raise MEANINGS["OfflineModeIsEnabled"](OSError(), asked)


@contextmanager
def _meanings(asked: Asked) -> Iterator[None]:
    """Every foreign exception becomes one of ours here."""
    try:
        yield
    except HubError:
        raise
    except Exception as error:
        raise meaning(error, asked) from error


def _persistently(action: Callable[[], T], done: Callable[[], int] | None = None) -> T:
    """Do *action* again after failures that pass by themselves.

    *done* counts what earlier attempts brought: as long as it grows there is a next attempt.
    Without it a request that took its whole time is not made twice.
    """
    waits, reached, moved = iter(_WAITS), done() if done else 0, time.monotonic()
    while True:
        try:
            return action()
        except Exception as error:
            if done and done() > reached:
                waits, reached, moved = iter(_WAITS), done(), time.monotonic()
            wait = next(waits, None)
            patience = _PATIENCE if done else _TIMEOUT
            if wait is None or not is_passing(error) or time.monotonic() - moved > patience:
                raise
            time.sleep(wait)


def _library() -> Any:
    """``huggingface_hub``, silent: what there is to say, we say."""
    # Read by the library when it is imported: no words about this machine in its requests.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    library: Any = import_module("huggingface_hub")
    utils: Any = import_module("huggingface_hub.utils")
    utils.logging.set_verbosity(utils.logging.CRITICAL)
    utils.disable_progress_bars()
    return library
