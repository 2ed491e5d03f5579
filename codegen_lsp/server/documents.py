"""The documents that an editor has open, and what a request sees of them.

pygls' own workspace is not used: it finds lines with ``str.splitlines`` and hands out live
documents. Here every request gets an immutable :class:`Spot`, taken when it is dispatched.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass

from lsprotocol import types

from codegen_lsp.server.positions import Encoding, LineIndex, Place, characters_of
from codegen_lsp.types import Snapshot

__all__ = ["DocumentStore", "Spot"]

logger = logging.getLogger(__name__)

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Spot:
    """One position in one version of one document."""

    snapshot: Snapshot

    offset: int
    """The position as a code-point offset into the snapshot's text."""

    line: int
    """Number of the line, from 0."""

    line_start: int
    """Offset of the line's first code point."""

    line_text: str
    """The line, without its end."""

    encoding: Encoding

    @property
    def column(self) -> int:
        """Code points between the start of the line and the position."""
        return self.offset - self.line_start

    def range(self, start: int, end: int) -> types.Range:
        """The LSP range between two offsets of this line; it contains the position."""
        start, end = min(start, self.offset), max(end, self.offset)
        return types.Range(self._position(start), self._position(end))

    def _position(self, offset: int) -> types.Position:
        column = min(max(offset - self.line_start, 0), len(self.line_text))
        return types.Position(self.line, characters_of(self.line_text, column, self.encoding))


@dataclass(slots=True)
class _Document:
    language_id: str
    version: int | None
    lines: LineIndex


class DocumentStore:
    """Open documents by URI."""

    def __init__(self) -> None:
        self.encoding = Encoding.UTF16
        self._documents: dict[str, _Document] = {}
        self._strangers: set[str] = set()

    def open(self, item: types.TextDocumentItem) -> None:
        """Begin to follow a document; one that was open already is replaced."""
        lines = LineIndex(_sound(item.text), self.encoding)
        self._documents[item.uri] = _Document(item.language_id, item.version, lines)
        self._strangers.discard(item.uri)

    def change(
        self,
        uri: str,
        version: int | None,
        changes: Iterable[types.TextDocumentContentChangeEvent],
    ) -> None:
        """Apply changes in order; those of a document that is not open are named and ignored."""
        document = self._documents.get(uri)
        if document is None:
            logger.warning("a change of a document that is not open is ignored: %s", uri)
            return
        for change in changes:
            text = _sound(change.text)
            if isinstance(change, types.TextDocumentContentChangePartial):
                document.lines.replace(_place(change.range.start), _place(change.range.end), text)
            else:
                document.lines = LineIndex(text, self.encoding)
        document.version = version

    def close(self, uri: str) -> bool:
        """Forget a document; whether it was open."""
        return self._documents.pop(uri, None) is not None

    def spot(self, uri: str, position: types.Position) -> Spot | None:
        """What a request at ``position`` sees, or ``None`` (named once) if nobody opened it."""
        document = self._documents.get(uri)
        if document is None:
            if uri not in self._strangers:
                self._strangers.add(uri)
                logger.warning("nothing to complete in a document that is not open: %s", uri)
            return None
        lines = document.lines
        line, column = lines.locate(_place(position))
        start = lines.line_start(line)
        snapshot = Snapshot(uri, document.language_id, lines.text, document.version)
        return Spot(snapshot, start + column, line, start, lines.line(line), self.encoding)


def _place(position: types.Position) -> Place:
    return Place(position.line, position.character)


def _sound(text: str) -> str:
    """``text`` without lone surrogates, which JSON can carry and no tokenizer can read.

    Their stand-in U+FFFD has as many UTF-16 and UTF-8 code units, so positions still agree.
    """
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
