"""Completeness: how much of an answer can stand where it is to stand.

Knows what is open at the end of an answer, and what parsers say of the code with the answer in
it. An answer of several lines is cut back to its last complete statement; of what is not complete
even then, the first line alone may be good, as the beginning of something. Does not know why an
answer was cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from codegen_lsp.completion.draft import Draft
from codegen_lsp.completion.lexing import Lexed, lex
from codegen_lsp.completion.parsing import Fit, breaks_python, fits, has_room
from codegen_lsp.completion.place import opens_block
from codegen_lsp.completion.stopping import End
from codegen_lsp.syntax.breaks import breaks

__all__ = ["drop_broken", "drop_unfinished"]

MOST_PARSED: Final = 6
"""Most shortenings of an answer that are parsed."""

_WORD_END: Final = re.compile(r"\w+\Z")


def drop_unfinished(draft: Draft) -> Draft:
    """Where an answer was cut off: not the line or the word it was cut in.

    And of several lines only as many as leave nothing open that nothing after them closes: no
    bracket, no string, no block without a body.
    """
    text = draft.text
    if draft.end is End.CUT:
        lines, _, last = text.rpartition("\n")
        kept = len(text) - len(last)
        text = lines.rstrip() if lines.strip() else text[:kept] + _WORD_END.sub("", last)
    if not text.strip():
        return draft.to("")
    return draft.to(_closed(draft, text))


def drop_broken(draft: Draft) -> Draft:
    """Only as many lines as can be parsed with what stands around them."""
    if draft.place.language_id == "python":
        return draft.to(_python(draft))
    return draft.to(_by_tree(draft))


def _closed(draft: Draft, text: str) -> str:
    """The beginning of *text* that leaves nothing open, or its first line if that is good."""
    shorter = _first_line(text)
    several = shorter != text
    if several and not draft.place.awaits_opener:
        for candidate in _line_ends(text):
            if candidate == shorter:
                break
            if not _open(draft, candidate) and not _opens(draft, candidate):
                return candidate
    elif several:
        while shorter != text and _opens(draft, text):
            text = _shorter(text)
        return text
    elif draft.end is not End.CUT:
        return text
    return _outside_string(draft, shorter)


def _outside_string(draft: Draft, line: str) -> str:
    """*line* without a string that it opens and nothing closes."""
    place = draft.place
    state = lex(line, place.syntax, place.lexed)
    if not (state.string and state.opened is not None) or place.tail.strip():
        return line
    before = line[: state.opened].rstrip()
    return before if before.endswith(tuple(place.syntax.openers)) else ""


def _open(draft: Draft, text: str) -> bool:
    """Whether *text* opens a string or a bracket that it does not close."""
    place = draft.place
    state: Lexed = lex(text, place.syntax, place.lexed)
    return bool(state.inside and state.opened is not None and state.inside != "\n") or (
        place.syntax.balanced and len(state.brackets) > len(place.lexed.brackets)
    )


def _opens(draft: Draft, text: str) -> bool:
    """Whether the last line of *text* is nothing without the next."""
    last = text.rpartition("\n")[2]
    return last.endswith("\\") or opens_block(last, draft.place.syntax)


def _first_line(text: str) -> str:
    """*text* to the end of its first line that is not blank."""
    begun = len(text) - len(text.lstrip())
    end = text.find("\n", begun)
    return text if end < 0 else text[:end].rstrip()


def _begins_below(text: str) -> bool:
    """Whether *text* begins with a line break."""
    return "\n" in text[: len(text) - len(text.lstrip())]


def _shorter(text: str) -> str:
    """*text* without its last line."""
    return text.rpartition("\n")[0].rstrip()


def _line_ends(text: str) -> Iterator[str]:
    """*text*, then *text* without its last line, and so on while there is something to see."""
    while text.strip():
        yield text
        text = _shorter(text)


def _python(draft: Draft) -> str:
    """The longest beginning of an answer in Python that fits.

    Of several lines, one that parses in place; if there is none, and the code around the answer
    is to blame, one that is not wrong; else the first line, if it is not wrong. Behind a line break
    the first line has to be whole as well: what it would only begin (a bracket, a block) is seldom
    what is wanted, and leaves the document broken.
    """
    prefix, suffix = draft.context.prefix, draft.context.suffix[draft.replaced :]
    first = _first_line(draft.text)
    several = [text for text in _line_ends(draft.text) if len(text) > len(first)]
    for text in several:
        fit = fits(prefix, text, suffix)
        if fit is Fit.WHOLE:
            return text
        if fit is Fit.UNKNOWN:
            return _by_tree(draft)
    if several and not has_room(prefix, suffix):
        for text in several:
            if not _opens(draft, text) and not breaks_python(prefix, text, suffix):
                return text
    if _begins_below(first) and (_open(draft, first) or _opens(draft, first)):
        return ""
    return "" if breaks_python(prefix, first, suffix) else first


def _by_tree(draft: Draft) -> str:
    """The longest beginning of an answer that brings no error into the syntax tree.

    One line that leaves something open is not judged, it is to be gone on with; nor is prose.
    """
    place, suffix = draft.place, draft.context.suffix[draft.replaced :]
    if place.lexed.inside:
        return draft.text
    first = _first_line(draft.text)
    tries = 0
    for text in _line_ends(draft.text):
        unfinished = _open(draft, text) or _opens(draft, text)
        if text == first and unfinished:
            return text
        if unfinished and not place.awaits_opener:
            continue
        tries += 1
        if tries > MOST_PARSED or not breaks(place.before, text, suffix, place.language_id):
            return text if tries <= MOST_PARSED else ""
    return ""
