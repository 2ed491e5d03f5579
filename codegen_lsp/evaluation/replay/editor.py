"""An editor as the server sees one: a folder, a few open files, a cursor in one of them.

Knows which files stay open, and that what is hidden is hidden on disk as well, so that no index
can give it away. Does not know what is measured.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from codegen_lsp.evaluation.client import AUTOMATIC, Client
from codegen_lsp.evaluation.replay.working_copy import WorkingCopy
from codegen_lsp.syntax.languages import language_of

__all__ = ["Buffer", "Editor", "Shown", "offset_of"]

KEPT_OPEN: Final = 3
"""Files that stay open beside the one that is worked on."""

WARM_UP: Final = "def first(values):\n    return "
"""A document that makes the server load its model before anything is measured."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What one request brought."""

    text: str | None
    """What is to be inserted at the cursor; ``None``: nothing."""

    replaced: str
    """What stands right of the cursor and is to be replaced."""

    ms: float
    data: dict[str, object] | None = None
    """What else the server says of it, if it does."""


NOTHING: Final = Shown(None, "", 0.0)


@dataclass(slots=True)
class Buffer:
    """The document that is worked on, and the cursor in it."""

    uri: str
    before: str
    after: str
    """The document is ``before + after``; the cursor stands between them."""

    version: int = 1

    @property
    def line(self) -> int:
        """The cursor's line, from 0."""
        return self.before.count("\n")

    @property
    def column(self) -> int:
        """The cursor's column in code points, from 0."""
        return len(self.before) - self.before.rfind("\n") - 1


class Editor:
    """One folder in one server."""

    def __init__(self, client: Client, copy: WorkingCopy) -> None:
        self._client = client
        self._copy = copy
        self._open: deque[str] = deque()
        """Files that are open, the one left last at the end."""

    async def begin(self) -> None:
        """Wait until the server knows the folder and has its model in memory."""
        await self._client.ready()
        buffer = Buffer("untitled:warm-up.py", WARM_UP, "")
        self._client.open(buffer.uri, "python", WARM_UP)
        await self.ask(buffer)
        self._client.close_document(buffer.uri)

    @contextmanager
    def cut(self, path: str, offset: int, hidden: str) -> Iterator[Buffer]:
        """A file as it was before *hidden* was written at *offset*, on disk and in the editor."""
        text = self._copy.texts[path]
        before, after = text[:offset], text[offset + len(hidden) :]
        if path in self._open:
            self._open.remove(path)
            self._client.close_document(self._uri(path))
        self._write(path, before + after)
        self._client.open(self._uri(path), language_of(path), before + after)
        try:
            yield Buffer(self._uri(path), before, after)
        finally:
            self._client.close_document(self._uri(path))
            self._write(path, text)

    def leave(self, path: str) -> None:
        """Keep the file open as it really is, and close the one that was left long ago."""
        self._client.open(self._uri(path), language_of(path), self._copy.texts[path])
        self._open.append(path)
        if len(self._open) > KEPT_OPEN:
            self._client.close_document(self._uri(self._open.popleft()))

    def insert(self, buffer: Buffer, text: str) -> None:
        """Type *text* at the cursor."""
        buffer.version += 1
        self._client.insert(buffer.uri, buffer.version, buffer.line, buffer.column, text)
        buffer.before += text

    async def ask(self, buffer: Buffer, patience: float | None = None) -> Shown | None:
        """What is shown at the cursor; ``None``: no answer within *patience* seconds.

        The request is cancelled then, as an editor does it when the next key comes.
        """
        begin = time.perf_counter()
        request = self._client.complete(buffer.uri, buffer.line, buffer.column, AUTOMATIC)
        try:
            items = await asyncio.wait_for(request, patience)
        except TimeoutError:
            return None
        ms = (time.perf_counter() - begin) * 1000
        if not items:
            return Shown(None, "", ms)
        shown = _shown(buffer, items[0], ms)
        return replace(shown, data=await self._said_of(items[0]))

    async def _said_of(self, item: dict[str, Any]) -> dict[str, object] | None:
        """What the server knows of an item that it answered just now, beside its text."""
        known = await self._client.last_completion()
        if known is None or known.get("text") != item["insertText"]:
            return None
        return {name: value for name, value in known.items() if name != "text"}

    def _uri(self, path: str) -> str:
        return (self._copy.root / path).as_uri()

    def _write(self, path: str, text: str) -> None:
        (self._copy.root / path).write_text(text, encoding="utf-8", newline="\n")


def _shown(buffer: Buffer, item: dict[str, Any], ms: float) -> Shown:
    """An item as an insertion at the cursor."""
    raw = item["insertText"]
    text = str(raw["value"] if isinstance(raw, dict) else raw)
    place = item.get("range")
    if not place:
        return Shown(text, "", ms)
    head = buffer.before[len(buffer.before) - buffer.column :]
    kept = head[place["start"]["character"] :]
    if place["start"]["line"] == buffer.line and text.startswith(kept):
        text = text[len(kept) :]
    end = offset_of(buffer.before + buffer.after, place["end"]["line"], place["end"]["character"])
    return Shown(text, buffer.after[: max(0, end - len(buffer.before))], ms)


def offset_of(text: str, line: int, column: int) -> int:
    """The offset of a place in a text with one line end, the line feed."""
    start = 0
    for _ in range(line):
        start = text.find("\n", start) + 1
    return start + column
