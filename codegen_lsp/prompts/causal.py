r"""The prompt of a model that only continues text: the text before the cursor, as tokens.

Knows token budgets, where a prompt may be cut, and how its end is healed. Does not know what
the answer is used for, nor how snippets are written (``pieces`` does).

*The layout.* End-of-text; snippets as comments; the lines that survive a cut; the text before the
cursor from the cut on. The text has priority: snippets get a quarter of the budget, and of what the
text leaves free as much as makes it a half; kept lines get an eighth, and only where lines before
them are missing.

*The cut.* A text that is too long loses whole eighths of its room, and then what stands before the
next definition or, where none begins soon, before the next line. So the beginning of a prompt stays
where it is while one types, and an engine can keep what it has read of it. For the same reason the
room that snippets leave is counted in coarse steps, and room is kept for all the lines that may
survive a cut, wherever the cut then is.

*Healing.* A cursor often stands inside what the tokenizer would have made one token: after
``self.`` the model, which in training read ``.append`` as one token, sees a lone ``.`` that was
never followed by a word. The tokens at such an end are left out, and the answer is to begin with
their text again; whoever generates sees to that, and generates from the whole prompt where it
does not work out. Blanks after a line end are left alone: indentation is exact as it stands.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from codegen_lsp.prompts.pieces import as_comments, kept_lines, kept_size
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.syntax.latest import latest
from codegen_lsp.types import CompletionContext, Prompt

__all__ = ["Arranged", "PreparedPrompt", "arrange", "prepare", "split", "unfinished"]

SHORTEST_TAIL: Final = 16
"""The stable part ends at the last line break that leaves a tail of at least this length."""

LONGEST_TAIL: Final = 96
"""If that tail would be longer than this, the stable part ends within a line."""

_WITHIN_LINE: Final = 64
"""Then its length is a multiple of this."""

HEALED_TOKENS: Final = 4
"""Most tokens left out at the end."""

SNIPPETS_SHARE: Final = 4
"""Snippets may always take a quarter of the budget."""

SNIPPETS_MOST: Final = 2
"""Snippets take at most half of the budget, however short the text before the cursor is."""

KEPT_SHARE: Final = 8
"""Kept lines take at most an eighth of the budget."""

_STEPS: Final = 8
"""A prompt that is too long loses whole eighths of its room, so that its beginning is stable; the
room of snippets changes by eighths of the budget."""


@dataclass(frozen=True, slots=True)
class PreparedPrompt:
    """A prompt for the engine, and what healing left out of it."""

    prompt: Prompt

    healed: str = ""
    """Text the answer is to begin with, because it stands before the cursor already."""

    unhealed: Prompt | None = None
    """The prompt without healing; ``None`` where nothing was healed."""

    stop_ids: tuple[int, ...] = ()
    """Tokens that end the answer, beside end-of-text."""

    answer_prefix: tuple[int, ...] = ()
    """Tokens that an encoder-decoder's answer begins with; given, not generated."""


@dataclass(frozen=True, slots=True)
class Arranged:
    """What stands before the cursor in a prompt."""

    head: list[int]
    """Snippets as comments, then kept lines; whole lines."""

    window: list[int]
    """The text before the cursor, or the end of it."""

    begins: bool
    """Whether this can be taken for the beginning of a document."""


def prepare(context: CompletionContext, tokenizer: CodeTokenizer, budget: int) -> PreparedPrompt:
    """The prompt of *context*, at most *budget* tokens (at least 1) long.

    A document's beginning is told by the end-of-text token, which stood between documents in
    training; it also makes sure that no prompt is empty.
    """
    arranged = arrange(context, tokenizer, max(1, budget - 1))
    ids = arranged.head + arranged.window
    if not ids or (arranged.begins and len(ids) < budget):
        ids.insert(0, tokenizer.eos_id)
    left_out = unfinished(ids, context.prefix, tokenizer)
    if not left_out:
        return PreparedPrompt(split(ids, tokenizer))
    return PreparedPrompt(
        prompt=split(ids[:-left_out], tokenizer),
        healed=tokenizer.decode(ids[-left_out:]),
        unhealed=split(ids, tokenizer),
    )


def arrange(context: CompletionContext, tokenizer: CodeTokenizer, budget: int) -> Arranged:
    """Share *budget* tokens (at least 1) between snippets, kept lines and the text."""
    ids = tokenizer.encode(context.prefix)
    allowed = _snippet_room(len(ids), budget)
    snippets = as_comments(context.snippets, context.comment, tokenizer, allowed)
    room = budget - len(snippets)
    before = tuple(one for one in context.kept if one.offset < 0)
    most = budget // KEPT_SHARE
    if len(ids) + min(most, kept_size(before, tokenizer)) <= room:
        kept = kept_lines(before, tokenizer, most)
        whole = context.starts_document
        return Arranged(snippets + kept, ids, whole or bool(snippets or kept))
    reserved = min(most, kept_size(context.kept, tokenizer))
    place, begin = _cut(ids, context, tokenizer, room - reserved)
    window = ids[place:]
    before = tuple(one for one in context.kept if one.offset < begin)
    head = snippets + kept_lines(before, tokenizer, reserved)
    return Arranged(head, window, bool(head))


def _snippet_room(length: int, budget: int) -> int:
    """Most tokens of snippets before a text of *length* tokens; changes in coarse steps."""
    step = max(1, budget // _STEPS)
    free = budget - -(-length // step) * step
    return min(max(free, budget // SNIPPETS_SHARE), budget // SNIPPETS_MOST)


def _cut(
    ids: list[int], context: CompletionContext, tokenizer: CodeTokenizer, room: int
) -> tuple[int, int]:
    """Where the last *room* tokens or fewer of *ids* begin best, and what offset that is.

    Within a step: at the first definition, else at the first line break, else at a character.
    """
    step = max(1, room // _STEPS)
    start = min(-(-max(0, len(ids) - room) // step) * step, len(ids))
    stop = min(len(ids) - 1, start + step)
    cuts = set(context.cuts)
    first = None
    for place, begin, line in _line_breaks(tuple(ids[:stop]), start, weakref.ref(tokenizer)):
        if line in cuts:
            return place, begin
        first = (place, begin) if first is None else first
    if first is not None:
        return first
    place = _at_character(ids, tokenizer, start)
    return place, len(context.prefix) - len(tokenizer.decode(ids[place:]))


@latest  # from one keystroke to the next the beginning of a text is the same
def _line_breaks(
    ids: tuple[int, ...], start: int, tokenizer: weakref.ref[CodeTokenizer]
) -> list[tuple[int, int, int]]:
    """Tokens of *ids*, the beginning of a text, from *start* on that begin with a line break: where
    they are, where they begin in the text, and where the next line does.
    """
    alive = tokenizer()
    if alive is None:  # then nobody waits for the prompt
        return []
    found: list[tuple[int, int, int]] = []
    last = begin = 0
    for place in range(start, len(ids)):
        if _breaks_line(ids[place], alive):
            begin += len(alive.decode(ids[last:place]))
            last = place
            blanks = alive.token_text(ids[place]) or ""
            found.append((place, begin, begin + blanks.rfind("\n") + 1))
    return found


def _at_character(ids: list[int], tokenizer: CodeTokenizer, start: int) -> int:
    """The first place from *start* on that is not inside a character."""
    for place in range(start, min(start + 4, len(ids))):
        if not tokenizer.decode(ids[place : place + 4]).startswith("\ufffd"):
            return place
    return start


def _breaks_line(token: int, tokenizer: CodeTokenizer) -> bool:
    return (tokenizer.token_text(token) or "").startswith("\n")


def split(ids: Sequence[int], tokenizer: CodeTokenizer) -> Prompt:
    """Cut at the last line break that is far enough from the end; in a long line, anywhere.

    It moves with every line: an engine that keeps an earlier stable part goes on from there, and
    when it reads anew, it should keep as much as there is.
    """
    for length in range(SHORTEST_TAIL, min(LONGEST_TAIL, len(ids) - 1) + 1):
        place = len(ids) - length
        if _breaks_line(ids[place], tokenizer):
            return Prompt(stable=tuple(ids[:place]), tail=tuple(ids[place:]))
    place = max(0, len(ids) - SHORTEST_TAIL) // _WITHIN_LINE * _WITHIN_LINE
    return Prompt(stable=tuple(ids[:place]), tail=tuple(ids[place:]))


def unfinished(ids: Sequence[int], prefix: str, tokenizer: CodeTokenizer) -> int:
    """How many tokens at the end may be part of one that the cursor cuts in two.

    The most tokens, up to :data:`HEALED_TOKENS`, whose text some token begins with and goes on.
    0 at the beginning of a line, and where nothing would be left of the prompt.
    """
    if not prefix.rpartition("\n")[2].strip():
        return 0
    for count in range(min(HEALED_TOKENS, len(ids) - 1), 0, -1):
        texts = [tokenizer.token_text(token) for token in ids[-count:]]
        if None in texts:
            continue
        text = "".join(t for t in texts if t is not None)
        if "\n" not in text and tokenizer.extends(text):
            return count
    return 0
