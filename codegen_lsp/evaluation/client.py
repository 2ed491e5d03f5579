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
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from codegen_lsp.errors import CodegenError

__all__ = ["AUTOMATIC", "INVOKED", "SERVER_COMMAND", "Client"]

SERVER_COMMAND: Sequence[str] = (sys.executable, "-m", "codegen_lsp", "--stdio")
"""The server of this very installation."""

EXIT_SECONDS = 10.0

CAPABILITIES: Mapping[str, object] = {
    "general": {"positionEncodings": ["utf-32", "utf-16"]},
    "textDocument": {"inlineCompletion": {"dynamicRegistration": False}},
    "workspace": {"configuration": False, "workspaceFolders": True},
}

INVOKED, AUTOMATIC = 1, 2
"""``InlineCompletionTriggerKind`` of LSP 3.18."""

METHOD_NOT_FOUND = -32601

READY_SECONDS = 0.05
"""How often a server is asked whether it knows its workspace."""


class Client:
    """One server process and the connection to it; an asynchronous context manager."""

    def __init__(
        self,
        options: Mapping[str, object] | None = None,
        *,
        command: Sequence[str] = SERVER_COMMAND,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        timeout: float = 120.0,
    ) -> None:
        self._options = dict(options or {})
        self._command = command
        self._environment = {**os.environ, **(environment or {})}
        self._folder = folder
        self._timeout = timeout
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
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
            **_workspace(self._folder),
            "capabilities": CAPABILITIES,
            "initializationOptions": self._options,
        }
        answer = await self.request("initialize", parameters)
        assert isinstance(answer, dict)  # noqa: S101 - narrows for the type checker
        self.notify("initialized", {})
        return answer

    async def request(self, method: str, parameters: Mapping[str, object] | None) -> Any:
        """The result of one request; given up (the task cancelled), it is cancelled there too.

        :raises CodegenError: the server answered with an error, too late or not at all.
        """
        answer = await self._exchange(method, parameters)
        if "error" in answer:
            error = answer["error"]
            raise CodegenError(f"{error.get('message')} ({error.get('code')})")
        return answer.get("result")

    async def _exchange(
        self, method: str, parameters: Mapping[str, object] | None
    ) -> Mapping[str, Any]:
        """The whole answer to one request, be it a result or an error."""
        if self._gone:
            raise CodegenError(self._gone)
        number = next(self._ids)
        future: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._send({"id": number, "method": method, "params": parameters})
        try:
            return await asyncio.wait_for(future, self._timeout)
        except TimeoutError:
            raise CodegenError(
                f"the server did not answer {method} in {self._timeout:g} s"
            ) from None
        except asyncio.CancelledError:
            self.notify("$/cancelRequest", {"id": number})
            raise
        finally:
            self._waiting.pop(number, None)

    def notify(self, method: str, parameters: Mapping[str, object] | None = None) -> None:
        """Send a message that has no answer."""
        self._send({"method": method, "params": parameters})

    def open(self, uri: str, language_id: str, text: str) -> None:
        """``textDocument/didOpen``, version 1."""
        document = {"uri": uri, "languageId": language_id, "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def insert(self, uri: str, version: int, line: int, character: int, text: str) -> None:
        """``textDocument/didChange``: something was typed at a 0-based UTF-32 position."""
        self.replace(uri, version, (line, character), (line, character), text)

    def replace(
        self, uri: str, version: int, start: tuple[int, int], end: tuple[int, int], text: str
    ) -> None:
        """``textDocument/didChange``: what stood between two 0-based UTF-32 positions is *text*."""
        between = {
            "start": {"line": start[0], "character": start[1]},
            "end": {"line": end[0], "character": end[1]},
        }
        parameters = {
            "textDocument": {"uri": uri, "version": version},
            "contentChanges": [{"range": between, "text": text}],
        }
        self.notify("textDocument/didChange", parameters)

    def close_document(self, uri: str) -> None:
        """``textDocument/didClose``."""
        self.notify("textDocument/didClose", {"textDocument": {"uri": uri}})

    async def complete(
        self, uri: str, line: int, character: int, trigger: int = INVOKED
    ) -> list[dict[str, Any]]:
        """The items of one inline completion at a 0-based UTF-32 position."""
        answer = await self.request(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": uri},
                "position": {"line": line, "character": character},
                "context": {"triggerKind": trigger},
            },
        )
        if answer is None:
            return []
        return list(answer["items"] if isinstance(answer, dict) else answer)

    async def ready(self) -> None:
        """Wait until the server knows the files of its workspace, if it says so at all.

        :raises CodegenError: it answered with an error, or still reads after the timeout.
        """
        end = asyncio.get_running_loop().time() + self._timeout
        while True:
            known = await self._ask_if_known("codegen/context")
            if known is None or known.get("ready", True):
                return
            if asyncio.get_running_loop().time() > end:
                raise CodegenError(f"the server still reads after {self._timeout:g} s")
            await asyncio.sleep(READY_SECONDS)

    async def last_completion(self) -> Mapping[str, Any] | None:
        """What the server says of the completion it answered last, if it says so at all.

        :raises CodegenError: it answered with an error.
        """
        return await self._ask_if_known("codegen/lastCompletion")

    async def statistics(self) -> Mapping[str, Any] | None:
        """What the server counted since it started, if it counts at all.

        :raises CodegenError: it answered with an error.
        """
        return await self._ask_if_known("codegen/statistics")

    async def _ask_if_known(self, method: str) -> Mapping[str, Any] | None:
        """The result of a request of our own; ``None`` from a server that does not know it."""
        answer = await self._exchange(method, {})
        error = answer.get("error")
        if error is not None and error.get("code") != METHOD_NOT_FOUND:
            raise CodegenError(f"{error.get('message')} ({error.get('code')})")
        result = answer.get("result")
        return result if isinstance(result, dict) else None

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
        try:
            await self.start()
        except BaseException:
            if self._process is not None and self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
            raise
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
        except (asyncio.IncompleteReadError, OSError):
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
        future.set_result(message)

    def _fail(self, reason: str) -> None:
        self._gone = reason
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(CodegenError(reason))


def _workspace(folder: Path | None) -> Mapping[str, object]:
    """What ``initialize`` says of the folder that is open."""
    if folder is None:
        return {"rootUri": None}
    uri = folder.as_uri()
    return {"rootUri": uri, "workspaceFolders": [{"uri": uri, "name": folder.name}]}


def _length(header: bytes) -> int:
    for line in header.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    raise ValueError("a message without Content-Length")
