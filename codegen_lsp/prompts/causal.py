r"""The prompt of a model that only continues text: the text before the cursor, as tokens.

Knows token budgets, where a prompt may be cut, and how its end is healed. Does not know what
the answer is used for.

*Healing.* A cursor often stands inside what the tokenizer would have made one token: after
``self.`` the model, which in training read ``.append`` as one token, sees a lone ``.`` that was
never followed by a word. The tokens at such an end are left out, and the answer is to begin with
their text again; whoever generates sees to that, and generates from the whole prompt where it
does not work out. Blanks after a line end are left alone: indentation is exact as it stands.

*Snippets.* Code from other places stands before the window as comments, headed by where it is
from, sorted by that (then by text), so that a prompt's beginning changes only when the choice
does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.types import CompletionContext, Prompt, Snippet

__all__ = [
    "PreparedPrompt",
    "prepare",
    "shorten",
    "split",
    "unfinished",
    "whole_lines",
]

SHORTEST_TAIL: Final = 16
"""The stable part ends at the last line break that leaves a tail of at least this length."""

LONGEST_TAIL: Final = 96
"""If that tail would be longer than this, nothing is stable."""

HEALED_TOKENS: Final = 4
"""Most tokens left out at the end."""

SNIPPETS_SHARE: Final = 4
"""Snippets take at most a quarter of the budget."""

_STEPS: Final = 8
"""A prompt that is too long loses whole eighths of the budget, so that its beginning is stable."""

_LINE_END: Final = re.compile(r"\r\n?|\n")


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


def prepare(context: CompletionContext, tokenizer: CodeTokenizer, budget: int) -> PreparedPrompt:
    """The prompt of *context*, at most *budget* tokens (at least 1) long.

    A document's beginning is told by the end-of-text token, which stood between documents in
    training; it also makes sure that no prompt is empty.
    """
    head = _snippets(context, tokenizer, budget // SNIPPETS_SHARE)
    ids = tokenizer.encode(context.prefix)
    if not head and context.starts_document and len(ids) < budget:
        ids.insert(0, tokenizer.eos_id)
    ids = head + shorten(ids, tokenizer, budget - len(head)) or [tokenizer.eos_id]
    left_out = unfinished(ids, context.prefix, tokenizer)
    if not left_out:
        return PreparedPrompt(split(ids, tokenizer))
    return PreparedPrompt(
        prompt=split(ids[:-left_out], tokenizer),
        healed=tokenizer.decode(ids[-left_out:]),
        unhealed=split(ids, tokenizer),
    )


def _snippets(context: CompletionContext, tokenizer: CodeTokenizer, limit: int) -> list[int]:
    """The snippets as comments, whole lines, at most *limit* tokens; end-of-text comes first.

    What is cut is the end, so that a longer window does not move the prompt's beginning.
    """
    ordered = sorted(context.snippets, key=lambda snippet: (snippet.path, snippet.text))
    lines = [line for one in ordered for line in _commented(one, context.comment)]
    end = tokenizer.encode("\n")
    ids = whole_lines(tokenizer.encode("\n".join(lines)), tokenizer, limit - 1 - len(end))
    return [tokenizer.eos_id, *ids, *end] if ids else []


def _commented(snippet: Snippet, comment: tuple[str, str]) -> Iterator[str]:
    """The lines of a snippet, each a comment; the first says where it is from."""
    begin, end = comment
    yield f"{begin}{_LINE_END.sub(' ', snippet.path)}{end}"
    for line in _LINE_END.split(snippet.text.strip("\r\n")):
        yield f"{begin}{line}{end}".rstrip()


def whole_lines(ids: list[int], tokenizer: CodeTokenizer, limit: int) -> list[int]:
    """The beginning of *ids*, at most *limit* tokens long, that ends where a line ends.

    Everything where it fits; nothing where the first line does not.
    """
    if len(ids) <= limit:
        return ids
    for place in range(limit, 0, -1):
        if _breaks_line(ids[place], tokenizer):
            return ids[:place]
    return []


def shorten(ids: list[int], tokenizer: CodeTokenizer, budget: int) -> list[int]:
    """The last *budget* tokens or fewer: from a line break on, in coarse steps."""
    excess = len(ids) - budget
    if excess <= 0:
        return ids
    step = max(1, budget // _STEPS)
    start = min(-(-excess // step) * step, len(ids) - 1)
    for place in range(start, min(len(ids) - 1, start + step)):
        if _breaks_line(ids[place], tokenizer):
            return ids[place:]
    return ids[start:]


def _breaks_line(token: int, tokenizer: CodeTokenizer) -> bool:
    return (tokenizer.token_text(token) or "").startswith("\n")


def split(ids: Sequence[int], tokenizer: CodeTokenizer) -> Prompt:
    """Cut at the last line break that is far enough from the end."""
    for length in range(SHORTEST_TAIL, min(LONGEST_TAIL, len(ids) - 1) + 1):
        place = len(ids) - length
        if _breaks_line(ids[place], tokenizer):
            return Prompt(stable=tuple(ids[:place]), tail=tuple(ids[place:]))
    return Prompt(stable=(), tail=tuple(ids))


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
