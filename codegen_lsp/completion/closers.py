"""Brackets and quotes: whose a closer is, the answer's or the document's.

Knows what is open at the cursor and what an editor may have closed itself. Does not parse: what
cannot be told from brackets and quotes alone is left to the steps that do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from codegen_lsp.completion.draft import Draft
from codegen_lsp.completion.lexing import CLOSERS, START, lex
from codegen_lsp.completion.overlap import overlap
from codegen_lsp.completion.place import Place
from codegen_lsp.syntax.languages import Syntax

__all__ = ["balance", "replace_closers", "strip_overlap"]

_QUOTES: Final = "\"'`"
_OPENING: Final = frozenset("([{" + _QUOTES)
_PROSE: Final = Syntax(strings=())
_TRAILING: Final = ",;:>"
"""Punctuation that an editor or a writer puts after a closer."""


def strip_overlap(draft: Draft) -> Draft:
    """The end of the answer is not the beginning of what follows it.

    Closers after the cursor are left to :func:`replace_closers`, which knows what they close.
    """
    text, place = draft.text.rstrip(), draft.place
    if place.tail.strip() and place.closing_tail:
        return draft
    length = overlap(text, draft.context.suffix)
    return draft if not length or _closes_own(draft, text, length) else draft.to(text[:-length])


def balance(draft: Draft) -> Draft:
    """No closing bracket that nothing opened."""
    place = draft.place
    if not place.syntax.balanced or place.lexed.inside:
        return draft
    unmatched = lex(draft.text, place.syntax, place.lexed).unmatched
    return draft.to(draft.text[: unmatched[0]]) if unmatched else draft


def replace_closers(draft: Draft) -> Draft:
    """Brackets, quotes and punctuation after the cursor that the answer writes as well.

    What the answer opens and neither it nor the rest of the line closes is left out.
    """
    tail = draft.place.tail.rstrip()
    if not tail or not draft.place.closing_tail or "\n" in draft.text:
        return draft
    if _in_prose(draft.place):
        return draft.to(_without_end(draft.text, tail))
    text = draft.text
    while text.strip():
        fitted = _replaced(draft.to(text), tail)
        if _fits(fitted):
            return fitted
        text = _before_open(draft.to(text))
    return draft.to("")


def _replaced(draft: Draft, tail: str) -> Draft:
    """The draft in place of those signs of *tail* that it writes."""
    text = draft.text
    count = 0
    closing, opened = _closing(draft)
    for character in closing:
        if count < len(tail) and tail[count] == character:
            count += 1
    count = max(0, count - opened)  # each bracket the answer leaves open needs a closer, too
    rest = tail[count:]
    if rest and text.endswith(rest) and not any(c in CLOSERS or c in _QUOTES for c in rest):
        count = len(tail)
    # What ends the same in both need not be replaced.
    while count and count == len(tail) and text.endswith(tail[-1]):
        blanks = "" if draft.place.lexed.string else " \t"  # those in a string are its own
        text, tail, count = text[:-1].rstrip(blanks), tail[:-1], count - 1
    return replace(draft, text=text, replaced=count)


def _fits(draft: Draft) -> bool:
    """Whether the line, with the draft in it, leaves no more open than it did without."""
    place = draft.place
    now, before = (
        lex(line, place.syntax, place.lexed)
        for line in (draft.text + place.tail[draft.replaced :], place.tail)
    )
    return (
        (now.inside == before.inside or not now.string)
        and len(now.brackets) <= len(before.brackets)
        and len(now.unmatched) <= len(before.unmatched)
    )


def _before_open(draft: Draft) -> str:
    """The longest beginning of the draft before something that it opens and does not close."""
    place = draft.place
    for offset in range(len(draft.text) - 1, 0, -1):
        if draft.text[offset] in _OPENING:
            state = lex(draft.text[:offset], place.syntax, place.lexed)
            own = state.string and state.opened is not None
            if not own and len(state.brackets) <= len(place.lexed.brackets):
                return draft.text[:offset].rstrip()
    return ""


def _in_prose(place: Place) -> bool:
    """Whether the cursor is in a comment or a docstring, where signs are only text."""
    inside = place.lexed.inside
    return bool(inside) and (not place.lexed.string or len(inside) > 1)


def _without_end(text: str, tail: str) -> str:
    """Prose without its end, if that is *tail* and closes what was open before the cursor."""
    said = text.rstrip()
    if not said.endswith(tail):
        return text
    quote = tail[0] if tail[0] in _QUOTES else ""
    closes = said.count(quote) % 2 == 1 if quote else bool(lex(said, _PROSE).unmatched)
    return said[: -len(tail)] if closes else text


def _closes_own(draft: Draft, text: str, length: int) -> bool:
    """Whether the common part closes a bracket of the answer's, and the document's one of its own.

    Of ``bin(`` and ``)[2:]`` the brackets are a pair: the end of ``str(x)`` between them is none of
    theirs.
    """
    place = draft.place
    if not place.syntax.balanced or place.lexed.inside or not place.lexed.brackets:
        return False
    whole, kept = (lex(said, place.syntax) for said in (text, text[:-length]))
    return text[-length:].strip()[0] in CLOSERS and len(kept.brackets) > len(whole.brackets)


def _closing(draft: Draft) -> tuple[str, int]:
    """What the answer writes at and after the first closer of something it did not open.

    And how many brackets it leaves open. A string that it leaves open needs what follows.
    """
    place = draft.place
    state = replace(START, inside=place.lexed.inside, string=place.lexed.string)
    found = lex(draft.text, place.syntax, state)
    starts = [*found.unmatched[:1], *([] if found.quote_end is None else [found.quote_end])]
    if not starts or found.string:
        return "", 0
    signs = set(found.unmatched) | {found.quote_end}
    written = "".join(
        character
        for offset, character in enumerate(draft.text)
        if offset in signs or (offset > min(starts) and character in _TRAILING)
    )
    return written, len(found.brackets)
