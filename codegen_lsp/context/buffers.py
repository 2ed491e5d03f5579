"""The documents an editor has open or had edited lately, most recently active first.

Knows URIs, texts and who was active when. A keystroke costs a look into a table: texts are taken
only when a request in *another* document wants them, once per change. Does not know words, files
on disk or LSP.

Two threads meet here. The one that edits documents calls everything; the one that chooses
snippets only reads (:meth:`Buffers.recent`, :meth:`Buffers.at`, :meth:`Buffers.edits_elsewhere`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

from codegen_lsp.context.privacy import is_secret_file
from codegen_lsp.context.uris import name_of, path_key, path_of, usable
from codegen_lsp.syntax.languages import language_of

__all__ = ["MOST_CLOSED", "Buffer", "Buffers"]

MOST_CLOSED: Final = 20
"""How many documents are remembered that were edited and closed."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """A document as it was when its text was last taken."""

    uri: str

    path: str | None
    """Absolute; ``None`` for a document that is no file."""

    language_id: str

    text: str | None
    """As the editor has it; ``None`` for a closed document, of which the disk has the text."""

    version: int
    """Another text of the same document has a greater number."""

    edited: bool = False
    """Whether the text may be another one than the disk has."""


@dataclass(slots=True)
class _State:
    buffer: Buffer
    text: Callable[[], str] | None
    edited: int = 0
    """When it was last edited, by the count of all edits; 0 for never."""


class Buffers:
    """Open and lately edited documents. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[str, _State] = {}
        """By URI, the most recently active one last."""
        self._paths: dict[str, str] = {}
        """URIs of open documents by the key of their path."""
        self._stale: set[str] = set()
        """URIs of open documents whose text has to be taken again."""
        self._whole: dict[str, str] = {}
        """URIs of documents by those of their parts."""
        self._versions = 0
        self._edits = 0

    def opened(self, uri: str, language_id: str, text: Callable[[], str]) -> None:
        """A document was opened; *text* gives its text, on the thread that calls this.

        Documents that may hold secrets, and those that are no code (see :data:`uris.SCHEMES`),
        are not remembered.
        """
        path = path_of(uri)
        if not usable(uri) or is_secret_file(path or name_of(uri)):
            return
        with self._lock:
            self._versions += 1
            language = language_id or language_of(uri)
            before = self._states.pop(uri, None)
            edited = 0 if before is None else before.edited
            buffer = Buffer(uri, path, language, None, self._versions)
            self._states[uri] = _State(buffer, text, edited)
            self._stale.add(uri)
            if path is not None:
                self._paths[path_key(path)] = uri

    def joined(self, uri: str, parts: Collection[str]) -> None:
        """*parts* are documents (a notebook's cells) that *uri* consists of: who is at work in one
        of them is at work in it. Their URIs need not tell.
        """
        with self._lock:
            self._part(uri)
            if uri in self._states:
                self._whole.update(dict.fromkeys(parts, uri))

    def changed(self, uri: str) -> None:
        """A document was edited; its text is not asked for yet."""
        with self._lock:
            state = self._touch(uri)
            if state is not None and state.text is not None:
                self._edits += 1
                state.edited = self._edits
                self._stale.add(uri)

    def active(self, uri: str) -> None:
        """The user is at work in a document: a completion was asked for."""
        with self._lock:
            self._touch(self._whole.get(uri, uri))

    def closed(self, uri: str) -> None:
        """A document was closed; one that was edited stays, as what the disk has of it."""
        with self._lock:
            state = self._states.get(uri)
            if state is None:
                return
            self._stale.discard(uri)
            self._part(uri)
            buffer = state.buffer
            if buffer.path is not None and self._paths.get(path_key(buffer.path)) == uri:
                del self._paths[path_key(buffer.path)]
            if buffer.path is None or not state.edited:
                del self._states[uri]
                return
            state.text = None
            state.buffer = replace(buffer, text=None, edited=False)
            self._drop_oldest_closed()

    def take(self, exclude: str = "") -> None:
        """Take the texts that changed, but that of *exclude* (or of what it is a part of): a
        request brings its own.

        To be called on the thread that edits documents; what :meth:`recent` then says on another
        thread cannot change under it.
        """
        with self._lock:
            exclude = self._whole.get(exclude, exclude)
            for uri in [uri for uri in self._stale if uri != exclude]:
                state = self._states[uri]
                self._stale.discard(uri)
                if state.text is None:
                    continue
                text, known = state.text(), state.buffer
                if text != known.text:
                    self._versions += 1
                    # The first text is the file's, unless the editor kept an unsaved one.
                    edited = known.text is not None or state.edited > 0
                    state.buffer = replace(known, text=text, version=self._versions, edited=edited)

    def recent(self, exclude: str = "") -> list[Buffer]:
        """All but *exclude* (or what it is a part of), the most recently active first.

        An open document whose text was never taken is left out.
        """
        with self._lock:
            exclude = self._whole.get(exclude, exclude)
            return [
                state.buffer
                for uri, state in reversed(self._states.items())
                if uri != exclude and (state.text is None or state.buffer.text is not None)
            ]

    def at(self, path: str) -> Buffer | None:
        """The open document that is the file at *path*."""
        with self._lock:
            uri = self._paths.get(path_key(path))
            return None if uri is None else self._states[uri].buffer

    def edits_elsewhere(self, uri: str) -> int:
        """A number that is another one when a document other than *uri* was edited since.

        A notebook and its cells are one document.
        """
        path = path_of(uri)
        own = None if path is None else path_key(path)
        with self._lock:
            uri = self._whole.get(uri, uri)
            others = (state for other, state in self._states.items() if other != uri)
            return max((one.edited for one in others if _key(one.buffer) != own), default=0)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._states.clear()
            self._paths.clear()
            self._stale.clear()
            self._whole.clear()

    def _part(self, uri: str) -> None:
        """It has no parts any longer."""
        self._whole = {part: whole for part, whole in self._whole.items() if whole != uri}

    def _touch(self, uri: str) -> _State | None:
        state = self._states.pop(uri, None)
        if state is not None:
            self._states[uri] = state
        return state

    def _drop_oldest_closed(self) -> None:
        closed = [uri for uri, state in self._states.items() if state.text is None]
        for uri in closed[: max(0, len(closed) - MOST_CLOSED)]:
            del self._states[uri]


def _key(buffer: Buffer) -> str:
    """What identifies the file of a document; its URI where it is none."""
    return buffer.uri if buffer.path is None else path_key(buffer.path)
