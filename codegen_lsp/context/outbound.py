"""What may leave this machine: a context without secrets, of a file that keeps none.

Knows which parts of a context are text. What a secret looks like is ``privacy``'s affair; who
sends a context, and whether it leaves the machine at all, is known elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from codegen_lsp.context.privacy import scrub, scrub_around
from codegen_lsp.types import CompletionContext

__all__ = ["scrubbed"]


def scrubbed(context: CompletionContext) -> CompletionContext:
    """*context* with a placeholder for every secret, wherever it stands."""
    prefix, suffix = scrub_around(context.prefix, context.suffix)
    moved = _mover(context.prefix, prefix)
    return replace(
        context,
        prefix=prefix,
        suffix=suffix,
        snippets=tuple(replace(one, text=scrub(one.text).text) for one in context.snippets),
        kept=tuple(
            replace(one, offset=moved(one.offset), text=scrub(one.text).text)
            for one in context.kept
        ),
        cuts=tuple(moved(offset) for offset in context.cuts),
    )


def _mover(before: str, after: str) -> Callable[[int], int]:
    """Where the line that begins at an offset of *before* begins in *after*.

    Scrubbing changes the length of lines and never their number.
    """
    if before == after:
        return lambda offset: offset
    starts = [0, *(place + 1 for place, sign in enumerate(after) if sign == "\n")]
    return lambda offset: offset if offset <= 0 else starts[before.count("\n", 0, offset)]
