"""Tidying an answer: pure functions, applied in the order of :data:`STEPS`.

Knows the text of an answer and the place it is to stand in. After the last step it repeats
nothing that follows the cursor, holds no loop, does not end within a word, and is something to
see; or it is empty, and there is nothing to suggest. Does not know tokens or engines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from codegen_lsp.completion.closers import balance, replace_closers, strip_overlap
from codegen_lsp.completion.complete import drop_broken, drop_unfinished
from codegen_lsp.completion.draft import Draft, Step
from codegen_lsp.completion.lexing import Lexed, lex
from codegen_lsp.completion.loops import loop_start
from codegen_lsp.completion.overlap import same_line
from codegen_lsp.completion.stopping import End, whole
from codegen_lsp.prompts.tokenizer import END_OF_TEXT
from codegen_lsp.syntax.languages import language_of
from codegen_lsp.types import Trigger

__all__ = ["PART_STEPS", "STEPS", "Draft", "Tidy", "tidy"]

LEAST_VISIBLE: Final = {Trigger.AUTOMATIC: 4, Trigger.INVOKED: 1}
"""Fewest visible characters worth showing, by what asked for them."""

_NO_TEXT: Final = ("<|", "\ufffd", "\0")
_FENCE: Final = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_FENCED: Final = frozenset({"markdown", "restructuredtext", "plaintext", ""})
"""Languages in which a fence is a part of the text."""

_PATH_LABEL: Final = re.compile(r"(?:path|file|filename):\s*(?=\S)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tidy:
    """What is left: put *text* in place of *replaced* characters after the cursor."""

    text: str
    replaced: int


def cut_markers(draft: Draft) -> Draft:
    """Nothing after the end of the text, after what is no text, or after the end of the code."""
    text = draft.text.partition(END_OF_TEXT)[0]
    found = [place for m in _NO_TEXT if (place := text.find(m)) >= 0]
    cut = replace(draft, text=text[: min(found)], end=End.CUT) if found else draft.to(text)
    fence = _fence(cut)
    return cut if fence is None else replace(cut, text=cut.text[:fence].rstrip(), end=End.WHOLE)


def drop_echo(draft: Draft) -> Draft:
    """What the prompt says is not said again: the line before the cursor, a snippet's heading."""
    head = draft.place.head.strip()
    text = draft.text.removeprefix(head) if len(head) > 3 else draft.text
    start = 0
    for line in text.split("\n"):
        if (start or draft.place.blank) and _is_heading(draft, line):
            return replace(draft, text=text[:start].rstrip(), end=End.WHOLE)
        start += len(line) + 1
    return draft.to(text)


def cut_loop(draft: Draft) -> Draft:
    """Nothing from where the answer only repeats itself, or the lines above it."""
    start = loop_start(draft.place.above, draft.place.head, draft.text)
    if start is None:
        return draft
    return replace(draft, text=draft.text[:start].rstrip(), end=End.LOOP)


def keep_shape(draft: Draft) -> Draft:
    """One line, one statement or one block, and nothing of what follows in the document."""
    answer = whole(draft.plan, draft.text, draft.end)
    return replace(draft, text=answer.text, end=answer.end)


def drop_last_repetition(draft: Draft) -> Draft:
    """The last line is not the document's next one."""
    lines, _, last = draft.text.rpartition("\n")
    place = draft.place
    line, below = last if lines else place.head + last, place.below
    begun = (line + place.tail).rstrip()
    cut = draft.end is End.CUT and len(last.strip()) > 3 and bool(line.strip())
    above = lines.rpartition("\n")[2] or (place.above[-1] if place.above else "")
    again = same_line(line, below, above) or (cut and below.startswith(begun))
    return draft.to(lines.rstrip()) if again and not _closes_itself(draft, last) else draft


def fit_blanks(draft: Draft) -> Draft:
    """No second blank after one before the cursor, and none at the end of a line.

    Behind two, columns are being aligned. Nor is there one before a blank or a closer; before
    anything else that follows, one may be needed.
    """
    place, text = draft.place, draft.text
    follows = place.tail[:1]
    if place.lexed.string and follows == place.lexed.inside:
        return draft  # blanks in a string are its own
    if place.head[-1:].isspace() and not place.head[-2:].isspace():
        text = text.lstrip(" \t")
    opens_string = follows in place.syntax.strings and not place.lexed.string
    closes = follows in ")]},;:" or (place.closing_tail and not opens_string)
    if not follows.strip() or closes:
        text = text.rstrip()
    return draft.to(text)


def drop_trifles(draft: Draft) -> Draft:
    """Too little to be shown, or the line above once more."""
    place, trigger = draft.place, draft.plan.trigger
    visible = sum(not character.isspace() for character in draft.text)
    if visible < LEAST_VISIBLE[trigger]:
        return draft.to("")
    first = place.head + draft.text.partition("\n")[0]
    again = bool(place.above) and first == place.above[-1] and len(first.strip()) > 4
    return draft.to("") if again else draft


STEPS: Final[tuple[Step, ...]] = (
    cut_markers,
    drop_echo,
    cut_loop,
    keep_shape,
    drop_unfinished,
    drop_last_repetition,
    balance,
    strip_overlap,
    fit_blanks,
    replace_closers,
    drop_trifles,
    drop_broken,
)
"""In the order they are applied; each sees what the one before left."""

PART_STEPS: Final = tuple(step for step in STEPS if step is not drop_broken)
"""Those for the beginning of the cursor's line, which need not parse: it is to be gone on with."""


def tidy(draft: Draft, steps: Sequence[Step] = STEPS) -> Tidy | None:
    """What is left of *draft* after all steps; ``None`` if nothing is worth showing."""
    for step in steps:
        draft = step(draft)
        if not draft.text.strip():
            return None
    return Tidy(draft.text, draft.replaced)


def _fence(draft: Draft) -> int | None:
    """Where a fence ends the code, as around code in a text for people."""
    place = draft.place
    if place.language_id in _FENCED:
        return None
    for found in _FENCE.finditer(draft.text):
        before = lex(draft.text[: found.start()], place.syntax, place.lexed)
        if not before.inside and (found.start() or place.blank):
            return found.start()
    return None


def _is_heading(draft: Draft, line: str) -> bool:
    """Whether *line* is a comment that names a file, as those that snippets begin with do."""
    begin, end = (sign.strip() for sign in draft.context.comment)
    said = line.strip()
    if not said.startswith(begin) or not said.endswith(end):
        return False
    said = said.removeprefix(begin).removesuffix(end).strip()
    label = _PATH_LABEL.match(said)
    name = said[label.end() :] if label else said
    if name in {snippet.path for snippet in draft.context.snippets}:
        return True
    return (label is not None or "/" in name) and " " not in name and bool(language_of(name))


def _closes_itself(draft: Draft, last: str) -> bool:
    """Whether the *last* line closes a bracket that the answer opened."""
    place = draft.place
    if not place.syntax.balanced or "\n" not in draft.text or place.awaits_opener:
        return False
    before: Lexed = lex(draft.text[: -len(last) or None], place.syntax, place.lexed)
    return last.lstrip()[:1] in (")", "]", "}") and len(before.brackets) > len(place.lexed.brackets)
