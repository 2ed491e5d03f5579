r"""The byte-level BPE of the models trained here: how it splits text and how it is learned.

Knows: the pre-token rule (a line end and the whole indentation after it are one pre-token, so a
block's depth is one token), the end-of-text token, and training on any stream of texts.
Does not know: where texts come from (:mod:`.corpus`) or how tokens are stored (:mod:`.data`).

Byte-level BPE: Wang, Cho and Gu, "Neural Machine Translation with Byte-Level Subwords", 2019.
All 256 bytes are in the alphabet, so any text survives ``decode(encode(text))``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

END_OF_TEXT: Final = "<|endoftext|>"
"""Stands between documents; its id is 0."""

END_OF_TEXT_ID: Final = 0

VOCAB_SIZE: Final = 8192
"""Small on purpose: at 8k the embedding of a small model leaves room for its layers."""

INDENT_LEVELS: Final = 12
"""Indentation of 1 to 12 levels of 4 blanks, its newline included, is one token each."""

PATTERN: Final = "|".join(
    (
        r"(?:\r?\n)+[ \t]*",  # line ends and the indentation after them
        r"[^\r\n\p{L}\p{N}]?\p{L}+",  # a word with the one mark before it: .append, _name
        r"\p{N}{1,3}",  # numbers, three digits at a time
        r" ?[^\s\p{L}\p{N}]+",  # punctuation
        r"[ \t]+",  # blanks inside a line
        r"\s+",  # any other white space
    )
)
"""The pre-token rule; the first alternative that matches wins."""

_SEED_REPEATS: Final = 4000


def new_tokenizer() -> Tokenizer:
    """An untrained tokenizer with the pre-token rule and the byte-level decoder in place."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train_tokenizer(texts: Iterable[str], vocab_size: int = VOCAB_SIZE) -> Tokenizer:
    """Learn a tokenizer of *vocab_size* tokens (end of text and 256 bytes included)."""
    tokenizer = new_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(chain(texts, _indent_seeds()), trainer=trainer)
    return tokenizer


def _indent_seeds() -> Iterator[str]:
    r"""Texts that make every indentation frequent enough to be learned as one token.

    Deep levels are too rare in real code to be merged on their own; adding them as special
    tokens instead would cut "\n\n    " in two.
    """
    for level in range(1, INDENT_LEVELS + 1):
        yield ("\n" + "    " * level + "x") * _SEED_REPEATS


def missing_indents(tokenizer: Tokenizer) -> list[int]:
    """The levels from 1 to :data:`INDENT_LEVELS` that take more than one token."""
    return [
        level
        for level in range(1, INDENT_LEVELS + 1)
        if len(tokenizer.encode("\n" + "    " * level).ids) != 1
    ]
