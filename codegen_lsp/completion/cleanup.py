"""Tidying an answer: pure functions, applied in the order of :data:`STEPS`.

Knows the text of an answer and the place it is to stand in. After the last step it repeats
nothing that follows the cursor, holds no loop, does not end within a word, and is something to
see; or it is empty, and there is nothing to suggest. Does not know tokens or engines.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from codegen_lsp.completion.budget import Plan
from codegen_lsp.completion.lexing import CLOSERS, START, lex
from codegen_lsp.completion.parsing import breaks_python
from codegen_lsp.completion.place import opens_block
from codegen_lsp.completion.stopping import End, same_line, whole
from codegen_lsp.prompts.tokenizer import END_OF_TEXT
from codegen_lsp.types import CompletionContext, Trigger

__all__ = ["STEPS", "Draft", "Tidy", "tidy"]

LEAST_VISIBLE: Final = {Trigger.AUTOMATIC: 3, Trigger.INVOKED: 1}
"""Fewest visible characters worth showing, by what asked for them."""

LEAST_LOG_PROB: Final = {Trigger.AUTOMATIC: -2.5, Trigger.INVOKED: -9.0}
"""Least mean log-probability per token (natural logarithm) worth showing."""

_NO_TEXT: Final = ("<|", "\ufffd", "\0")
_WORD_END: Final = re.compile(r"\w+\Z")


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer on its way through the steps."""

    text: str
    plan: Plan
    context: CompletionContext
    end: End
    log_prob: float | None = None

    replaced: int = 0
    """How many characters after the cursor the text replaces."""

    def to(self, text: str) -> Draft:
        """The same draft with another text."""
        return self if text == self.text else replace(self, text=text)


@dataclass(frozen=True, slots=True)
class Tidy:
    """What is left: put *text* in place of *replaced* characters after the cursor."""

    text: str
    replaced: int


Step = Callable[[Draft], Draft]


def cut_markers(draft: Draft) -> Draft:
    """Nothing after the end of the text, or after what is no text."""
    text = draft.text.partition(END_OF_TEXT)[0]
    found = [place for m in _NO_TEXT if (place := text.find(m)) >= 0]
    return replace(draft, text=text[: min(found)], end=End.CUT) if found else draft.to(text)


def drop_echo(draft: Draft) -> Draft:
    """The line before the cursor is not said again."""
    head = draft.plan.place.head.strip()
    rest = draft.text.removeprefix(head) if len(head) > 3 else draft.text
    return draft.to(rest)


def keep_shape(draft: Draft) -> Draft:
    """One line, one statement or one block, without loops and what follows in the document."""
    answer = whole(draft.plan, draft.text, draft.end)
    return replace(draft, text=answer.text, end=answer.end)


def drop_unfinished(draft: Draft) -> Draft:
    """Where an answer was cut off: not the line or the word it was cut in, no empty blocks."""
    text = draft.text
    if draft.end is End.CUT:
        lines, _, last = text.rpartition("\n")
        if not lines.strip():
            return draft.to(text[: len(text) - len(last)] + _WORD_END.sub("", last))
        text = lines.rstrip()
    while draft.end is not End.WHOLE and "\n" in text.strip() and _opens(draft, text):
        text = text.rpartition("\n")[0].rstrip()
    return draft.to(text)


def _opens(draft: Draft, text: str) -> bool:
    return opens_block(text.rpartition("\n")[2], draft.plan.place.syntax)


def drop_last_repetition(draft: Draft) -> Draft:
    """The last line is not the document's next one."""
    lines, _, last = draft.text.rpartition("\n")
    place = draft.plan.place
    line, below = last if lines else place.head + last, place.below
    begun = (line + place.tail).rstrip()
    nearly = len(last.strip()) > 3 and below.startswith(begun) and bool(line.strip())
    return draft.to(lines.rstrip()) if same_line(line, below) or nearly else draft


def strip_overlap(draft: Draft) -> Draft:
    """The end of the answer is not the beginning of what follows it.

    Closers after the cursor are left to :func:`replace_closers`, which knows what they close.
    """
    text, suffix, place = draft.text.rstrip(), draft.context.suffix, draft.plan.place
    if place.tail.strip() and place.closing_tail:
        return draft
    for length in range(min(len(text), len(suffix)), 0, -1):
        if suffix.startswith(text[-length:]) and _is_overlap(text, suffix, length):
            return draft if _closes_own(draft, text, length) else draft.to(text[:-length])
    return draft


def balance(draft: Draft) -> Draft:
    """No closing bracket that nothing opened."""
    place = draft.plan.place
    if not place.syntax.balanced or place.lexed.inside:
        return draft
    unmatched = lex(draft.text, place.syntax, place.lexed).unmatched
    return draft.to(draft.text[: unmatched[0]]) if unmatched else draft


def fit_blanks(draft: Draft) -> Draft:
    """No second blank after one before the cursor, and none at the end of a line.

    Nor before a blank or a closer; before anything else that follows, one may be needed.
    """
    place, text = draft.plan.place, draft.text
    if place.head[-1:].isspace() and not place.blank:
        text = text.lstrip(" \t")
    follows = place.tail[:1]
    opens_string = follows in place.syntax.strings and not place.lexed.string
    closes = follows in ")]},;:" or (place.closing_tail and not opens_string)
    if not follows.strip() or closes:
        text = text.rstrip()
    return draft.to(text)


def drop_trifles(draft: Draft) -> Draft:
    """Too little to be shown, or the line above once more."""
    place, trigger = draft.plan.place, draft.plan.trigger
    visible = sum(not character.isspace() for character in draft.text)
    if visible < LEAST_VISIBLE[trigger]:
        return draft.to("")
    first = place.head + draft.text.partition("\n")[0]
    again = bool(place.above) and first == place.above[-1] and len(first.strip()) > 4
    return draft.to("") if again else draft


def drop_broken(draft: Draft) -> Draft:
    """Only as many lines as can be parsed with what stands around them (Python only)."""
    if draft.plan.place.language_id != "python":
        return draft
    text, suffix = draft.text, draft.context.suffix[draft.replaced :]
    while text and breaks_python(draft.context.prefix, text, suffix):
        text = text.rpartition("\n")[0].rstrip()
        while "\n" in text.strip() and _opens(draft, text):
            text = text.rpartition("\n")[0].rstrip()
    return draft.to(text)


def drop_doubtful(draft: Draft) -> Draft:
    """Nothing the model itself held unlikely."""
    least = LEAST_LOG_PROB[draft.plan.trigger]
    return draft.to("") if draft.log_prob is not None and draft.log_prob < least else draft


def replace_closers(draft: Draft) -> Draft:
    """Brackets, quotes and punctuation after the cursor that the answer writes as well."""
    place, text = draft.plan.place, draft.text
    tail = place.tail.rstrip()
    if not tail or not place.closing_tail or "\n" in text:
        return draft
    count = 0
    closing, opened = _closing(draft)
    for character in closing:
        if count < len(tail) and tail[count] == character:
            count += 1
    count = max(0, count - opened)  # each bracket the answer leaves open needs a closer, too
    rest = tail[count:]
    if rest and text.endswith(rest) and not any(c in CLOSERS or c in "\"'`" for c in rest):
        count = len(tail)
    # What ends the same in both need not be replaced.
    while count and count == len(tail.rstrip()) and text.endswith(tail[-1]):
        text, tail, count = text[:-1], tail[:-1], count - 1
    return replace(draft, text=text, replaced=count)


STEPS: Final[tuple[Step, ...]] = (
    cut_markers,
    drop_echo,
    keep_shape,
    drop_unfinished,
    drop_last_repetition,
    balance,
    strip_overlap,
    fit_blanks,
    replace_closers,
    drop_trifles,
    drop_broken,
    drop_doubtful,
)
"""In the order they are applied; each sees what the one before left."""


def tidy(draft: Draft) -> Tidy | None:
    """What is left of *draft* after all steps; ``None`` if nothing is worth showing."""
    for step in STEPS:
        draft = step(draft)
        if not draft.text.strip():
            return None
    return Tidy(draft.text, draft.replaced)


def _is_overlap(text: str, suffix: str, length: int) -> bool:
    """Whether the common part is one of words, not of halves of words."""
    common, before, after = text[-length:], text[-length - 1 : -length], suffix[length : length + 1]
    if not common.strip():
        return False
    torn_left = (before.isalnum() or before == "_") and (common[0].isalnum() or common[0] == "_")
    torn_right = (after.isalnum() or after == "_") and (common[-1].isalnum() or common[-1] == "_")
    return not torn_left and not torn_right


def _closes_own(draft: Draft, text: str, length: int) -> bool:
    """Whether the common part closes a bracket of the answer's, and the document's one of its own.

    Of ``bin(`` and ``)[2:]`` the brackets are a pair: the end of ``str(x)`` between them is none of
    theirs.
    """
    place = draft.plan.place
    if not place.syntax.balanced or place.lexed.inside or not place.lexed.brackets:
        return False
    whole, kept = (lex(said, place.syntax) for said in (text, text[:-length]))
    return text[-length:].strip()[0] in CLOSERS and len(kept.brackets) > len(whole.brackets)


def _closing(draft: Draft) -> tuple[str, int]:
    """What the answer writes at and after the first closer of something it did not open.

    And how many brackets it leaves open. A string that it leaves open needs what follows.
    """
    place = draft.plan.place
    state = replace(START, inside=place.lexed.inside, string=place.lexed.string)
    found = lex(draft.text, place.syntax, state)
    starts = [*found.unmatched[:1], *([] if found.quote_end is None else [found.quote_end])]
    if not starts or found.string:
        return "", 0
    signs = set(found.unmatched) | {found.quote_end}
    written = "".join(
        character
        for offset, character in enumerate(draft.text)
        if offset in signs or (offset > min(starts) and character in ",;:>")
    )
    return written, len(found.brackets)
