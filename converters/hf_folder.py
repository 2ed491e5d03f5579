"""A Hugging Face folder of a rearranged CodeGen, written whole or not at all.

Knows which files such a folder holds and that published configurations misstate the ids of
special tokens. Does not know any layout: it is given a configuration and tensors.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codegen_lsp.errors import ConversionError
from codegen_lsp.prompts.tokenizer import END_OF_TEXT

from .checkpoint import write_safetensors
from .shape import Shape
from .tensors import Tensors

__all__ = ["end_of_text_id", "write_folder"]


def end_of_text_id(tokenizer: Path, shape: Shape) -> int:
    """The id that ends a text: the tokenizer's own, whatever the configuration claims.

    Published configurations of CodeGen say 1 or 2 where the tokenizer says 50256.

    :raises ConversionError: *tokenizer* cannot be read, or has ids the model has no rows for.
    """
    from tokenizers import Tokenizer

    try:
        encoder = Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # tokenizers raises nothing more special
        raise ConversionError(f"cannot read the tokenizer {tokenizer}: {error}") from error
    last = max(encoder.get_vocab().values(), default=-1)
    if not 0 <= last < shape.vocab_size:
        raise ConversionError(f"{tokenizer} does not fit a vocabulary of {shape.vocab_size}")
    found = encoder.token_to_id(END_OF_TEXT)
    return shape.eos_token_id if found is None else found


def write_folder(
    config: Mapping[str, Any], tensors: Tensors, tokenizer: Path, out: Path, context: int
) -> Path:
    """Write *config*, *tensors* and a copy of *tokenizer* as the folder *out*; returns *out*.

    Files of the same name in *out* are replaced once all are written; others are kept.
    One tensor after another is asked for.

    :raises ConversionError: a tensor cannot be made, or a file cannot be read or written.
    """
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "unk_token": END_OF_TEXT,
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".convert-", dir=out) as scratch:
            whole = Path(scratch)
            write_safetensors(whole, tensors)
            shutil.copyfile(tokenizer, whole / "tokenizer.json")
            _write_json(whole / "tokenizer_config.json", tokenizer_config)
            _write_json(whole / "config.json", config)
            _replace_weights(whole, out)
    except OSError as error:
        raise ConversionError(f"cannot write {out}: {error.strerror or error}") from error
    return out


def _replace_weights(whole: Path, out: Path) -> None:
    """Move the new files into *out*, ``config.json`` last; weights of an older run go first."""
    for stale in (*out.glob("model*.safetensors"), *out.glob("model.safetensors.index.json")):
        stale.unlink()
    for file in sorted(whole.iterdir(), key=lambda path: path.name == "config.json"):
        file.replace(out / file.name)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
