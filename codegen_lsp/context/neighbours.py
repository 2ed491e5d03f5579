"""The choice: which code of other documents a model should see at a cursor.

Knows the sources (open documents, imports, definitions, similar files), which pages each of them
looks at, and how their rankings become one. Does not know when to choose anew (``neighbourhood``),
nor tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from codegen_lsp.context.packing import Piece, contents, fuse, pack
from codegen_lsp.context.pages import Library, Page, akin
from codegen_lsp.context.related import definitions, imports
from codegen_lsp.context.scene import Cursor, Scene
from codegen_lsp.context.windows import (
    FOLLOWING,
    LEAD,
    Match,
    Query,
    best_matches,
    query_of,
    rows_after,
)
from codegen_lsp.types import Origin, Snippet

__all__ = ["Choice", "choose"]

MOST_BUFFERS: Final = 20
"""How many open and lately edited documents are searched."""

MOST_FILES: Final = 10
"""How many files of the workspace are searched, those first that share most words."""

MATCHES: Final = 2
"""Places of one document, at most."""

MOST_PIECES: Final = 8
"""Of each ranking, at most."""

LEAST_SCORE: Final = 0.04
"""A window that has less in common with the code before the cursor is not like it."""

OPENED: Final = 1.2
"""How much a match in an open document counts: it is what the user works with."""

STRANGER: Final = 0.5
"""How much a match in another language counts."""

SHOWN_BEFORE: Final = 8_000
SHOWN_AFTER: Final = 4_000
"""Characters of the document around the cursor that the prompt shows anyway, at least."""

_NO_IDEA: Final = 4.0
"""The weight of a word where nothing is known of how rare it is."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be chosen."""

    sources: frozenset[Origin]

    limit: int
    """Characters of all snippets, their paths included."""


@dataclass(frozen=True, slots=True)
class _Search:
    """What all sources are given."""

    scene: Scene
    sources: frozenset[Origin]
    query: Query

    shown: range
    """Lines of the document that the prompt shows anyway."""


def choose(cursor: Cursor, library: Library, choice: Choice) -> tuple[Snippet, ...]:
    """The snippets for a cursor, most important first.

    None is of what stands around the cursor, no two say the same, each has at most
    :data:`packing.MOST_ROWS` lines.
    """
    page = cursor.page
    shown = _shown(page, cursor.offset, choice.limit)
    search = _Search(Scene(cursor, library), choice.sources, _query(cursor), shown)
    rankings = [source(search)[:MOST_PIECES] for source in _RANKINGS]
    around = contents(page.lines[shown.start : shown.stop])
    return pack(fuse(rankings), around, choice.limit)


def _shown(page: Page, offset: int, limit: int) -> range:
    """The lines that a prompt with room for *limit* characters of snippets shows of the document.

    Snippets get a quarter of a prompt, or more where the document leaves it free.
    """
    first = max(0, offset - max(SHOWN_BEFORE, 4 * limit))
    last = min(len(page.text), offset + SHOWN_AFTER)
    return range(page.line_at(first), page.line_at(last) + 1)


def _query(cursor: Cursor) -> Query:
    """What is looked for, by how rare words are in the document's folder, or else in the first."""
    text, offset = cursor.page.text, cursor.offset
    if not cursor.indexes:
        return query_of(text, offset, lambda words: np.full(len(words), _NO_IDEA), "no idea")
    _, index = cursor.indexes[0]
    return query_of(text, offset, index.rarity, (id(index), index.version))


def _alike(search: _Search) -> list[Piece]:
    """Places like the one before the cursor, best first; of equally good ones open ones first."""
    found: list[tuple[Match, Origin]] = []
    if Origin.OPEN in search.sources:
        found += [(match, Origin.OPEN) for match in (*_own(search), *_open(search))]
    if Origin.SIMILAR in search.sources:
        found += [(match, Origin.SIMILAR) for match in _similar(search)]
    ranked = sorted(found, key=lambda one: -one[0].score)
    rows = ((match.page, tuple(rows_after(match)), origin) for match, origin in ranked)
    return [Piece(page, lines, origin) for page, lines, origin in rows if lines]


def _open(search: _Search) -> list[Match]:
    """Similar places in open and lately edited documents."""
    library, language = search.scene.library, search.scene.cursor.page.language_id
    buffers = sorted(
        search.scene.buffers, key=lambda buffer: not akin(buffer.language_id, language)
    )
    found: list[Match] = []
    for buffer in buffers[:MOST_BUFFERS]:
        page = library.of_buffer(buffer)
        if page is not None:
            factor = 1.0 if akin(page.language_id, language) else STRANGER
            found += _matches(search, page, OPENED * factor)
    return found


def _own(search: _Search) -> list[Match]:
    """Similar places in the document itself, where the prompt does not show it."""
    page, shown = search.scene.cursor.page, search.shown
    if len(shown) == len(page.lines):
        return []

    hidden = range(shown.start - FOLLOWING, shown.stop + LEAD)
    return _matches(search, page, OPENED, hidden)


def _similar(search: _Search) -> list[Match]:
    """Similar places in the files of the workspace that share most words."""
    cursor, library = search.scene.cursor, search.scene.library
    language = cursor.page.language_id
    words = search.query.long.words
    taken = search.scene.buffers if Origin.OPEN in search.sources else ()
    places = [library.place(Path(buffer.path)) for buffer in taken if buffer.path is not None]
    files: list[tuple[float, Path, str]] = []
    for root, index in cursor.indexes:
        known = {place[1] for place in places if place is not None and place[0] == root}
        exclude = known | ({cursor.relative} if root == cursor.root else set())
        alike = index.similar(
            words, limit=MOST_FILES, exclude=exclude, language_id=language or None
        )
        files += [(-score, root, path) for path, score in alike]
    found: list[Match] = []
    for _, root, path in sorted(files)[:MOST_FILES]:
        page = library.of_file(root, path)
        if page is not None:
            found += _matches(search, page)
    return found


def _matches(
    search: _Search, page: Page, factor: float = 1.0, hidden: range = range(0)
) -> list[Match]:
    best = best_matches(page, search.query, most=MATCHES, hidden=hidden)
    valued = (replace(match, score=match.score * factor) for match in best)
    return [match for match in valued if match.score >= LEAST_SCORE]


_RANKINGS: Final[Sequence[Callable[[_Search], list[Piece]]]] = (
    _alike,
    lambda search: definitions(search.scene) if Origin.DEFINITIONS in search.sources else [],
    lambda search: imports(search.scene) if Origin.IMPORTS in search.sources else [],
)
"""What is compared within itself: similarities with similarities, distances with distances."""
