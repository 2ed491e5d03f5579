"""From a snapshot and an offset to what the model may see.

Knows the window and the document's language. Code from other files is not looked for, so there
are no snippets.
"""

from __future__ import annotations

from codegen_lsp.context.window import cut_window
from codegen_lsp.syntax.languages import language_of, syntax_of
from codegen_lsp.types import CompletionContext, Snapshot

__all__ = ["collect"]


def collect(snapshot: Snapshot, offset: int, size: int) -> CompletionContext:
    """The context at *offset*, with at most *size* characters before the cursor."""
    window = cut_window(snapshot.text, offset, size)
    language = snapshot.language_id or language_of(snapshot.uri)
    return CompletionContext(
        prefix=window.prefix,
        suffix=window.suffix,
        language_id=language,
        path=snapshot.uri,
        starts_document=window.starts_document,
        line_end=window.line_end,
        comment=syntax_of(language).comment,
    )
