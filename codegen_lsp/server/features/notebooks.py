"""``notebookDocument/didOpen``, ``didChange``, ``didClose``, ``didSave``: following notebooks.

Outputs, metadata and what was executed are not looked at.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lsprotocol import types

from codegen_lsp.server.features.sync import begin, follow, leave

if TYPE_CHECKING:
    from codegen_lsp.server.session import CodegenServer

__all__ = ["OPTIONS", "register"]

logger = logging.getLogger(__name__)

OPTIONS = types.NotebookDocumentSyncOptions(
    [types.NotebookDocumentFilterWithNotebook(notebook="*")], save=False
)
"""Every notebook and all of its cells: whether a cell holds code may change."""


def register(ls: CodegenServer) -> None:
    """Add the four notifications; pygls takes the options nowhere but in its constructor."""
    ls._notebook_document_sync = OPTIONS
    ls.feature(types.NOTEBOOK_DOCUMENT_DID_OPEN)(did_open)
    ls.feature(types.NOTEBOOK_DOCUMENT_DID_CHANGE)(did_change)
    ls.feature(types.NOTEBOOK_DOCUMENT_DID_CLOSE)(did_close)
    ls.feature(types.NOTEBOOK_DOCUMENT_DID_SAVE)(did_save)


def did_open(ls: CodegenServer, params: types.DidOpenNotebookDocumentParams) -> None:
    """Begin to follow a notebook and its cells."""
    uri = params.notebook_document.uri
    for item in params.cell_text_documents:
        ls.documents.open(item)
    ls.documents.notebooks.open(uri, params.notebook_document.cells)
    begin(ls, uri)
    ls.surroundings.joined(uri, ls.documents.notebooks.code(uri))


def did_change(ls: CodegenServer, params: types.DidChangeNotebookDocumentParams) -> None:
    """Apply an editor's changes: which cells there are, what kind they are of, their texts."""
    uri, cells = params.notebook_document.uri, params.change.cells
    if uri not in ls.documents.notebooks:
        logger.warning("a change of a notebook that is not open is ignored: %s", uri)
        return
    if cells is None:
        return
    if cells.structure is not None:
        _restructure(ls, uri, cells.structure)
    ls.documents.notebooks.update(uri, cells.data or ())
    for content in cells.text_content or ():
        ls.documents.change(content.document.uri, content.document.version, content.changes)
    if cells.structure is not None or cells.data:
        ls.surroundings.joined(uri, ls.documents.notebooks.code(uri))
    follow(ls, uri)


def _restructure(
    ls: CodegenServer, uri: str, structure: types.NotebookDocumentCellChangeStructure
) -> None:
    """Other cells, or others in their order; a cell that moved is neither opened nor closed."""
    for item in structure.did_open or ():
        ls.documents.open(item)
    ls.documents.notebooks.splice(uri, structure.array)
    for cell in structure.did_close or ():
        ls.close_document(cell.uri)


def did_close(ls: CodegenServer, params: types.DidCloseNotebookDocumentParams) -> None:
    """Forget a notebook and its cells."""
    uri = params.notebook_document.uri
    if uri not in ls.documents.notebooks:
        logger.warning("a notebook that is not open cannot be closed: %s", uri)
    named = [cell.uri for cell in params.cell_text_documents]
    for cell in dict.fromkeys((*named, *ls.documents.notebooks.close(uri))):
        if cell in ls.documents:
            ls.close_document(cell)
    leave(ls, uri)


def did_save(ls: CodegenServer, params: types.DidSaveNotebookDocumentParams) -> None:
    """Nothing: what is completed are the cells, which the changes describe already."""
