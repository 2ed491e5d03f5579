"""The notebooks an editor has open: which cells they have, in which order.

Knows cells by the URIs of their texts. Does not know the texts: ``documents`` has them, and makes
one document of a notebook's code.
"""

from __future__ import annotations

from collections.abc import Iterable

from lsprotocol import types

__all__ = ["Notebooks"]


class Notebooks:
    """Open notebooks by URI."""

    def __init__(self) -> None:
        self._notebooks: dict[str, list[types.NotebookCell]] = {}
        """The cells of each notebook."""
        self._of: dict[str, str] = {}
        """The notebook of each cell, by URI."""

    def open(self, uri: str, cells: Iterable[types.NotebookCell]) -> None:
        """Begin to follow a notebook; one that was open already is replaced."""
        self.close(uri)
        self._notebooks[uri] = list(cells)
        self._find(uri)

    def close(self, uri: str) -> tuple[str, ...]:
        """Forget a notebook; the cells it had."""
        cells = [cell.document for cell in self._notebooks.pop(uri, [])]
        for cell in cells:
            self._of.pop(cell, None)
        return tuple(dict.fromkeys(cells))

    def __contains__(self, uri: object) -> bool:
        return uri in self._notebooks

    def splice(self, uri: str, change: types.NotebookCellArrayChange) -> None:
        """Put cells in the place of others; places outside the notebook are clamped."""
        cells = self._notebooks[uri]
        place = slice(change.start, change.start + change.delete_count)
        removed, cells[place] = cells[place], change.cells or ()
        for cell in removed:
            self._of.pop(cell.document, None)
        self._find(uri)

    def update(self, uri: str, changed: Iterable[types.NotebookCell]) -> None:
        """Take over what is new of cells: their kind."""
        newer = {cell.document: cell for cell in changed}
        cells = self._notebooks[uri]
        cells[:] = [newer.get(cell.document, cell) for cell in cells]

    def notebook_of(self, cell: str) -> str | None:
        """The URI of the notebook that a cell belongs to."""
        return self._of.get(cell)

    def code(self, uri: str) -> tuple[str, ...]:
        """The cells of a notebook that hold code, in its order; none if it is not open."""
        cells = self._notebooks.get(uri, [])
        kinds = (cell.document for cell in cells if cell.kind == types.NotebookCellKind.Code)
        return tuple(dict.fromkeys(kinds))

    def _find(self, uri: str) -> None:
        self._of.update((cell.document, uri) for cell in self._notebooks[uri])
