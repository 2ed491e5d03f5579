"""What is known of the world around a document: open documents, and folders of files.

Knows when what is started: folders are read once :meth:`Surroundings.start` is called, and only
if the settings want anything of them. Importing this is cheap, so that an editor that starts a
server waits for nothing. How code is found is ``neighbourhood``'s affair.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from codegen_lsp.config.settings import Settings
from codegen_lsp.types import CompletionQuery, Snippet

if TYPE_CHECKING:
    from codegen_lsp.context.buffers import Buffers
    from codegen_lsp.context.copies_texts import CopyTexts, Searched
    from codegen_lsp.context.neighbourhood import Neighbourhood
    from codegen_lsp.context.workspace import FolderStatus, Workspace

__all__ = ["Surroundings"]

logger = logging.getLogger(__name__)

OF_FOLDERS = frozenset({"imports", "definitions", "similar"})
"""The sources of snippets that need the folders' files."""


class Surroundings:
    """Open documents, folders, and the choice of snippets from both. For one event loop."""

    def __init__(self) -> None:
        self._settings = Settings()
        self._folders: tuple[Path, ...] = ()
        self._started = False
        self._parts: tuple[Buffers, Workspace, Neighbourhood] | None = None
        self._copies: CopyTexts | None = None

    def start(self) -> None:
        """Begin to read the folders; until then nothing is."""
        self._started = True
        self._update()

    def set_folders(self, folders: Iterable[Path]) -> None:
        """The workspace consists of these folders."""
        self._folders = tuple(folders)
        self._update()

    def configure(self, settings: Settings) -> None:
        """Use other settings; folders that nobody wants anything of are not read."""
        self._settings = settings
        self._update()

    def opened(self, uri: str, language_id: str, text: Callable[[], str]) -> None:
        """A document was opened; *text* gives its text as it is."""
        self._made()[0].opened(uri, language_id, text)

    def joined(self, uri: str, parts: Collection[str]) -> None:
        """An open document consists of others, in which requests are made."""
        self._made()[0].joined(uri, parts)

    def changed(self, uri: str) -> None:
        """A document was edited."""
        self._made()[0].changed(uri)

    def closed(self, uri: str) -> None:
        """A document was closed."""
        if self._parts is not None:
            self._parts[0].closed(uri)

    def prepare(self, query: CompletionQuery) -> None:
        """A request is about to ask for snippets: note where the user is at work."""
        self._made()[2].prepare(query)

    def snippets(
        self, query: CompletionQuery, sources: Collection[str], limit: int
    ) -> tuple[Snippet, ...]:
        """Code from elsewhere for *query*, after :meth:`prepare`; on a thread of its own."""
        return () if self._parts is None else self._parts[2].snippets(query, sources, limit)

    def texts(self, query: CompletionQuery) -> Searched:
        """What may say already what *query* asks for, after :meth:`prepare`; on a thread."""
        from codegen_lsp.context.copies_texts import CopyTexts

        if self._copies is None:
            buffers, workspace, _ = self._made()
            self._copies = CopyTexts(buffers, workspace)
        return self._copies.texts(query)

    def stamp(self, uri: str) -> int:
        """Another number when a document other than *uri* was edited since."""
        return 0 if self._parts is None else self._parts[0].edits_elsewhere(uri)

    def forget(self, uri: str) -> None:
        """Choose anew when the document is opened again."""
        if self._parts is not None:
            self._parts[2].forget(uri)

    @property
    def ready(self) -> bool:
        """Whether all folders have been read that are wanted."""
        if not self._started:
            return False
        return self._parts is None or self._parts[1].ready

    def wait_ready(self, timeout: float) -> bool:
        """Wait until :attr:`ready`, at most *timeout* seconds; whether it is."""
        return self.ready if self._parts is None else self._parts[1].wait_ready(timeout)

    def status(self) -> tuple[FolderStatus, ...]:
        """How far every folder is."""
        return () if self._parts is None else self._parts[1].status()

    def close(self) -> None:
        """End all threads and processes; takes a second at most."""
        if self._parts is not None:
            self._parts[1].close()

    def _update(self) -> None:
        """Have the folders read that are wanted now."""
        sources = self._settings.context_sources
        wanted = self._folders if sources is None or OF_FOLDERS & {*sources} else ()
        if self._started and (wanted or self._parts is not None):
            _, workspace, neighbourhood = self._made()
            workspace.set_folders(wanted)
            neighbourhood.clear()
            if self._copies is not None:
                self._copies.clear()

    def _made(self) -> tuple[Buffers, Workspace, Neighbourhood]:
        if self._parts is None:
            # Late: not needed to answer ``initialize``.
            from codegen_lsp.context.buffers import Buffers
            from codegen_lsp.context.neighbourhood import Neighbourhood
            from codegen_lsp.context.workspace import Workspace

            buffers, workspace = Buffers(), Workspace()
            self._parts = buffers, workspace, Neighbourhood(buffers, workspace)
        return self._parts
