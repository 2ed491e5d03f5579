"""A ``tokenizer.json`` of byte-level BPE as the metadata that llama.cpp tokenizes with.

llama.cpp cuts text with rules that are built in and chosen by a name; CodeGen's are GPT-2's.
A tokenizer with rules of its own (the bundled model's) has no name there: its tokens are still
right in both directions of an id, but llama.cpp may cut a text elsewhere. :func:`is_exact` tells.

Knows tokens, their kinds and merges. Does not know weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from codegen_lsp.errors import ConversionError

__all__ = ["Vocabulary", "add_vocabulary", "is_exact", "read_vocabulary"]

NORMAL: Final = 1
"""A token that the merges make."""

CONTROL: Final = 3
"""A special token, such as the end of a text."""

USER_DEFINED: Final = 4
"""A token that is found before anything is merged: CodeGen's runs of spaces and tabs."""

UNUSED: Final = 5
"""A row of the embedding without a token."""

PADDING: Final = "[PAD{}]"

CUTTING: Final = "gpt-2"
"""llama.cpp's name of the rules by which GPT-2 cuts text before it merges."""

_LAX: Final = ("lstrip", "rstrip", "single_word")
"""Settings of an added token that decide by its surroundings; GGUF has no words for them."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What GGUF says of a tokenizer."""

    tokens: tuple[str, ...]
    """By id, in byte-level spelling (added tokens as they are)."""

    kinds: tuple[int, ...]
    """By id: one of the constants above."""

    merges: tuple[str, ...]

    end: int
    """Id of the token that ends and begins a text."""


def read_vocabulary(tokenizer: Path, size: int, end: int) -> Vocabulary:
    """The vocabulary of *tokenizer*, padded to the *size* rows of the model.

    :raises ConversionError: unreadable, no byte-level BPE, or more tokens than *size*.
    """
    content = _read(tokenizer)
    try:
        model = content["model"]
        if model["type"] != "BPE" or not _is_byte_level(content):
            raise ConversionError(f"{tokenizer} is no byte-level BPE, which GGUF needs here")
        tokens = {int(index): (token, NORMAL) for token, index in model["vocab"].items()}
        for added in content.get("added_tokens", ()):
            kind = CONTROL if added["special"] else USER_DEFINED
            tokens[int(added["id"])] = (added["content"], kind)
        merges = tuple(_merge(pair) for pair in model["merges"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConversionError(f"cannot read {tokenizer}: {error!r}") from error
    if not tokens or max(tokens) >= size:
        raise ConversionError(f"{tokenizer} does not fit a vocabulary of {size} entries")
    rows = [tokens.get(index, (PADDING.format(index), UNUSED)) for index in range(size)]
    return Vocabulary(
        tuple(token for token, _ in rows), tuple(kind for _, kind in rows), merges, end
    )


def is_exact(tokenizer: Path) -> bool:
    """Whether llama.cpp cuts every text as *tokenizer* does.

    :raises ConversionError: it cannot be read.
    """
    content = _read(tokenizer)
    cutting = content.get("pre_tokenizer") or {}
    return (
        cutting.get("type") == "ByteLevel"
        and cutting.get("use_regex", True)
        and not cutting.get("add_prefix_space")
        and not content.get("normalizer")
        and not (content.get("model") or {}).get("ignore_merges")
        and not any(added.get(name) for added in content.get("added_tokens", ()) for name in _LAX)
    )


def add_vocabulary(writer: Any, vocabulary: Vocabulary) -> None:
    """Put *vocabulary* into the metadata of a ``gguf.GGUFWriter``."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(CUTTING)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.kinds)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.end)
    writer.add_eos_token_id(vocabulary.end)
    writer.add_unk_token_id(vocabulary.end)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)


def _read(tokenizer: Path) -> dict[str, Any]:
    try:
        content = json.loads(tokenizer.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConversionError(f"cannot read the tokenizer {tokenizer}: {error}") from error
    if not isinstance(content, dict):
        raise ConversionError(f"cannot read the tokenizer {tokenizer}: it is no object")
    return content


def _is_byte_level(content: Mapping[str, Any]) -> bool:
    return (content.get("decoder") or {}).get("type") == "ByteLevel"


def _merge(pair: str | list[str]) -> str:
    """Both spellings of a merge: ``"a b"`` and ``["a", "b"]``."""
    return pair if isinstance(pair, str) else " ".join(pair)
