"""A model's vocabulary as its folder has it: words by id, where a text ends, what is padding.

Knows the two files that say so. Does not know text, or who reads the weights beside them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codegen_lsp.errors import ModelDamagedError

__all__ = ["DECODER_PADDING", "DECODER_VOCABULARY", "Words", "read_words"]

DECODER_VOCABULARY: Final = "vocabulary.json"

DECODER_PADDING: Final = re.compile(r"<(extra_id|padding)_\d+>")
"""Entries of a decoder's vocabulary that stand for no text and are never generated."""


@dataclass(frozen=True, slots=True)
class Words:
    """A model's vocabulary."""

    all: tuple[str, ...] = ()
    """By token id."""

    end: int = 0
    """The id of end-of-text."""

    padding: frozenset[int] = frozenset()
    """Ids that stand for no text and are never generated."""


def read_words(folder: Path, vocabulary: str, padding: re.Pattern[str]) -> Words:
    """The vocabulary in the file *vocabulary* of *folder*; entries like *padding* are padding.

    :raises ModelDamagedError: it is missing or unreadable.
    """
    try:
        words = json.loads((folder / vocabulary).read_text(encoding="utf-8"))
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        unused = frozenset(i for i, word in enumerate(words) if padding.fullmatch(word))
        return Words(tuple(words), words.index(config["eos_token"]), unused)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelDamagedError(
            f"vocabulary or configuration in {folder} is unreadable ({error})",
            mend="install the model again",
        ) from error
