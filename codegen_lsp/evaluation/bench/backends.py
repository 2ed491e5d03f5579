"""Who answers while someone types: our own server over stdio, as an editor asks it.

A backend is told of every change and asked for what could be inserted. Knows documents and
messages; does not know what is typed next, or how an answer is judged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from codegen_lsp.errors import CodegenError
from codegen_lsp.evaluation.client import AUTOMATIC, Client

__all__ = ["Backend", "OwnServer", "Reply", "position"]

WARM_UP: Final = "def first(values):\n    return "
"""A document that makes the server load its model before anything is measured."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to one request."""

    text: str = ""
    """What could be inserted at the cursor; empty: nothing is suggested."""

    first_ms: float | None = None
    """From the request to the first token, where the answer comes in parts."""

    source: str = ""
    """Where it came from, as the one who answers says."""

    inside_ms: float | None = None
    """The whole of it as the server itself measured it."""


class Backend(Protocol):
    """The seam between a typist and whoever answers."""

    async def start(self, folder: Path) -> int:
        """Start, with *folder* as the workspace, until answers are quick; the process id."""
        ...

    def opened(self, path: str, text: str) -> None:
        """The file *path*, relative to the workspace, was opened."""
        ...

    def moved(self, path: str, text: str, offset: int) -> None:
        """The cursor went to *offset* of *text*, and no key was typed."""
        ...

    def changed(self, path: str, text: str, offset: int, removed: int, inserted: str) -> None:
        """At *offset* of *text*, *removed* characters were replaced by *inserted*."""
        ...

    def closed(self, path: str) -> None:
        """The file was closed; it is on disk as it was."""
        ...

    async def ask(self, path: str, text: str, offset: int) -> Reply:
        """What could be inserted at *offset* of *text*. Cancelled, the request is given up.

        :raises CodegenError: whoever answers went away.
        """
        ...

    async def explained(self, reply: Reply) -> Reply:
        """The same reply with what else is known of it; asked at once or never."""
        ...

    async def counters(self) -> Mapping[str, float]:
        """What was counted since the start, by name; empty where nothing is."""
        ...

    async def stop(self) -> None:
        """End the process. Idempotent."""
        ...


def position(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 0, of a text with one line end, the line feed."""
    return text.count("\n", 0, offset), offset - text.rfind("\n", 0, offset) - 1


@dataclass(slots=True)
class OwnServer:
    """Our language server, with the settings given."""

    options: Mapping[str, object]
    _client: Client | None = None
    _folder: Path = field(default_factory=Path)
    _versions: dict[str, int] = field(default_factory=dict)

    @property
    def _running(self) -> Client:
        if self._client is None:
            raise CodegenError("the server was not started")
        return self._client

    async def start(self, folder: Path) -> int:
        """Start the server; wait for its workspace and its model."""
        self._client, self._folder = Client(self.options, folder=folder), folder
        await self._client.start()
        await self._client.ready()
        self._client.open("untitled:warm-up.py", "python", WARM_UP)
        await self._client.complete("untitled:warm-up.py", *position(WARM_UP, len(WARM_UP)))
        self._client.close_document("untitled:warm-up.py")
        return self._client.pid

    def opened(self, path: str, text: str) -> None:
        """``textDocument/didOpen``."""
        self._versions[path] = 1
        self._running.open(self._uri(path), "python", text)

    def moved(self, path: str, text: str, offset: int) -> None:
        """``codegen/didMoveCursor``, as our Neovim client sends it."""
        line, column = position(text, offset)
        place = {"line": line, "character": column}
        uri = self._uri(path)
        self._running.notify(
            "codegen/didMoveCursor", {"textDocument": {"uri": uri}, "position": place}
        )

    def changed(self, path: str, text: str, offset: int, removed: int, inserted: str) -> None:
        """``textDocument/didChange``."""
        self._versions[path] += 1
        start, end = position(text, offset), position(text, offset + removed)
        self._running.replace(self._uri(path), self._versions[path], start, end, inserted)

    def closed(self, path: str) -> None:
        """``textDocument/didClose``."""
        self._running.close_document(self._uri(path))

    async def ask(self, path: str, text: str, offset: int) -> Reply:
        """``textDocument/inlineCompletion``; an answer that replaces text is none to a typist."""
        line, column = position(text, offset)
        items = await self._running.complete(self._uri(path), line, column, AUTOMATIC)
        return Reply(_inserted(items[0], line, column)) if items else Reply()

    async def explained(self, reply: Reply) -> Reply:
        """What the server says of the completion it answered last."""
        known = await self._running.last_completion() if reply.text else None
        if known is None or known.get("text") != reply.text:
            return reply
        timings = known.get("timings") or {}
        return Reply(
            reply.text, reply.first_ms, str(known.get("source", "")), timings.get("total_ms")
        )

    async def counters(self) -> Mapping[str, float]:
        """The numbers of ``codegen/statistics``."""
        known = await self._running.statistics() or {}
        return {
            name: float(value)
            for name, value in known.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }

    async def stop(self) -> None:
        """Shut the server down."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(CodegenError):
                await client.stop()

    def _uri(self, path: str) -> str:
        return (self._folder / path).as_uri()


def _inserted(item: Mapping[str, Any], line: int, column: int) -> str:
    """The text of an item that only inserts at the cursor; of others ``""``."""
    raw = item["insertText"]
    text = str(raw["value"] if isinstance(raw, dict) else raw)
    at = {"line": line, "character": column}
    place = item.get("range") or {"start": at, "end": at}
    return text if place["start"] == at and place["end"] == at else ""
