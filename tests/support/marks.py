"""Tokenizers with the marks of each family, small enough to be made in a blink."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from codegen_lsp.prompts.tokenizer import END_OF_TEXT, CodeTokenizer

_MASKS = tuple(f"<mask_{number}>" for number in range(4, 0, -1))
_FIM = ("<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>")
_EXTRA = tuple(f"<extra_id_{number}>" for number in range(3))
_BLANKS = tuple(" " * length for length in range(8, 1, -1))

MARKS: Final[Mapping[str, tuple[str, ...]]] = {
    "causal": (END_OF_TEXT,),
    "codegen2": (END_OF_TEXT, *_BLANKS, "<python>", "<sep>", "<eom>", *_MASKS),
    "codegen25": (END_OF_TEXT, *_FIM, "<dummy_0>", "<sep>", "<eom>", *_MASKS),
    "starcoder": (END_OF_TEXT, *_FIM),
    "santacoder": (END_OF_TEXT, *(name.replace("_", "-") for name in _FIM)),
    "codet5p": ("<pad>", "<s>", "</s>", "<unk>", "<mask>", *_EXTRA),
}
"""The added tokens of each family; runs of blanks are text, the others are marks."""

ENDS: Final = {family: "</s>" if family == "codet5p" else END_OF_TEXT for family in MARKS}
"""The end-of-text token of each family."""


def library_tokenizer(family: str, words: Iterable[str] = ()) -> Tokenizer:
    """The 256 bytes, *words* (ASCII) as one token each, and the family's added tokens."""
    signs = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {sign: number for number, sign in enumerate(signs)}
    merges: list[tuple[str, str]] = []
    for word in words:
        written = word.replace(" ", "Ġ").replace("\n", "Ċ")
        for length in range(2, len(written) + 1):
            if written[:length] not in vocabulary:
                vocabulary[written[:length]] = len(vocabulary)
                merges.append((written[: length - 1], written[length - 1]))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if family in ("starcoder", "santacoder"):
        digits = pre_tokenizers.Digits(individual_digits=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    else:
        tokenizer.pre_tokenizer = byte_level
    tokenizer.decoder = decoders.ByteLevel()
    for name in MARKS[family]:
        token = AddedToken(name, special=bool(name.strip()), normalized=False)
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    return tokenizer


def family_tokenizer(family: str, words: Iterable[str] = ()) -> CodeTokenizer:
    """:func:`library_tokenizer` as prompts use it."""
    tokenizer = library_tokenizer(family, words)
    end = tokenizer.token_to_id(ENDS[family])
    assert end is not None
    return CodeTokenizer(tokenizer, end)
