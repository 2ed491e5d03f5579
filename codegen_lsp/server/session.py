"""What one connection knows: its documents, its settings, its completions.

Features read and change it; how it is served is ``run``'s affair. The completion service is made
when the first completion is asked for, so that ``initialize`` waits for nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from codegen_lsp.config.settings import Settings
from codegen_lsp.config.sources import Layer, resolve
from codegen_lsp.context.surroundings import Surroundings
from codegen_lsp.server.documents import DocumentStore
from codegen_lsp.server.logs import log_unexpected
from codegen_lsp.server.protocol import CodegenProtocol
from codegen_lsp.types import Completion, CompletionQuery

__all__ = ["CodegenServer", "Service", "ServiceFactory"]

logger = logging.getLogger(__name__)


class Service(Protocol):
    """What a connection needs of ``completion.service.CompletionService``."""

    async def complete(self, query: CompletionQuery) -> Completion | None:
        """A completion; ``None`` where there is nothing to suggest."""
        ...

    def moved(self, query: CompletionQuery) -> None:
        """The cursor was moved there, and nothing is asked."""
        ...

    def edited(self) -> None:
        """A key was typed."""
        ...

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on."""
        ...

    def forget(self, uri: str) -> None:
        """The document was closed."""
        ...

    def statistics(self) -> dict[str, int]:
        """Who answered how many requests; see ``completion.service.Counts``."""
        ...

    async def close(self) -> None:
        """Cancel what runs and free the model."""
        ...


ServiceFactory = Callable[[Settings, Surroundings], Service]

MESSAGE_TYPES: tuple[tuple[int, types.MessageType], ...] = (
    (logging.ERROR, types.MessageType.Error),
    (logging.WARNING, types.MessageType.Warning),
    (logging.INFO, types.MessageType.Info),
    (logging.DEBUG, types.MessageType.Log),  # not Debug, which editors before LSP 3.18 lack
)

PLACES = ("user", "workspace", "environment", "options", "editor")
"""Where settings come from, the weakest first; only the command line is stronger."""

CLOSING_SECONDS = 2.0
"""How long a connection waits for its service to close."""


class CodegenServer(LanguageServer):
    """One editor's server."""

    protocol: CodegenProtocol

    def __init__(
        self, version: str, service_factory: ServiceFactory, overrides: Mapping[str, object]
    ) -> None:
        super().__init__("codegen-lsp", version, protocol_cls=CodegenProtocol)
        self.documents = DocumentStore()
        self.surroundings = Surroundings()
        self.settings = Settings()
        self.ended = asyncio.Event()
        """Set when the connection is to end although the editor did not say so."""

        self.layers: dict[str, list[Layer]] = {place: [] for place in PLACES}
        """What is known from each place; filled by ``configuration``."""

        self.completion_is_offered = False
        """Whether the editor knows of ``textDocument/completion``."""

        self.last_completion: Completion | None = None
        """What was answered last, for who asks about it."""

        self._tasks: set[asyncio.Task[None]] = set()
        self._trouble: str | None = None
        self._overrides = Layer("command line", overrides)
        self._complaints: frozenset[str] = frozenset()
        self._service_factory = service_factory
        self._service: Service | None = None

    @property
    def service(self) -> Service:
        """What answers this connection's requests."""
        if self._service is None:
            self._service = self._service_factory(self.settings, self.surroundings)
        return self._service

    def resolve_settings(self) -> None:
        """Let the layers decide again, name what is wrong with them, and make it hold."""
        known = [layer for place in PLACES for layer in self.layers[place]]
        resolved = resolve([*known, self._overrides])
        for line in resolved.complaints:
            if line not in self._complaints:
                logger.warning("%s", line)
        self._complaints = frozenset(resolved.complaints)
        if resolved.settings == self.settings:
            return
        self.settings = resolved.settings
        self.surroundings.configure(resolved.settings)
        if self._service is not None:
            self._service.configure(resolved.settings)

    def trouble(self, line: str | None) -> None:
        """Name what prevents completions, unless the last request named it; ``None`` clears it."""
        if line is not None and line != self._trouble:
            logger.error("no completions: %s", line)
        self._trouble = line

    def keep(self, task: asyncio.Task[None]) -> None:
        """Own a task of this connection, which ends with it."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def move_cursor(self, uri: str, position: types.Position) -> None:
        """The cursor is there now. Of no interest before the first completion was asked for."""
        if self._service is None:
            return
        spot = self.documents.spot(uri, position)
        if spot is not None:
            self._service.moved(CompletionQuery(spot.snapshot, spot.offset))

    def edited(self) -> None:
        """A document was edited."""
        if self._service is not None:
            self._service.edited()

    def close_document(self, uri: str) -> None:
        """Forget a document and what was remembered for it."""
        if not self.documents.close(uri):
            logger.warning("a document that is not open cannot be closed: %s", uri)
        if self._service is not None:
            self._service.forget(uri)

    def lose_document(self, params: Any) -> None:
        """Stop following a document or notebook one of whose changes could not be read."""
        given = params if isinstance(params, dict) else {}
        document = given.get("textDocument") or given.get("notebookDocument")
        uri = document.get("uri") if isinstance(document, dict) else None
        if not isinstance(uri, str):
            return
        cells = [self.documents.close(cell) for cell in self.documents.notebooks.close(uri)]
        if self.documents.close(uri) or any(cells):
            logger.error("a change cannot be read, so the document is no longer followed: %s", uri)
        self.surroundings.closed(uri)

    def log_level(self) -> int:
        """What the user wants to see of the log, as ``logging`` counts."""
        return logging.getLevelNamesMapping()[self.settings.log_level.upper()]

    def log_to_editor(self, record: logging.LogRecord) -> None:
        """Write one line into the editor's log."""
        kind = next(kind for level, kind in MESSAGE_TYPES if record.levelno >= level)
        self.window_log_message(types.LogMessageParams(kind, record.getMessage()))

    def report_server_error(self, error: Exception, source: object) -> None:
        """Log what went wrong; pygls would open a pop-up window."""
        log_unexpected(logger, "a message could not be handled", error)

    async def aclose(self) -> None:
        """Cancel what is being worked on and close the service; never hangs."""
        self.protocol.cancel_all()
        for task in self._tasks:
            task.cancel()
        await self._close_service()
        await asyncio.to_thread(self.surroundings.close)

    async def _close_service(self) -> None:
        if self._service is None:
            return
        closing = asyncio.create_task(self._service.close())
        _CLOSING.add(closing)
        closing.add_done_callback(_closed)
        _, late = await asyncio.wait({closing}, timeout=CLOSING_SECONDS)
        if late:
            logger.warning("the engine did not stop within %g s", CLOSING_SECONDS)


_CLOSING: set[asyncio.Task[None]] = set()
"""Services that are closing, some of which nobody waits for any more: while other connections are
served, what they held is given back all the same."""


def _closed(closing: asyncio.Task[None]) -> None:
    _CLOSING.discard(closing)
    error = None if closing.cancelled() else closing.exception()
    if error is not None:
        log_unexpected(logger, "the engine could not be closed", error)
