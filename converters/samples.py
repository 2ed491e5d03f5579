"""Tokens to compare models on: this package's own source code, by the model's own tokenizer.

Knows where the text comes from. Does not know models.
"""

from __future__ import annotations

from pathlib import Path

from codegen_lsp.errors import ConversionError

__all__ = ["sample_tokens"]

_CHARACTERS = 16
"""More than a token of code has on average, whatever the tokenizer."""


def sample_tokens(
    tokenizer: Path, vocab_size: int, *, sequences: int, length: int
) -> list[list[int]]:
    """At most *sequences* sequences of *length* token ids.

    :raises ConversionError: the tokenizer cannot be read, or its ids do not fit the model.
    """
    from tokenizers import Tokenizer

    try:
        encoder = Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # tokenizers raises nothing more special
        raise ConversionError(f"cannot read the tokenizer {tokenizer}: {error}") from error
    ids = encoder.encode(_text(_CHARACTERS * sequences * length), add_special_tokens=False).ids
    if not ids or max(ids) >= vocab_size:
        raise ConversionError(f"{tokenizer} does not fit a vocabulary of {vocab_size} entries")
    count = min(sequences, len(ids) // length)
    return [ids[i * length : (i + 1) * length] for i in range(count)]


def _text(characters: int) -> str:
    """The beginning of the package's modules, one after the other."""
    text = ""
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if len(text) >= characters:
            break
        text += path.read_text(encoding="utf-8")
    return text[:characters]
