"""A small repository on the disk, its real index, and an editor that has some of it open."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from codegen_lsp.context.buffers import Buffers
from codegen_lsp.context.facts import facts_of
from codegen_lsp.context.files import Stamp, read_source
from codegen_lsp.context.index import Index
from codegen_lsp.context.neighbourhood import Neighbourhood
from codegen_lsp.syntax.languages import language_of
from codegen_lsp.types import CompletionQuery, Origin, Snapshot, Snippet
from tests.support.cursor import CURSOR

ALL = tuple(origin.value for origin in Origin)


class Repository:
    """Folders of files, indexed without a process; what an editor has open; a neighbourhood."""

    def __init__(self, root: Path, files: Mapping[str, str], *more: Path) -> None:
        self.root = root
        self.ready = True
        self.now = 0.0
        self.folders = {folder: Index() for folder in (root, *more)}
        self.buffers = Buffers()
        self.neighbourhood = Neighbourhood(self.buffers, self, clock=lambda: self.now)
        for path, text in files.items():
            self.write(path, text)

    def indexes(self) -> tuple[tuple[Path, Index], ...]:
        """As a workspace has them."""
        return tuple(self.folders.items())

    def root_of(self, path: Path) -> tuple[Path, str] | None:
        """As a workspace knows it."""
        for folder in self.folders:
            if path.is_relative_to(folder):
                return folder, path.relative_to(folder).as_posix()
        return None

    def write(self, path: str, text: str, *, indexed: bool = True) -> None:
        """Write a file, and tell its index unless it is to be late or ignored."""
        place = Path(os.path.normpath(self.root / path))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        if indexed:
            self.index(place)

    def index(self, place: Path) -> None:
        """Take what the disk has of a file."""
        found = self.root_of(place)
        text, status = read_source(place), place.stat()
        assert found is not None
        assert isinstance(text, str), text
        stamp = Stamp(status.st_size, status.st_mtime_ns)
        self.folders[found[0]].add(facts_of(found[1], stamp, text))

    def uri(self, path: str) -> str:
        """The URI of a file."""
        return path if ":" in path else (self.root / path).as_uri()

    def open(self, path: str, text: str) -> None:
        """Open a document in the editor; its text may be another one than the disk has."""
        self.buffers.opened(self.uri(path), language_of(path), lambda: text)

    def edit(self, path: str, text: str) -> None:
        """Replace the text of an open document."""
        self.open(path, "")
        self.buffers.take()
        self.open(path, text)
        self.buffers.changed(self.uri(path))

    def query(self, path: str, code: str) -> CompletionQuery:
        """A query at the cursor sign in *code*, in the document at *path*."""
        before, sign, after = code.partition(CURSOR)
        assert sign, "the code has no cursor"
        snapshot = Snapshot(self.uri(path), language_of(path), before + after)
        return CompletionQuery(snapshot, len(before))

    def snippets(
        self, path: str, code: str, sources: Sequence[str] = ALL, limit: int = 4000
    ) -> tuple[Snippet, ...]:
        """What is shown at the cursor sign."""
        query = self.query(path, code)
        self.neighbourhood.prepare(query)
        return self.neighbourhood.snippets(query, sources, limit)
