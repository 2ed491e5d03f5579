"""Which texts are searched for copies: the document, those that are open, a few files like it.

Of the workspace those files are taken that share most words with the lines before the cursor; they
are chosen anew when the cursor has gone some lines or other documents were edited, and read when
they are chosen. What an editor has open wins over the disk; what is ignored or secret is in no
index, and not searched when it is open either. Does not know what a copy is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codegen_lsp.context.buffers import Buffers
from codegen_lsp.context.copies import Text
from codegen_lsp.context.uris import path_key, path_of
from codegen_lsp.context.window import plain
from codegen_lsp.syntax.languages import language_of
from codegen_lsp.types import CompletionQuery

if TYPE_CHECKING:
    from codegen_lsp.context.pages import Folders, Library

__all__ = ["CopyTexts", "Searched"]

MOST_FILES: Final = 12
"""Of the workspace, beside those that are open."""

MOST_CHARACTERS: Final = 2_000_000
"""Of all texts together: half a millisecond of searching."""

REACH: Final = 500_000
"""Characters of the document before and after the cursor."""

QUERY: Final = 1_000
"""Characters before the cursor's line whose words say which files are alike."""


@dataclass(frozen=True, slots=True)
class Searched:
    """What is searched."""

    texts: tuple[Text, ...]
    """The document first, then the nearest first."""

    offset: int
    """The cursor's, into the first text."""


NEAR: Final = 400
"""Characters: a choice holds for lines that begin so near to the one for which it was made."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The texts of other documents for some lines of one."""

    uri: str

    edits: int
    """Of other documents."""

    begin: int
    """Where the line begins for which they were chosen."""

    texts: tuple[Text, ...]

    def holds(self, uri: str, edits: int, begin: int) -> bool:
        """Whether it is one for the line that begins at *begin*, too."""
        same = (self.uri, self.edits) == (uri, edits)
        return same and abs(begin - self.begin) <= NEAR


class CopyTexts:
    """Gives texts to search, the document's own first. Safe to use from several threads."""

    def __init__(self, buffers: Buffers, workspace: Folders | None = None) -> None:
        self._buffers = buffers
        self._workspace = workspace
        self._library: Library | None = None
        self._lock = threading.Lock()
        """Held while files are read, which may take as long as a disk does."""
        self._chosen: _Chosen | None = None
        self._forgotten = 0
        """How often all was to be forgotten; only the event loop counts."""
        self._known_to = 0
        """Up to which of those times it was."""

    def texts(self, query: CompletionQuery) -> Searched:
        """The texts for *query*.

        Reads files, so on a thread of its own, after ``Neighbourhood.prepare`` on the one that
        edits documents.
        """
        snapshot, offset = query.snapshot, query.offset
        text = snapshot.text
        own, place = _around(text, offset)
        with self._lock:
            self._forget()
            chosen = self._chosen_for(query)
            return Searched((Text(snapshot.uri, own), *chosen.texts), place)

    def clear(self) -> None:
        """Forget what was read; what is being read is forgotten by the next one who asks.

        Waits for nobody: called on the event loop, while a disk may not answer.
        """
        self._forgotten += 1
        if self._lock.acquire(blocking=False):
            try:
                self._forget()
            finally:
                self._lock.release()

    def _forget(self) -> None:
        now = self._forgotten
        if self._known_to != now:
            self._chosen = self._library = None
            self._known_to = now

    def _chosen_for(self, query: CompletionQuery) -> _Chosen:
        uri, text, offset = query.snapshot.uri, query.snapshot.text, query.offset
        edits = self._buffers.edits_elsewhere(uri)
        begin = max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1
        known = self._chosen
        if known is None or not known.holds(uri, edits, begin):
            known = self._chosen = _Chosen(uri, edits, begin, tuple(self._others(query, begin)))
        return known

    def _others(self, query: CompletionQuery, begin: int) -> Iterator[Text]:
        """Texts of other documents, until there are enough of them."""
        left = MOST_CHARACTERS - min(len(query.snapshot.text), 2 * REACH)
        seen = {_key(query.snapshot.uri)}
        for text in (*self._open(query), *self._alike(query, begin)):
            if text.path not in seen and len(text.text) <= left:
                seen.add(text.path)
                left -= len(text.text)
                yield text

    def _open(self, query: CompletionQuery) -> Iterator[Text]:
        """Open documents, and those that were edited lately."""
        from codegen_lsp.context.pages import akin

        library = self._pages()
        language = query.snapshot.language_id or language_of(query.snapshot.uri)
        for buffer in self._buffers.recent(exclude=query.snapshot.uri):
            if akin(buffer.language_id, language) and not library.hidden(buffer):
                page = library.of_buffer(buffer)
                if page is not None:
                    yield Text(page.key, page.text, 1)

    def _alike(self, query: CompletionQuery, begin: int) -> Iterator[Text]:
        """Files of the workspace that share most words with the lines above the cursor's."""
        from codegen_lsp.context.words import word_ids

        snapshot = query.snapshot
        words = word_ids(snapshot.text[max(0, begin - QUERY) : begin])
        language = snapshot.language_id or language_of(snapshot.uri)
        path = path_of(snapshot.uri)
        place = None
        if path is not None and self._workspace is not None:
            place = self._workspace.root_of(Path(path))
        found: list[tuple[float, Path, str]] = []
        for root, index in () if self._workspace is None else self._workspace.indexes():
            exclude = (place[1],) if place is not None and place[0] == root else ()
            alike = index.similar(
                words, limit=MOST_FILES, exclude=exclude, language_id=language or None
            )
            found += [(-score, root, name) for name, score in alike]
        for _, root, name in sorted(found)[:MOST_FILES]:
            page = self._pages().of_file(root, name)
            if page is not None:
                yield Text(page.key, page.text, 2)

    def _pages(self) -> Library:
        from codegen_lsp.context.pages import Library

        if self._library is None:
            self._library = Library(self._buffers, self._workspace)
        return self._library


def _key(uri: str) -> str:
    path = path_of(uri)
    return uri if path is None else path_key(path)


def _around(text: str, offset: int) -> tuple[str, int]:
    """*text* as far as it is searched, with plain line ends, and the offset into that."""
    if len(text) <= 2 * REACH and "\r" not in text:
        return text, offset
    before = plain(text[max(0, offset - REACH) : offset])
    return before + plain(text[offset : offset + REACH]), len(before)
