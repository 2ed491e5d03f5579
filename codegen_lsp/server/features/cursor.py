"""``codegen/didMoveCursor``: a notification of our own, for what LSP does not tell.

An editor that sends it whenever the cursor was moved (also for every key; nothing is read before
the cursor rests) has the code around the new place read before anything is asked there. One that
does not loses nothing but that. A first completion is not prepared: no model is opened by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lsprotocol import types

if TYPE_CHECKING:
    from codegen_lsp.server.session import CodegenServer

__all__ = ["DID_MOVE_CURSOR", "DidMoveCursor", "register"]

DID_MOVE_CURSOR = "codegen/didMoveCursor"


@dataclass(frozen=True)
class DidMoveCursor:
    """The message."""

    params: types.TextDocumentPositionParams
    method: str = DID_MOVE_CURSOR
    jsonrpc: str = "2.0"


def register(ls: CodegenServer) -> None:
    """Add the notification."""
    ls.feature(DID_MOVE_CURSOR)(did_move_cursor)


def did_move_cursor(ls: CodegenServer, params: types.TextDocumentPositionParams) -> None:
    """Note where the cursor is, in the document as it is now."""
    ls.move_cursor(params.text_document.uri, params.position)
