"""What stands around a cursor: the document, the names nearby, what it imports, who else is open.

Found out once for a choice, whichever sources ask for it. Knows the index and pages; does not know
which code is worth showing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from codegen_lsp.context.buffers import Buffer
from codegen_lsp.context.pages import Library, Page, akin
from codegen_lsp.context.uris import path_key
from codegen_lsp.context.words import STOP_WORDS, names
from codegen_lsp.syntax.outline import Import

if TYPE_CHECKING:
    from codegen_lsp.context.index import Index

__all__ = ["Cursor", "Imported", "Scene"]


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where code is to be written."""

    page: Page
    """The document, as it is now."""

    offset: int
    """Into the page's text."""

    root: Path | None = None
    """The workspace folder it is in."""

    relative: str = ""
    """Where in it."""

    indexes: tuple[tuple[Path, Index], ...] = ()
    """All folders', the document's own first."""

    buffers: tuple[Buffer, ...] = ()
    """The other open and lately edited documents, the most recently active first."""

    @property
    def index(self) -> Index | None:
        """That of the folder the document is in."""
        return next((index for root, index in self.indexes if root == self.root), None)


@dataclass(frozen=True, slots=True)
class Imported:
    """An import, and which files of the document's folder it means."""

    statement: Import
    files: tuple[str, ...]

    submodules: tuple[str, ...] = ()
    """Files that are what is imported, not what it is imported from."""


class Scene:
    """A cursor and what is found out about it, each thing once."""

    def __init__(self, cursor: Cursor, library: Library) -> None:
        self.cursor = cursor
        self.library = library
        self._offered: dict[str, frozenset[str]] = {}

    @cached_property
    def buffers(self) -> tuple[Buffer, ...]:
        """Other documents that may be shown."""
        return tuple(one for one in self.cursor.buffers if not self.library.hidden(one))

    @cached_property
    def drafts(self) -> dict[str, Page]:
        """Open documents, by key, that may differ from what an index knows of them."""
        language = self.cursor.page.language_id
        pages = (
            self.library.of_buffer(buffer)
            for buffer in self.buffers
            if buffer.text is not None
            and akin(buffer.language_id, language)
            and (buffer.edited or not self.library.indexed(buffer))
        )
        return {page.key: page for page in pages if page is not None}

    @cached_property
    def imported(self) -> tuple[Imported, ...]:
        """What the document imports."""
        outline = self.cursor.page.outline
        return () if outline is None else tuple(map(self._resolved, outline.imports))

    def near(self, reach: int) -> dict[str, float]:
        """Names at most *reach* lines from the cursor and how far they are, the nearest first.

        Below the cursor counts half a line more than above it.
        """
        page, offset = self.cursor.page, self.cursor.offset
        lines, line = page.lines, page.line_at(offset)
        column = offset - page.starts[line]
        near: dict[str, float] = {}

        def note(text: str, distance: float) -> None:
            for name in reversed(names(text)):
                if len(name) > 2 and name.lower() not in STOP_WORDS:
                    near.setdefault(name, distance)

        note(lines[line][:column], 0)
        note(lines[line][column:], 0.5)
        for distance in range(1, reach + 1):
            if line >= distance:
                note(lines[line - distance], distance)
            if line + distance < len(lines):
                note(lines[line + distance], distance + 0.5)
        return near

    def offered(self, path: str) -> frozenset[str]:
        """What a file of the document's folder defines for others."""
        known = self._offered.get(path)
        if known is None:
            draft = self.drafts.get(path_key((self.cursor.root or Path()) / path))
            known = top_names(draft) if draft is not None else self._indexed(path)
            self._offered[path] = known
        return known

    def _indexed(self, path: str) -> frozenset[str]:
        index = self.cursor.index
        symbols = () if index is None else index.symbols(path)
        return frozenset(symbol.name for symbol in symbols if symbol.depth == 0)

    def _resolved(self, statement: Import) -> Imported:
        index, cursor = self.cursor.index, self.cursor
        if index is None:
            return Imported(statement, ())
        language = cursor.page.language_id
        files = index.resolve_all(statement.module, cursor.relative, language)
        found = (
            index.resolve(module, cursor.relative, language)
            for module in self._submodules(statement, files)
        )
        submodules = dict.fromkeys(path for path in found if path and path not in files)
        return Imported(statement, files, tuple(submodules))

    def _submodules(self, statement: Import, files: tuple[str, ...]) -> Iterator[str]:
        """What ``from a import b`` may mean where *a* has no name *b*."""
        if self.cursor.page.language_id != "python":
            return
        dot = "" if statement.module.endswith(".") else "."
        for name in statement.names:
            if name != "*" and not any(name in self.offered(path) for path in files):
                yield f"{statement.module}{dot}{name}"


def top_names(page: Page) -> frozenset[str]:
    """What a page defines outside of other definitions."""
    return frozenset(name for name, found in page.defined.items() if found[0].depth == 0)
