"""What a prompt says before the text before the cursor: snippets as comments, lines kept of a cut.

Knows how code from elsewhere becomes comments, what is chosen where not all of it fits, and the
order. Does not know how much room there is, nor why a snippet was found.

*The choice* goes by importance: snippets come most important first, and each takes what it needs
of the room until there is none left; one that does not fit gives up its last lines, or all of
itself. *The order* goes by path and text, so that a prompt's beginning changes only when the choice
does.
"""

from __future__ import annotations

import functools
import re
import weakref
from collections.abc import Sequence
from typing import Final

from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.types import Kept, Snippet

__all__ = ["as_comments", "kept_lines", "kept_size", "whole_lines"]

FEWEST_LINES: Final = 3
"""A snippet that has to be shortened keeps at least so many lines, or is left out."""

_LINE_END: Final = re.compile(r"\r\n?|\n")


def as_comments(
    snippets: Sequence[Snippet], comment: tuple[str, str], tokenizer: CodeTokenizer, room: int
) -> list[int]:
    """Tokens of those *snippets* (most important first) that fit in *room* tokens.

    Each is headed by its path, every line is a comment and ends with a line end.
    """
    chosen: list[tuple[str, str, tuple[int, ...]]] = []
    for snippet in dict.fromkeys(snippets):
        ids = _fitted(_commented(snippet, comment), tokenizer, room)
        if ids:
            room -= len(ids)
            chosen.append((snippet.path, snippet.text, ids))
    return [token for *_, ids in sorted(chosen) for token in ids]


def kept_size(kept: Sequence[Kept], tokenizer: CodeTokenizer) -> int:
    """How many tokens all of *kept* would take."""
    return sum(len(_encoded(weakref.ref(tokenizer), _ended(one.text))) for one in kept)


def kept_lines(kept: Sequence[Kept], tokenizer: CodeTokenizer, room: int) -> list[int]:
    """Tokens of those of *kept* that fit in *room* tokens, in their order.

    The last are chosen first: signatures stand behind imports, and a project's own imports
    usually behind those of its libraries.
    """
    chosen: list[tuple[int, ...]] = []
    for one in reversed(kept):
        ids = _encoded(weakref.ref(tokenizer), _ended(one.text))
        if len(ids) <= room:
            room -= len(ids)
            chosen.append(ids)
    return [token for ids in reversed(chosen) for token in ids]


def whole_lines(ids: Sequence[int], tokenizer: CodeTokenizer, limit: int) -> list[int]:
    """The beginning of *ids*, at most *limit* tokens long, that ends where a line ends.

    Everything where it fits; nothing where the first line does not.
    """
    if len(ids) <= limit:
        return list(ids)
    for place in range(limit, 0, -1):
        if (tokenizer.token_text(ids[place]) or "").startswith("\n"):
            return list(ids[:place])
    return []


def _commented(snippet: Snippet, comment: tuple[str, str]) -> list[str]:
    """The lines of a snippet, each a comment; the first says where it is from."""
    begin, end = comment
    sign = end.strip()
    lines = [_LINE_END.sub(" ", snippet.path), *_LINE_END.split(snippet.text.strip("\r\n"))]
    if sign:  # what ends a comment must not stand in one
        lines = [line.replace(sign, " ".join(sign)) for line in lines]
    return [f"{begin}{line}{end}".rstrip() for line in lines]


def _fitted(lines: Sequence[str], tokenizer: CodeTokenizer, room: int) -> tuple[int, ...]:
    """All of *lines*, or as many of the first as fit and say something; else nothing."""
    reference = weakref.ref(tokenizer)
    ids = _encoded(reference, _joined(lines))
    if len(ids) <= room:
        return ids
    if room <= 0:
        return ()
    count = tokenizer.decode(whole_lines(ids, tokenizer, room)).count("\n") + 1
    while count > FEWEST_LINES:  # the path, and so many lines
        shorter = _encoded(reference, _joined(lines[:count]))
        if len(shorter) <= room:
            return shorter
        count -= 1
    return ()


def _joined(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


@functools.lru_cache(maxsize=256)
def _encoded(tokenizer: weakref.ref[CodeTokenizer], text: str) -> tuple[int, ...]:
    """Tokens that are asked for again at each keystroke; the tokenizer may go meanwhile."""
    alive = tokenizer()
    return tuple(alive.encode(text)) if alive is not None else ()
