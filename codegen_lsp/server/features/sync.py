"""``textDocument/didOpen``, ``didChange``, ``didClose``, ``didSave``: following the editor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

if TYPE_CHECKING:
    from codegen_lsp.server.session import CodegenServer

__all__ = ["begin", "follow", "leave", "register"]


def register(ls: CodegenServer) -> None:
    """Add the four notifications; the sync kind, incremental, is pygls' default."""
    ls.feature(types.TEXT_DOCUMENT_DID_OPEN)(did_open)
    ls.feature(types.TEXT_DOCUMENT_DID_CHANGE)(did_change)
    ls.feature(types.TEXT_DOCUMENT_DID_CLOSE)(did_close)
    ls.feature(types.TEXT_DOCUMENT_DID_SAVE)(did_save)


def did_open(ls: CodegenServer, params: types.DidOpenTextDocumentParams) -> None:
    """Begin to follow a document."""
    ls.documents.open(params.text_document)
    begin(ls, params.text_document.uri)


def did_change(ls: CodegenServer, params: types.DidChangeTextDocumentParams) -> None:
    """Apply an editor's changes."""
    document = params.text_document
    if ls.documents.change(document.uri, document.version, params.content_changes):
        follow(ls, document.uri)


def did_close(ls: CodegenServer, params: types.DidCloseTextDocumentParams) -> None:
    """Forget a document."""
    ls.close_document(params.text_document.uri)
    leave(ls, params.text_document.uri)


def did_save(ls: CodegenServer, params: types.DidSaveTextDocumentParams) -> None:
    """Nothing: what is completed is the buffer, which the changes describe already."""


def begin(ls: CodegenServer, uri: str) -> None:
    """A document or notebook is open: its code may be shown where the user writes other code."""
    ls.surroundings.opened(uri, ls.documents.language(uri), lambda: ls.documents.text(uri))


def follow(ls: CodegenServer, uri: str) -> None:
    """A document or notebook was edited."""
    ls.surroundings.changed(uri)
    ls.edited()


def leave(ls: CodegenServer, uri: str) -> None:
    """A document or notebook was closed."""
    ls.surroundings.closed(uri)
