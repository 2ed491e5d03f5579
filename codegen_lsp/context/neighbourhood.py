"""What a completion asks for code of other documents, and when that is chosen anew.

An *epoch* is how long one choice for a document holds: while the cursor stays near where it was
made, while sources and room are the same, and while no other document is edited. So the snippets
of a prompt do not change from key to key, and an engine keeps what it has read of them. A choice
from an index that was still filling holds two seconds.

Importing this module is cheap; what chooses is imported with the first choice.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codegen_lsp.context.buffers import Buffers
from codegen_lsp.context.uris import name_of, path_key, path_of
from codegen_lsp.syntax.languages import language_of
from codegen_lsp.syntax.latest import latest
from codegen_lsp.types import CompletionQuery, Origin, Snippet

if TYPE_CHECKING:
    from codegen_lsp.context.pages import Folders, Library
    from codegen_lsp.context.scene import Cursor

__all__ = ["Neighbourhood"]

logger = logging.getLogger(__name__)

MOST_DOCUMENTS: Final = 32
"""Of how many documents the choice is remembered."""

NEAR: Final = 12
"""A choice holds so many lines above and below the one for which it was made."""

PATIENCE: Final = 2.0
"""Seconds that a choice holds at most while an index is filling."""

TOP: Final = 20_000
"""Characters at the beginning of a document in which its imports stand."""

_PART: Final = 4_096
"""Line ends are counted in parts of so many characters."""

_IMPORT: Final = re.compile(
    r"(?:^|[\n\r])"
    r"(?:import|from|use|using|package|#[ \t]*include|const[^\n\r=]*= require)\b[^\n\r]*"
)
"""In the languages of which modules are resolved."""

_ORIGINS: Final = {origin.value: origin for origin in Origin}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What must be the same for a choice to hold."""

    sources: frozenset[Origin]
    limit: int
    language_id: str

    edits: int
    """Of other documents."""

    imports: tuple[str, ...]
    """Lines that look like imports, but for the cursor's own: one that was added counts at once."""


@dataclass(frozen=True, slots=True)
class _Epoch:
    asked: _Asked
    snippets: tuple[Snippet, ...]

    line: int
    """Where the cursor was."""

    until: float | None
    """When a choice from incomplete indexes ends; ``None``: they were complete."""


class Neighbourhood:
    """Chooses snippets and keeps to its choice for an epoch. Safe to use from several threads."""

    def __init__(
        self,
        buffers: Buffers,
        workspace: Folders | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*clock* gives seconds."""
        self._buffers = buffers
        self._workspace = workspace
        self._clock = clock
        self._lock = threading.Lock()
        """Held for moments only, so that the event loop may take it."""
        self._epochs: OrderedDict[str, _Epoch] = OrderedDict()
        self._library: Library | None = None
        self._cleared = 0
        """How often everything was forgotten."""
        self._choosing = threading.Lock()
        """Held while snippets are chosen."""

    def prepare(self, query: CompletionQuery) -> None:
        """Take the texts of other documents that were edited since.

        To be called where documents are edited (on the event loop), when a query is dispatched;
        :meth:`snippets` may then run on another thread.
        """
        self._buffers.active(query.snapshot.uri)
        self._buffers.take(exclude=query.snapshot.uri)

    def snippets(
        self, query: CompletionQuery, sources: Collection[str], limit: int
    ) -> tuple[Snippet, ...]:
        """Code of other documents for a query, the most important first.

        :param sources: values of :class:`~codegen_lsp.types.Origin`; others are ignored
        :param limit: characters of all snippets with their paths
        """
        origins = frozenset(_ORIGINS[source] for source in sources if source in _ORIGINS)
        if not origins or limit <= 0:
            return ()
        asked = self._asked(query, origins, limit)
        line = _line(query)
        epoch = self._epoch(query, asked)
        if epoch is not None and _near(epoch, line):
            return epoch.snippets
        with self._choosing:
            try:
                return self._choose(query, asked, line)
            except Exception as error:
                # Whatever is odd about other documents must not cost a completion of this one.
                logger.warning("no code of other documents is shown: %s", type(error).__name__)
                logger.debug("choosing snippets", exc_info=error)
                return ()

    def forget(self, uri: str) -> None:
        """The document was closed."""
        with self._lock:
            self._epochs.pop(uri, None)

    def clear(self) -> None:
        """Forget every choice and all that was read."""
        with self._lock:
            self._epochs.clear()
            self._library = None
            self._cleared += 1

    def _asked(self, query: CompletionQuery, origins: frozenset[Origin], limit: int) -> _Asked:
        uri = query.snapshot.uri
        language = query.snapshot.language_id or language_of(uri)
        edits = self._buffers.edits_elsewhere(uri)
        return _Asked(origins, limit, language, edits, _imports(query))

    def _epoch(self, query: CompletionQuery, asked: _Asked) -> _Epoch | None:
        """The last choice for the document, unless something other than the cursor ended it."""
        with self._lock:
            epoch = self._epochs.get(query.snapshot.uri)
        if epoch is None or epoch.asked != asked:
            return None
        return None if epoch.until is not None and self._clock() >= epoch.until else epoch

    def _choose(self, query: CompletionQuery, asked: _Asked, line: int) -> tuple[Snippet, ...]:
        """The snippets of the epoch that the query belongs to, which may be a new one."""
        from codegen_lsp.context.neighbours import Choice, choose

        epoch = self._epoch(query, asked)  # another thread may have chosen meanwhile
        if epoch is not None and _near(epoch, line):
            return epoch.snippets
        with self._lock:
            library, cleared = self._library or self._new_library(), self._cleared
        filling = self._workspace is not None and not self._workspace.ready
        until = self._clock() + PATIENCE if filling else None
        cursor = self._cursor(query, asked.language_id)
        snippets = choose(cursor, library, Choice(asked.sources, asked.limit))
        epoch = _Epoch(asked, snippets, line, until)
        logger.debug("%d snippets for %s", len(snippets), query.snapshot.uri)
        self._keep(query.snapshot.uri, epoch, cleared)
        return epoch.snippets

    def _new_library(self) -> Library:
        from codegen_lsp.context.pages import Library

        self._library = Library(self._buffers, self._workspace)
        return self._library

    def _keep(self, uri: str, epoch: _Epoch, cleared: int) -> None:
        with self._lock:
            if cleared != self._cleared:
                return
            self._epochs[uri] = epoch
            self._epochs.move_to_end(uri)
            while len(self._epochs) > MOST_DOCUMENTS:
                self._epochs.popitem(last=False)

    def _cursor(self, query: CompletionQuery, language_id: str) -> Cursor:
        from codegen_lsp.context.pages import Page, plain, within
        from codegen_lsp.context.scene import Cursor

        snapshot = query.snapshot
        path = path_of(snapshot.uri)
        own = None if path is None else path_key(path)
        place = None
        if path is not None and self._workspace is not None:
            place = self._workspace.root_of(Path(path))
        root, relative = place or (None, "")
        indexes = () if self._workspace is None else self._workspace.indexes()
        buffers = (
            buffer
            for buffer in self._buffers.recent(exclude=snapshot.uri)
            if buffer.path is None or path_key(buffer.path) != own
        )
        shown = name_of(snapshot.uri) if place is None else within(*place, len(indexes))
        page = Page(own or snapshot.uri, shown, language_id, snapshot.text)
        return Cursor(
            page=page,
            offset=min(len(plain(snapshot.text[: query.offset])), len(page.text)),
            root=root,
            relative=relative,
            indexes=tuple(sorted(indexes, key=lambda one: one[0] != root)),
            buffers=tuple(buffers),
        )


def _line(query: CompletionQuery) -> int:
    """The number of the cursor's line."""
    text, offset = query.snapshot.text, query.offset
    cut = offset // _PART * _PART
    signs = zip(_line_ends(text[:cut]), _line_ends(text[cut:offset]), strict=True)
    return max(above + below for above, below in signs)


@latest
def _line_ends(text: str) -> tuple[int, int]:
    r"""How often ``\n`` and ``\r`` stand in a text."""
    return text.count("\n"), text.count("\r") if "\r" in text else 0


def _imports(query: CompletionQuery) -> tuple[str, ...]:
    """The beginnings of imports at the top of the document, that of the cursor's line left out."""
    text, offset = query.snapshot.text, query.offset
    start = max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1
    end = min(len(text), TOP)
    above = _imports_in(text[: min(start, end)], True)
    return (*above, *_imports_in(text[offset:end], not offset))


@latest
def _imports_in(text: str, whole: bool) -> tuple[str, ...]:
    """The beginnings of imports in a part of a document, which begins it if it is *whole*."""
    # Before a part of a line stands what is no line end.
    return tuple(_IMPORT.findall(text) if whole else _IMPORT.findall(f".{text}"))


def _near(epoch: _Epoch, line: int) -> bool:
    return abs(line - epoch.line) <= NEAR
