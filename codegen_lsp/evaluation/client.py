"""A small language client: starts the real server on stdio and talks raw JSON-RPC to it.

Knows framing, request ids and the few messages that completions need, so that measurements see
exactly what an editor sees. It has no editor's state: texts and positions are the caller's. It
does not import the server or any LSP library on purpose.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from codegen_lsp.errors import CodegenError

__all__ = ["SERVER_COMMAND", "Client"]

SERVER_COMMAND: Sequence[str] = (sys.executable, "-m", "codegen_lsp", "--stdio")
"""The server of this very installation."""

EXIT_SECONDS = 10.0

CAPABILITIES: Mapping[str, object] = {
    "general": {"positionEncodings": ["utf-32", "utf-16"]},
    "textDocument": {"inlineCompletion": {"dynamicRegistration": False}},
    "workspace": {"configuration": False},
}

INVOKED = 1
"""``InlineCompletionTriggerKind.Invoked`` of LSP 3.18; 2 is automatic."""


class Client:
    """One server process and the connection to it; an asynchronous context manager."""

    def __init__(
        self,
        options: Mapping[str, object] | None = None,
        *,
        command: Sequence[str] = SERVER_COMMAND,
        environment: Mapping[str, str] | None = None,
        timeout: float = 120.0,
    ) -> None:
        self._options = dict(options or {})
        self._command = command
        self._environment = {**os.environ, **(environment or {})}
        self._timeout = timeout
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._gone = ""

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._running.pid

    async def start(self) -> Mapping[str, Any]:
        """Start the process and wait for the answer to ``initialize``; returns that answer."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=self._environment,
        )
        self._reader = asyncio.create_task(self._read())
        parameters = {
            "processId": os.getpid(),
            "rootUri": None,
            "capabilities": CAPABILITIES,
            "initializationOptions": self._options,
        }
        answer = await self.request("initialize", parameters)
        assert isinstance(answer, dict)  # noqa: S101 - narrows for the type checker
        self.notify("initialized", {})
        return answer

    async def request(self, method: str, parameters: Mapping[str, object] | None) -> Any:
        """The result of one request.

        :raises CodegenError: the server answered with an error, too late or not at all.
        """
        if self._gone:
            raise CodegenError(self._gone)
        number = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._send({"id": number, "method": method, "params": parameters})
        try:
            return await asyncio.wait_for(future, self._timeout)
        except TimeoutError:
            raise CodegenError(
                f"the server did not answer {method} in {self._timeout:g} s"
            ) from None
        finally:
            self._waiting.pop(number, None)

    def notify(self, method: str, parameters: Mapping[str, object] | None = None) -> None:
        """Send a message that has no answer."""
        self._send({"method": method, "params": parameters})

    def open(self, uri: str, language_id: str, text: str) -> None:
        """``textDocument/didOpen``, version 1."""
        document = {"uri": uri, "languageId": language_id, "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def close_document(self, uri: str) -> None:
        """``textDocument/didClose``."""
        self.notify("textDocument/didClose", {"textDocument": {"uri": uri}})

    async def complete(self, uri: str, line: int, character: int) -> list[dict[str, Any]]:
        """The items of one invoked inline completion at a 0-based UTF-32 position."""
        answer = await self.request(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": uri},
                "position": {"line": line, "character": character},
                "context": {"triggerKind": INVOKED},
            },
        )
        if answer is None:
            return []
        return list(answer["items"] if isinstance(answer, dict) else answer)

    async def stop(self) -> int:
        """``shutdown``, ``exit``; returns the exit code. A server that hangs is killed."""
        process = self._running
        with contextlib.suppress(CodegenError):
            await self.request("shutdown", None)
        with contextlib.suppress(CodegenError):
            self.notify("exit")
        try:
            return await asyncio.wait_for(process.wait(), EXIT_SECONDS)
        except TimeoutError:
            process.kill()
            return await process.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise CodegenError("the server was not started")
        return self._process

    def _send(self, message: Mapping[str, object]) -> None:
        stdin = self._running.stdin
        if stdin is None or stdin.is_closing():
            raise CodegenError("the server went away")
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    async def _read(self) -> None:
        stdout = self._running.stdout
        assert stdout is not None  # noqa: S101 - asked for with PIPE
        try:
            while True:
                header = await stdout.readuntil(b"\r\n\r\n")
                self._receive(json.loads(await stdout.readexactly(_length(header))))
        except asyncio.IncompleteReadError:
            self._fail("the server went away; run it with --debug to see why")
        except (ValueError, asyncio.LimitOverrunError) as error:
            self._fail(f"the server wrote something that is no message ({error})")

    def _receive(self, message: Mapping[str, Any]) -> None:
        if "method" in message:
            if "id" in message:  # a request of the server's: nothing to tell it
                self._send({"id": message["id"], "result": None})
            return
        future = self._waiting.get(message.get("id", 0))
        if future is None or future.done():
            return
        if "error" in message:
            error = message["error"]
            future.set_exception(CodegenError(f"{error.get('message')} ({error.get('code')})"))
        else:
            future.set_result(message.get("result"))

    def _fail(self, reason: str) -> None:
        self._gone = reason
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(CodegenError(reason))


def _length(header: bytes) -> int:
    for line in header.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    raise ValueError("a message without Content-Length")
