"""The documents that an editor has open, and what a request sees of them.

pygls' own workspace is not used: it finds lines with ``str.splitlines`` and hands out live
documents. Here every request gets an immutable :class:`Spot`, taken when it is dispatched.

*A notebook* is one document to whoever completes in it: the texts of its code cells in the order of
the notebook, those in the language of the cell that is asked about, each followed by a line end.
Editors know nothing of that: a spot's line is counted in the cell.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lsprotocol import types

from codegen_lsp.server.notebooks import Notebooks
from codegen_lsp.server.positions import Encoding, LineIndex, Place, characters_of
from codegen_lsp.types import Snapshot

__all__ = ["DocumentStore", "Spot"]

logger = logging.getLogger(__name__)

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Spot:
    """One position in one version of one document."""

    snapshot: Snapshot
    """Of a notebook's cell: the URI and version of the cell, the text of the notebook."""

    offset: int
    """The position as a code-point offset into the snapshot's text."""

    line: int
    """Number of the line in the document or cell, from 0."""

    line_start: int
    """Offset of the line's first code point in the snapshot's text."""

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
    """Open documents by URI, cells of notebooks among them."""

    def __init__(self) -> None:
        self.encoding = Encoding.UTF16
        self.notebooks = Notebooks()
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
    ) -> bool:
        """Apply changes in order; those of a document that is not open are named and ignored.

        Whether it was open.
        """
        document = self._documents.get(uri)
        if document is None:
            logger.warning("a change of a document that is not open is ignored: %s", uri)
            return False
        for change in changes:
            text = _sound(change.text)
            if isinstance(change, types.TextDocumentContentChangePartial):
                document.lines.replace(_place(change.range.start), _place(change.range.end), text)
            else:
                document.lines = LineIndex(text, self.encoding)
        document.version = version
        return True

    def close(self, uri: str) -> bool:
        """Forget a document; whether it was open."""
        return self._documents.pop(uri, None) is not None

    def __contains__(self, uri: object) -> bool:
        return uri in self._documents

    def text(self, uri: str) -> str:
        """The text of a document, or the code of a notebook as one; empty if it is not open."""
        document = self._documents.get(uri)
        if document is not None:
            return document.lines.text
        language = self.language(uri)
        return "".join(text for _, text in self._cells(uri, language))

    def language(self, uri: str) -> str:
        """The language of a document, or of a notebook's first code; empty if it is not open."""
        cells = (uri,) if uri in self._documents else self.notebooks.code(uri)
        known = (self._documents[cell].language_id for cell in cells if cell in self._documents)
        return next(known, "")

    def _cells(self, notebook: str, language_id: str) -> Iterator[tuple[str, str]]:
        r"""URIs and texts of a notebook's code in a language; ``\n`` is put behind each text.

        Behind each: the last line of a cell may be empty, and the next cell's first is another.
        """
        for cell in self.notebooks.code(notebook):
            document = self._documents.get(cell)
            if document is not None and document.language_id == language_id:
                yield cell, document.lines.text + "\n"

    def _around(self, uri: str, document: _Document) -> tuple[str, int]:
        """The text that a request in a document sees, and where in it the document begins."""
        notebook = self.notebooks.notebook_of(uri)
        if notebook is None or uri not in self.notebooks.code(notebook):
            return document.lines.text, 0
        cells = list(self._cells(notebook, document.language_id))
        before = [cell for cell, _ in cells].index(uri)
        return "".join(text for _, text in cells), sum(len(text) for _, text in cells[:before])

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
        text, begin = self._around(uri, document)
        start = begin + lines.line_start(line)
        snapshot = Snapshot(uri, document.language_id, text, document.version)
        return Spot(snapshot, start + column, line, start, lines.line(line), self.encoding)


def _place(position: types.Position) -> Place:
    return Place(position.line, position.character)


def _sound(text: str) -> str:
    """``text`` without lone surrogates, which JSON can carry and no tokenizer can read.

    Their stand-in U+FFFD has as many UTF-16 and UTF-8 code units, so positions still agree.
    """
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
