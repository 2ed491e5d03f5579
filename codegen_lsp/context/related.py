"""Related code: what the modules offer that a document imports, and definitions of names nearby.

Knows what is imported and used, and the index. Shows signatures, and of a function's body its first
lines. Does not know how much room there is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from codegen_lsp.context.excerpts import UNUSED, definition_rows, module_rows
from codegen_lsp.context.packing import Piece
from codegen_lsp.context.pages import Page, akin
from codegen_lsp.context.scene import Cursor, Imported, Scene, top_names
from codegen_lsp.syntax.languages import language_of
from codegen_lsp.syntax.outline import Definition, Import
from codegen_lsp.types import Origin

if TYPE_CHECKING:
    from codegen_lsp.context.index import Place

__all__ = ["definitions", "imports"]

NEAR: Final = 6
"""Definitions are shown of names that stand at most so many lines from the cursor."""

AROUND: Final = 25
"""Names of an imported module count as used nearby at most so many lines from the cursor."""

RAREST: Final = 3
"""A name that is defined in more places, none of them imported, says nothing by itself."""

MOST_NAMES: Final = 60
"""How many names near the cursor are looked up."""

MOST_PIECES: Final = 8
"""Of each of the two sources."""

_PARTS: Final = re.compile(r"[./\\:]+")
_EXTENSION: Final = re.compile(r"(?<=\w)\.(?:h|hh|hpp|hxx|jsx?|tsx?|mjs|cjs)$")


@dataclass(slots=True)
class _Module:
    """A file that the document imports, and what of it."""

    page: Page | None
    """Of an open document that no index knows."""

    root: Path
    path: str

    uses: dict[str, float] = field(default_factory=dict)
    """Names that it defines and how far from the cursor they are used."""

    @property
    def nearest(self) -> float:
        """The distance of the nearest use."""
        return min(self.uses.values(), default=UNUSED)


def imports(scene: Scene) -> list[Piece]:
    """What the imported modules offer of the names the document uses, the nearest first."""
    near = scene.near(AROUND)
    modules: dict[tuple[Path, str], _Module] = {}
    for imported in scene.imported:
        for module in _modules(imported, scene, near):
            known = modules.setdefault((module.root, module.path), module)
            for name, distance in module.uses.items():
                known.uses[name] = min(distance, known.uses.get(name, UNUSED))
    used = (module for module in modules.values() if module.uses)
    pieces: list[Piece] = []
    for module in sorted(used, key=lambda module: (module.nearest, module.path))[:MOST_PIECES]:
        page = module.page or scene.library.of_file(module.root, module.path)
        rows = () if page is None else module_rows(page, module.uses, near)
        if page is not None and rows:
            pieces.append(Piece(page, rows, Origin.IMPORTS))
    return pieces


def definitions(scene: Scene) -> list[Piece]:
    """The definitions of names near the cursor that the document does not define, nearest first."""
    near = scene.near(NEAR)
    own = scene.cursor.page.defined
    trusted = frozenset(
        path for imported in scene.imported for path in (*imported.files, *imported.submodules)
    )
    pieces: list[Piece] = []
    for name in [name for name in near if name not in own][:MOST_NAMES]:
        for page, definition in _defining(name, scene, trusted):
            rows = definition_rows(page, definition, near)
            pieces.append(Piece(page, rows, Origin.DEFINITIONS))
        if len(pieces) >= MOST_PIECES:
            break
    return pieces[:MOST_PIECES]


def _modules(imported: Imported, scene: Scene, near: Mapping[str, float]) -> Iterator[_Module]:
    """The files that one statement imports, with what of them is wanted."""
    root = scene.cursor.root or Path()
    for path in imported.submodules:
        offered = scene.offered(path)
        yield _Module(None, root, path, {name: near[name] for name in near if name in offered})
    for path in imported.files:
        yield _Module(None, root, path, _uses(scene.offered(path), imported.statement, near))
    if imported.files:
        yield from _passed_on(imported, scene, near)
    elif not imported.submodules:
        yield from _unsaved(imported.statement, scene, near)


def _uses(
    offered: frozenset[str], statement: Import, near: Mapping[str, float]
) -> dict[str, float]:
    """Which of the names offered the document wants, and how far from the cursor it uses them."""
    if statement.names and "*" not in statement.names:
        return {name: near.get(name, UNUSED) for name in statement.names if name in offered}
    uses = {name: distance for name, distance in near.items() if name in offered}
    last = _last_part(statement.module)
    if last in offered:  # in Java a module is a class
        uses.setdefault(last, UNUSED)
    return uses


def _passed_on(imported: Imported, scene: Scene, near: Mapping[str, float]) -> Iterator[_Module]:
    """Where names are defined that a package only hands on (``__init__.py``, ``index.ts``)."""
    index, root = scene.cursor.index, scene.cursor.root
    if index is None or root is None:
        return
    below = f"{PurePath(imported.files[0]).parent.as_posix()}/"
    for name in imported.statement.names:
        if any(name in scene.offered(path) for path in imported.files):
            continue
        inside = [place for place in index.defining(name) if place.path.startswith(below)]
        if len(inside) == 1 and inside[0].path != scene.cursor.relative:
            yield _Module(None, root, inside[0].path, {name: near.get(name, UNUSED)})


def _unsaved(statement: Import, scene: Scene, near: Mapping[str, float]) -> Iterator[_Module]:
    """Open documents that no index knows and that are called as the module is."""
    called = _last_part(statement.module)
    for page in scene.drafts.values():
        if PurePath(page.shown).stem == called:
            yield _Module(page, Path(), page.key, _uses(top_names(page), statement, near))


def _last_part(module: str) -> str:
    return _PARTS.split(_EXTENSION.sub("", module))[-1]


def _defining(name: str, scene: Scene, trusted: frozenset[str]) -> list[tuple[Page, Definition]]:
    """Where *name* is defined, if that is clear: in few places, or in what is imported."""
    cursor = scene.cursor
    drafts = scene.drafts.values()
    found = [(page, page.defined[name][0]) for page in drafts if name in page.defined]
    if found:
        return found[:1]
    places = [
        (root, place)
        for root, index in cursor.indexes
        for place in index.defining(name)
        if _other(root, place, cursor)
    ]
    imported = [one for one in places if one[0] == cursor.root and one[1].path in trusted]
    if not imported and len(places) > RAREST:
        return []
    for root, place in (imported or places)[:RAREST]:
        page = scene.library.of_file(root, place.path)
        if page is not None and name in page.defined:
            found.append((page, _nearest(page, name, place)))
    return found[:2]


def _other(root: Path, place: Place, cursor: Cursor) -> bool:
    """Whether a place is in another document in a like language."""
    own = root == cursor.root and place.path == cursor.relative
    return not own and akin(language_of(place.path), cursor.page.language_id)


def _nearest(page: Page, name: str, place: Place) -> Definition:
    """Of several definitions of *name* the one the index means; the file may have changed."""
    return min(
        page.defined[name],
        key=lambda found: abs(page.line_at(found.start) - place.start_line),
    )
