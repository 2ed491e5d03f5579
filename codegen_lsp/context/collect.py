"""From a snapshot and an offset to what the model may see.

Knows the window, the document's language, and which lines of a long document survive a cut. Code
from other files is looked for elsewhere and handed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from codegen_lsp.context.header import header_at
from codegen_lsp.context.window import Window, cut_window, plain
from codegen_lsp.syntax.languages import language_of, syntax_of
from codegen_lsp.types import CompletionContext, Kept, Snapshot, Snippet

__all__ = ["collect"]

FITS: Final = 3
"""A text of a third of the window's size is shown whole, however much its tokens take."""


def collect(
    snapshot: Snapshot,
    offset: int,
    size: int,
    *,
    snippets: Iterable[Snippet] = (),
    header: bool = True,
) -> CompletionContext:
    """The context at *offset*, with at most *size* characters before the cursor.

    *snippets* come most important first. *header* says whether imports and the signatures around
    the cursor survive a cut, and whether cuts are made at definitions.
    """
    language = snapshot.language_id or language_of(snapshot.uri)
    kept: tuple[Kept, ...] = ()
    starts: tuple[int, ...] = ()
    if header and offset > size // FITS:
        found = header_at(snapshot.text, offset, language)
        kept, starts = found.kept, found.starts
    window = cut_window(snapshot.text, offset, size, starts)
    before = [start for start in starts if start > window.edge]
    cuts = _relative(snapshot.text, window, before)
    places = _relative(snapshot.text, window, [one.offset for one in kept])
    return CompletionContext(
        prefix=window.prefix,
        suffix=window.suffix,
        language_id=language,
        path=snapshot.uri,
        snippets=tuple(snippets),
        starts_document=window.starts_document,
        line_end=window.line_end,
        comment=syntax_of(language).comment,
        cuts=tuple(cuts),
        kept=tuple(replace(one, offset=at) for at, one in zip(places, kept, strict=True)),
    )


def _relative(text: str, window: Window, offsets: Iterable[int]) -> list[int]:
    """Ascending *offsets* into *text* as offsets into the window's prefix; negative before it."""
    found: list[int] = []
    last, place = window.edge, 0
    for offset in offsets:
        if offset < window.edge:
            found.append(offset - window.edge)
            continue
        place += len(plain(text[last:offset]))
        last = offset
        found.append(place)
    return found
