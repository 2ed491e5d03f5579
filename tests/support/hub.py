"""A Hugging Face hub on loopback: real HTTP, real redirects, real faults.

Speaks what ``huggingface_hub`` asks for when it describes a repository and fetches its files, with
the headers and error codes of the real hub: large files are redirected to another origin (the same
server under another name), partial content, renamed repositories, gated and private ones. Faults
are switched on per request; every request is recorded. Also answers as an HTTP proxy.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

LARGE = (".bin", ".safetensors", ".h5", ".msgpack")
"""Endings of files that the real hub keeps outside git."""

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass
class Repository:
    """What a repository holds, and who may read it."""

    id: str
    files: Mapping[str, bytes]
    licence: str = "bsd-3-clause"
    gated: bool = False
    private: bool = False
    tokens: tuple[str, ...] = ()
    """Who may read a gated or a private one."""
    revisions: dict[str, str] = field(default_factory=dict)
    """Commit hashes by branch and tag."""

    def __post_init__(self) -> None:
        state = hashlib.sha1(self.id.encode())
        for name, content in sorted(self.files.items()):
            state.update(name.encode() + content)
        self.commit = state.hexdigest()
        self.revisions = {"main": self.commit, self.commit: self.commit, **self.revisions}


@dataclass
class Fault:
    """What goes wrong with the next requests that match."""

    match: str
    """Part of the path, for example ``/api/`` or ``model.safetensors``."""
    status: int = 0
    """Answer with this status; 0 to answer."""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """Close the connection after so many bytes of the body."""
    garble: bool = False
    """As many bytes as announced, but others."""
    slow: float = 0.0
    """Seconds between pieces of 64 KiB."""
    body: bytes = b""
    """Sent with ``status``."""
    method: str = ""
    """Only this one; empty for any."""
    times: int = -1
    """How often; -1 for ever."""


@dataclass(frozen=True)
class Seen:
    """One request, as it was."""

    method: str
    path: str
    host: str
    range: str
    authorization: str
    agent: str


class Hub:
    """The server and its switches."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.renamed: dict[str, str] = {}
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.sent: dict[str, int] = {}
        """Bytes of bodies that were sent, by file name."""
        self.connections: set[socket.socket] = set()
        self.lists_blobs = True
        """Whether the listing has sizes and digests; some mirrors have not."""
        self.knows_ranges = True
        """Whether a part of a file can be asked for."""
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.cdn = f"http://localhost:{self.port}/cdn"
        """Another origin: a token must not come here."""

    def start(self) -> None:
        """Answer from now on."""
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Answer no more: open connections break, and the port refuses new ones."""
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def add(self, name: str, files: Mapping[str, bytes] | Path, **more: Any) -> Repository:
        """Publish *files*, or what is in a folder, as the repository *name*."""
        if isinstance(files, Path):
            files = {path.name: path.read_bytes() for path in sorted(files.iterdir())}
        self.repositories[name] = Repository(name, files, **more)
        return self.repositories[name]

    def fail(self, match: str, **more: Any) -> Fault:
        """Let requests whose path contains *match* go wrong."""
        self.faults.append(Fault(match, **more))
        return self.faults[-1]

    def asked(self, part: str, method: str = "GET") -> list[Seen]:
        """Requests whose path contains *part*."""
        return [seen for seen in self.seen if part in seen.path and seen.method == method]

    def fault_of(self, path: str, method: str) -> Fault | None:
        """The first fault that applies, used up by one."""
        for fault in self.faults:
            if fault.match in path and fault.method in ("", method) and fault.times != 0:
                fault.times -= 1
                return fault
        return None


@contextmanager
def running() -> Iterator[Hub]:
    """A hub that answers until the block ends."""
    hub = Hub()
    hub.start()
    try:
        yield hub
    finally:
        hub.stop()


def environment(hub: Hub, home: Path) -> dict[str, str]:
    """What a process must be told to know this hub and no other, and no token of ours."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in PROXIES and not name.startswith(("HF_", "HUGGING_FACE"))
    }
    return {
        **kept,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home / "hf"),
        "PYTHONUTF8": "1",
        "CODEGEN_LSP_HOME": str(home),
    }


def connect(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process know this hub and no other."""
    from huggingface_hub import constants

    for name in list(os.environ):
        if name.upper() in PROXIES or name.startswith(("HF_", "HUGGING_FACE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    # The token file's place is read once, when the library is imported.
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", os.devnull)
    importlib.import_module("huggingface_hub.utils").close_session()  # its client remembers proxies


def blob(content: bytes) -> str:
    """Git's digest of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Remember the connection, so that it can be broken."""
        super().setup()
        self.hub.connections.add(self.connection)

    def finish(self) -> None:
        """Forget the connection."""
        with contextlib.suppress(OSError):
            super().finish()
        self.hub.connections.discard(self.connection)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        url = urlsplit(self.path)  # of a proxy the whole address is asked
        header = self.headers
        token = header.get("Authorization", "")
        self.hub.seen.append(
            Seen(
                self.command,
                self.path,
                header.get("Host", ""),
                header.get("Range", ""),
                token,
                header.get("User-Agent", ""),
            )
        )
        self.fault = self.hub.fault_of(self.path, self.command)
        if self.fault is not None and self.fault.status:
            self._send(self.fault.status, self.fault.body, self.fault.headers)
            return
        path = unquote(url.path)
        if path.startswith("/cdn/"):
            self._cdn(path.removeprefix("/cdn/"))
        elif path.startswith("/api/models/"):
            self._describe(path, parse_qs(url.query))
        else:
            self._resolve(path)

    def _repository(self, name: str) -> Repository | None:
        """The repository, or ``None`` after the refusal was sent."""
        if name in self.hub.renamed:
            moved = self.path.replace(name, self.hub.renamed[name])
            self._send(307, headers={"Location": moved})
            return None
        repository = self.hub.repositories.get(name)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        known = {token for repo in self.hub.repositories.values() for token in repo.tokens}
        if token and known and token not in known:
            self._refuse(401, "", "Invalid credentials in Authorization header")
            return None
        if repository is None or (repository.private and token not in repository.tokens):
            self._refuse(404 if token else 401, "RepoNotFound", "Invalid username or password.")
            return None
        return repository

    def _describe(self, path: str, query: Mapping[str, list[str]]) -> None:
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path)
        if found is None:
            self._refuse(404, "RepoNotFound", "")
            return
        repository = self._repository(found[1])
        if repository is None:
            return
        commit = repository.revisions.get(found[2] or "main")
        if commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {found[2]}")
            return
        blobs = "blobs" in query and self.hub.lists_blobs
        answer = {
            "_id": "0123456789abcdef01234567",
            "id": repository.id,
            "modelId": repository.id,
            "sha": commit,
            "private": repository.private,
            "gated": "auto" if repository.gated else False,
            "disabled": False,
            "tags": ["transformers", f"license:{repository.licence}"],
            "cardData": {"license": repository.licence},
            "siblings": [
                _sibling(name, content, blobs) for name, content in sorted(repository.files.items())
            ],
        }
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _resolve(self, path: str) -> None:
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        repository = None if found is None else self._repository(found[1])
        if found is None or repository is None:
            if found is None:
                self._refuse(404, "RepoNotFound", "")
            return
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        commit, name = repository.revisions.get(found[2]), found[3]
        if repository.gated and token not in repository.tokens:
            self._refuse(403 if token else 401, "GatedRepo", "Access to this model is restricted")
        elif commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {found[2]}")
        elif name not in repository.files:
            self._refuse(404, "EntryNotFound", "Entry not found")
        else:
            self._file(repository, commit, name)

    def _file(self, repository: Repository, commit: str, name: str) -> None:
        content = repository.files[name]
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if not name.endswith(LARGE):
            self._content(name, content, {**headers, "ETag": f'"{blob(content)}"'})
            return
        digest = hashlib.sha256(content).hexdigest()
        headers |= {
            "Location": f"{self.hub.cdn}/{repository.id}/{name}?signature=1",
            "X-Linked-Size": str(len(content)),
            "X-Linked-ETag": f'"{digest}"',
            "ETag": f'"{digest}"',
        }
        self._send(302, b"Found", headers)

    def _cdn(self, path: str) -> None:
        repository, _, name = path.rpartition("/")
        self._content(name, self.hub.repositories[repository].files[name], {"ETag": '"cdn"'})

    def _content(self, name: str, content: bytes, headers: Mapping[str, str]) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        wanted = wanted if self.hub.knows_ranges else None
        start, status = (int(wanted[1]), 206) if wanted else (0, 200)
        if start >= len(content) > 0:
            self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        if wanted:
            last = len(content) - 1
            headers = {**headers, "Content-Range": f"bytes {start}-{last}/{len(content)}"}
        if self.fault is not None and self.fault.garble:
            content = bytes(255 - byte for byte in content)
        self._send(status, content[start:], headers, name)

    def _refuse(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": message}
        if status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="Authentication required"'
        body = json.dumps({"error": message}).encode()
        self._send(status, body, {name: value for name, value in headers.items() if value})

    def _send(
        self,
        status: int,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        name: str = "",
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        fault = self.fault
        end = len(body) if fault is None or fault.cut_after is None else fault.cut_after
        try:
            for at in range(0, min(end, len(body)), 1 << 16):
                piece = body[at : min(at + (1 << 16), end)]
                self.wfile.write(piece)
                self.hub.sent[name] = self.hub.sent.get(name, 0) + len(piece)
                if fault is not None and fault.slow:
                    time.sleep(fault.slow)
        except OSError:  # the client has gone
            self.close_connection = True
        if end < len(body):
            self.close_connection = True


def _sibling(name: str, content: bytes, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": name}
    known: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": blob(content)}
    if name.endswith(LARGE):
        known["blobId"] = blob(b"version https://git-lfs.github.com/spec/v1\n" + name.encode())
        known["lfs"] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
            "pointerSize": 134,
        }
    return known
