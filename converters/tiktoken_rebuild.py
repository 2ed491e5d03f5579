"""CodeGen2.5's tokenizer, which is published as a program, rebuilt for ``tokenizers``.

Knows the ids that program gives to what GPT-2 lacks, and how an encoding that is defined by
ranks of byte strings (as ``tiktoken`` defines it) becomes a byte-level BPE with merges. Takes
GPT-2's own tokens from a companion folder: CodeGen2.5's repositories hold none. Does not know
other tokenizers (``tokenizer_files`` does).

With ranks alone, the pair to merge next is the one whose joined bytes have the lowest rank,
whichever two pieces they are joined from. Hence every split of a token into two tokens becomes a
merge of the token's rank, and a piece that is a token as a whole is taken as it is
(``ignore_merges``). Compared with ``tiktoken`` itself in the tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codegen_lsp.errors import ConversionError
from codegen_lsp.prompts.tokenizer import END_OF_TEXT, byte_alphabet

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["SPECIAL_TOKENS", "VOCAB_SIZE", "rank_tokenizer", "ranks_of"]

GPT2_TOKENS: Final = 50256
"""Ids of GPT-2's byte strings are below this, which is end-of-text's own."""

VOCAB_SIZE: Final = 51200

_MEND: Final = "name a folder with GPT-2's vocab.json, for example any CodeGen1 model's"

_NAMED: Final = (
    "fim_prefix",
    "fim_middle",
    "fim_suffix",
    "fim_pad",
    "filename",
    "gh_stars",
    "issue_start",
    "issue_comment",
    "issue_closed",
    "jupyter_start",
    "jupyter_text",
    "jupyter_code",
    "jupyter_output",
    "empty_output",
    "commit_before",
    "commit_msg",
    "commit_after",
    "reponame",
    *(f"dummy_{number}" for number in range(4)),
    "sep",
    "eom",
    *(f"mask_{number}" for number in range(881, 0, -1)),
)

SPECIAL_TOKENS: Final = tuple(f"<{name}>" for name in _NAMED)
"""In the order of their ids; the last is ``<mask_1>``, 51199."""

_RUNS: Final = (
    *(b" " * length for length in range(31, 1, -1)),
    *(b"\t" * length for length in range(9, 1, -1)),
)
"""Runs of blanks, in the order of their ids, which begin behind end-of-text's."""


def ranks_of(companion: Path) -> dict[bytes, int]:
    """Byte string to id, special tokens excepted. *companion* holds GPT-2's ``vocab.json``.

    :raises ConversionError: no such file, or not GPT-2's vocabulary.
    """
    path = companion / "vocab.json"
    try:
        vocab = json.loads(path.read_text(encoding="utf-8"))
        alphabet = byte_alphabet()
        ranks = {
            bytes(alphabet[sign] for sign in token): int(number)
            for token, number in vocab.items()
            if token != END_OF_TEXT
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConversionError(f"cannot read {path}: {error!r}", mend=_MEND) from error
    complete = sorted(ranks.values()) == list(range(GPT2_TOKENS))
    if not complete or vocab.get(END_OF_TEXT) != GPT2_TOKENS:
        raise ConversionError(f"{path} is not GPT-2's vocabulary", mend=_MEND)
    # A run that were among GPT-2's own would get its new id here, as in the published program.
    return ranks | {run: GPT2_TOKENS + 1 + place for place, run in enumerate(_RUNS)}


def rank_tokenizer(ranks: Mapping[bytes, int]) -> Tokenizer:
    """CodeGen2.5's tokenizer over *ranks*, with its special tokens behind them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    signs = {byte: sign for sign, byte in byte_alphabet().items()}
    written = {token: "".join(signs[byte] for byte in token) for token in ranks}
    vocab = {written[token]: number for token, number in ranks.items()}
    vocab[END_OF_TEXT] = GPT2_TOKENS
    merges = [(written[left], written[right]) for left, right in _splits(ranks)]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=True))
    # The rule GPT-2 splits text by is this pre-tokenizer's own.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END_OF_TEXT, *SPECIAL_TOKENS])
    return tokenizer


def _splits(ranks: Mapping[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    """Every two tokens that make up a third, by the rank of the third."""
    for token in sorted(ranks, key=lambda token: ranks[token]):
        pairs = ((token[:place], token[place:]) for place in range(1, len(token)))
        found = [pair for pair in pairs if pair[0] in ranks and pair[1] in ranks]
        yield from sorted(found, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
