"""Prompts of models that fill in: the text before the cursor, the text after it, the marks between.

Knows each family's marks, how the budget is shared and what ends an answer. Does not know what
the answer is used for, or how text is cut and healed (``causal`` does).

*The share.* What follows the cursor gets at most a quarter of the budget, in whole lines; what it
leaves, counted in coarse steps so that no word typed behind the cursor moves the beginning, is for
what stands before the cursor: snippets, kept lines and text, laid out as in a causal prompt. Where
nothing but blanks follows, there is nothing to fill in: the prompt is the causal one, which all of
these models were trained on as well (the encoder-decoder excepted).

*Stable and tail.* The stable part is the beginning of the text before the cursor. Everything
else, the text after the cursor and the marks included, follows what is being typed, so it is the
tail; it is as long as it must be, and ``causal.LONGEST_TAIL`` limits only its part before the
cursor. An encoder reads every token in the light of all others, so nothing of its prompt is stable.

*Healing.* CodeGen2 and 2.5 learned to fill in spans of whole tokens, so that their answers never
begin inside one: what a cursor cuts in two is held back as in a causal prompt, and the answer is
to begin with it, behind the last mark. StarCoder and SantaCoder were trained on documents split
at any character, CodeT5+ on spans of its own choice that are read whole by an encoder: they know
halves of tokens, and holding some back would only hide text from them.

Formats: Nijkamp et al., "CodeGen2: Lessons for Training LLMs on Programming and Natural
Languages", 2023; Bavarian et al., "Efficient Training of Language Models to Fill in the Middle",
2022 (StarCoder and SantaCoder use its prefix-suffix-middle order); Wang et al., "CodeT5+: Open
Code Large Language Models for Code Understanding and Generation", 2023.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from codegen_lsp.errors import ModelDamagedError
from codegen_lsp.prompts import causal
from codegen_lsp.prompts.causal import PreparedPrompt, arrange, split, unfinished
from codegen_lsp.prompts.pieces import whole_lines
from codegen_lsp.prompts.tokenizer import END_OF_TEXT, CodeTokenizer
from codegen_lsp.types import CompletionContext, Prompt

__all__ = ["FORMATS", "SUFFIX_SHARE", "Format", "prepare"]

SUFFIX_SHARE: Final = 4
"""The text after the cursor takes at most a quarter of the budget."""

_STEPS: Final = 32
"""A suffix shorter than its share takes whole thirty-seconds of the budget from the prefix."""


@dataclass(frozen=True, slots=True)
class Format:
    """Where a family's marks stand, by name."""

    before: tuple[str, ...]
    """Before the text before the cursor."""

    between: tuple[str, ...]
    """Between the text before and the text after the cursor."""

    behind: tuple[str, ...]
    """Behind the text after the cursor."""

    ends: tuple[str, ...]
    """What the model was trained to end an answer with; every other mark ends it as well."""

    answer: tuple[str, ...] = ()
    """What the decoder of an encoder-decoder is given as the beginning of its answer."""

    heals: bool = False
    """Whether a token that the cursor cuts in two is held back."""

    continues: bool = True
    """Whether the model goes on with a text after which nothing follows."""


_MASKED: Final = Format(
    before=(),
    between=("<mask_1>",),
    behind=(END_OF_TEXT, "<sep>", "<mask_1>"),
    ends=("<eom>",),
    heals=True,
)

FORMATS: Final[Mapping[str, Format]] = {
    "codegen2": _MASKED,
    "codegen25": _MASKED,
    "starcoder": Format(
        before=("<fim_prefix>",),
        between=("<fim_suffix>",),
        behind=("<fim_middle>",),
        ends=(END_OF_TEXT,),
    ),
    "santacoder": Format(
        before=("<fim-prefix>",),
        between=("<fim-suffix>",),
        behind=("<fim-middle>",),
        ends=(END_OF_TEXT,),
    ),
    "codet5p": Format(
        before=("<s>",),
        between=("<extra_id_0>",),
        behind=("</s>",),
        ends=("<extra_id_1>", "</s>"),
        answer=("<extra_id_0>",),
        continues=False,
    ),
}
"""Family to format. The table is the whole list."""


def prepare(
    family: str, context: CompletionContext, tokenizer: CodeTokenizer, budget: int
) -> PreparedPrompt:
    """The prompt of *context* for *family*, at most *budget* tokens long.

    A budget that the marks alone would fill is not filled in: the prompt is the causal one.

    :raises ModelDamagedError: the tokenizer lacks one of the family's marks.
    """
    form = FORMATS[family]
    marks = _marks(form, tokenizer)
    room = budget - len(marks)
    share = min(budget // SUFFIX_SHARE, room - 1)
    suffix, taken = _suffix(context.suffix, tokenizer, share)
    if room < 1 or (form.continues and not suffix):
        prepared = causal.prepare(context, tokenizer, budget)
    else:
        step = max(1, budget // _STEPS)
        taken = min(-(-taken // step) * step, share)
        prepared = _filled(form, context, suffix, tokenizer, room - taken)
    # A mark is no text: with any of them, the name of the next file for one, an answer has ended.
    return replace(
        prepared,
        stop_ids=tuple(tokenizer.special_ids.values()),
        answer_prefix=_ids(form.answer, tokenizer),
    )


def _filled(
    form: Format,
    context: CompletionContext,
    suffix: Sequence[int],
    tokenizer: CodeTokenizer,
    room: int,
) -> PreparedPrompt:
    """The marks, what stands before the cursor in at most *room* tokens, and *suffix*.

    A document's beginning is not told: no published format does.
    """
    arranged = arrange(context, tokenizer, room)
    ids = arranged.head + arranged.window
    before = _ids(form.before, tokenizer)
    rest = (*_ids(form.between, tokenizer), *suffix, *_ids(form.behind, tokenizer))

    def whole(ids: Sequence[int]) -> Prompt:
        if not form.continues:
            return Prompt((), (*before, *ids, *rest))
        cut = split([*before, *ids], tokenizer)
        return Prompt(cut.stable, cut.tail + rest)

    # With a mark in front all of a short prefix may be held back: the prompt is not empty then.
    left_out = unfinished([rest[0], *ids], context.prefix, tokenizer) if form.heals else 0
    if not left_out:
        return PreparedPrompt(whole(ids))
    healed = tokenizer.decode(ids[-left_out:])
    return PreparedPrompt(whole(ids[:-left_out]), healed, whole(ids))


def _suffix(text: str, tokenizer: CodeTokenizer, limit: int) -> tuple[list[int], int]:
    """The beginning of the text after the cursor, and what it takes of the budget.

    Nothing where it is blank. What is longer than *limit* takes all of it, wherever its last
    whole line ends.
    """
    ids = tokenizer.encode(text) if text.strip() else []
    taken = min(len(ids), limit)
    ids = whole_lines(ids, tokenizer, limit)
    return (ids, taken) if tokenizer.decode(ids).strip() else ([], 0)


def _marks(form: Format, tokenizer: CodeTokenizer) -> tuple[int, ...]:
    """The ids of the marks around the texts, which are in no other vocabulary."""
    _ids(form.ends, tokenizer)
    return _ids(form.before + form.between + form.behind, tokenizer)


def _ids(names: tuple[str, ...], tokenizer: CodeTokenizer) -> tuple[int, ...]:
    found = {name: tokenizer.id_of(name) for name in names}
    missing = [name for name, number in found.items() if number is None]
    if missing:
        raise ModelDamagedError(
            f"the model's tokenizer has no token {missing[0]}, which its prompts need",
            mend="install the model again, or mend the family in its manifest",
        )
    return tuple(number for name in names if (number := found[name]) is not None)
