"""A JSON-RPC client over pipes that can send anything, also what no editor would send.

Knows framing and ids, and no LSP types: what the server writes is checked as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PATIENCE = float(os.environ.get("CODEGEN_LSP_TEST_PATIENCE", "60"))
"""Seconds until something awaited counts as missing; the machine may be busy."""

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]


def frame(body: bytes) -> bytes:
    """A message with its header."""
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def message(method: str, params: object = None, id: int | str | None = None) -> bytes:
    """A framed request (with ``id``) or notification."""
    content: Json = {"jsonrpc": "2.0", "method": method}
    if id is not None:
        content["id"] = id
    if params is not None:
        content["params"] = params
    return frame(json.dumps(content).encode())


class RawClient:
    """A server process and the two pipes to it."""

    def __init__(self, command: Sequence[str], **environment: str) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, **environment},
        )
        self.notifications: list[Json] = []
        self.answers: dict[int | str, Json] = {}
        self.errors: list[str] = []
        self.ids = 0
        self._arrived: queue.Queue[Json | None] = queue.Queue()
        self._threads = [
            threading.Thread(target=target, daemon=True)
            for target in (self._read_messages, self._read_errors)
        ]
        for thread in self._threads:
            thread.start()

    def _read_messages(self) -> None:
        assert self.process.stdout is not None
        while header := self.process.stdout.readline():
            length = int(header.removeprefix(b"Content-Length:"))
            while self.process.stdout.readline().strip():
                pass
            self._arrived.put(json.loads(self.process.stdout.read(length)))
        self._arrived.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line.decode("utf-8", "replace").rstrip())

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def notify(self, method: str, params: object = None) -> None:
        """Send a notification."""
        self.send(message(method, params))

    def request(self, method: str, params: object = None) -> Json:
        """Send a request and wait for its answer, the whole message."""
        return self.answer(self.post(method, params))

    def post(self, method: str, params: object = None) -> int:
        """Send a request; its id."""
        self.ids += 1
        self.send(message(method, params, self.ids))
        return self.ids

    def respond(self, id: int | str, **content: object) -> None:
        """Answer a request of the server with ``result=`` or ``error=``."""
        self.send(frame(json.dumps({"jsonrpc": "2.0", "id": id, **content}).encode()))

    def answer(self, id: int | str) -> Json:
        """Wait for the answer to a request."""
        self._wait(lambda: id in self.answers, f"answer to request {id}")
        return self.answers.pop(id)

    def _wait(self, arrived: Any, what: str) -> None:
        limit = time.monotonic() + PATIENCE
        while not arrived():
            try:
                content = self._arrived.get(timeout=max(limit - time.monotonic(), 0.01))
            except queue.Empty:
                raise AssertionError(f"no {what}; stderr: {self.errors}") from None
            assert content is not None, f"server ended before {what}; stderr: {self.errors}"
            self._sort(content)

    def _sort(self, content: Json) -> None:
        if "method" not in content:
            self.answers[content["id"]] = content
        else:
            self.notifications.append(content)

    def asked(self, method: str) -> Json:
        """Wait for a request or notification of the server."""
        found = [one for one in self.notifications if one["method"] == method]
        if not found:
            self._wait(lambda: any(one["method"] == method for one in self.notifications), method)
            found = [one for one in self.notifications if one["method"] == method]
        self.notifications.remove(found[0])
        return found[0]

    def logged(self, part: str) -> str:
        """Wait for a line with ``part`` on stderr."""
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            for line in list(self.errors):
                if part in line:
                    return line
            time.sleep(0.01)
        raise AssertionError(f"nothing logged with {part!r}; stderr: {self.errors}")

    def initialize(self, **params: Any) -> Json:
        """The handshake; the answer to ``initialize``."""
        params = {"processId": os.getpid(), "rootUri": None, "capabilities": {}} | params
        answer = self.request("initialize", params)
        self.notify("initialized", {})
        return answer

    def open(self, uri: str, text: str, language: str = "python") -> None:
        """Open a document."""
        item = {"uri": uri, "languageId": language, "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def change(self, uri: str, *changes: Json, version: int = 2) -> None:
        """Change a document."""
        document = {"uri": uri, "version": version}
        self.notify(
            "textDocument/didChange", {"textDocument": document, "contentChanges": list(changes)}
        )

    def complete(self, uri: str, line: int, character: int, kind: int = 1) -> Json:
        """Ask for an inline completion and wait for it; the result."""
        answer = self.answer(self.post_completion(uri, line, character, kind))
        assert "error" not in answer, answer
        result: Json = answer["result"]
        return result

    def post_completion(self, uri: str, line: int, character: int, kind: int = 1) -> int:
        """Ask for an inline completion; the request's id."""
        return self.post(
            "textDocument/inlineCompletion", completion_params(uri, line, character, kind)
        )

    def close_input(self) -> None:
        """End of file on the server's stdin."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def wait(self) -> int:
        """Wait for the server's process; its exit code."""
        return self.process.wait(PATIENCE)

    def end(self) -> None:
        """Leave no process behind, whatever the test did."""
        self.close_input()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def completion_params(uri: str, line: int, character: int, kind: int = 1) -> Json:
    """Parameters of ``textDocument/inlineCompletion``; ``kind`` 1 is invoked, 2 automatic."""
    return {
        "textDocument": {"uri": uri},
        "position": {"line": line, "character": character},
        "context": {"triggerKind": kind},
    }


def real_command(*arguments: str) -> list[str]:
    """The command line of the real server."""
    return [sys.executable, "-m", "codegen_lsp", "--stdio", *arguments]


def echo_command() -> list[str]:
    """The command line of the server with the echoing service (``echo_server``)."""
    return [sys.executable, "-m", "tests.server.echo_server"]
