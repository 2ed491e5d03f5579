"""Which files of a repository a model needs: the tables, and the choice among weights.

A repository often holds the same weights in five formats. Exactly one of them is chosen: one file
of safetensors, else its shards, else a pickle, else its shards. Never code, never what other
frameworks read.

Knows file names. Does not know where files come from (``hub``) or what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from codegen_lsp.errors import HubError

__all__ = [
    "ADAPTER",
    "CONFIG",
    "TOKENIZER",
    "Selection",
    "select",
    "select_adapter",
    "select_tokenizer",
]

CONFIG: Final = "config.json"

TOKENIZER: Final = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)
"""What a tokenizer may consist of; what of it is there is taken."""

LICENCES: Final = ("LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE")
"""What many licences want kept beside the weights."""

CONVERTED: Final = "model.bin"
"""CTranslate2's weights; a repository that has them is taken as it is."""

VOCABULARIES: Final = (
    "vocabulary.json",
    "vocabulary.txt",
    "shared_vocabulary.json",
    "shared_vocabulary.txt",
)
"""CTranslate2's vocabulary, by age of the converter."""

MANIFEST_FILE: Final = "codegen-lsp.json"
"""What a repository of ours says about itself."""

WEIGHTS: Final[Sequence[tuple[str, str]]] = (
    (r"model\.safetensors", ""),
    (r"model-(\d{5})-of-(\d{5})\.safetensors", "model.safetensors.index.json"),
    (r"pytorch_model\.bin", ""),
    (r"pytorch_model-(\d{5})-of-(\d{5})\.bin", "pytorch_model.bin.index.json"),
)
"""Forms of weights, the preferred first: a pattern of file names, and the index beside them."""

ADAPTER: Final = "adapter_config.json"
"""What makes a repository that of a LoRA adapter."""

_ADAPTER_WEIGHTS: Final = ("adapter_model.safetensors", "adapter_model.bin")

_FOREIGN: Final = re.compile(r"\.(h5|msgpack|onnx|gguf|ggml|ot|tflite|npz|mlmodel)$")


@dataclass(frozen=True, slots=True)
class Selection:
    """The files of a repository that are fetched, by what they are."""

    tokenizer: tuple[str, ...]
    """The tokenizer's files; none if there are none."""

    licences: tuple[str, ...]
    """Their texts."""

    weights: tuple[str, ...]
    """Everything that weighs, the index of shards included."""

    converted: bool
    """Whether they are CTranslate2's already."""

    @property
    def names(self) -> tuple[str, ...]:
        """All of it, ``config.json`` first."""
        return (CONFIG, *self.tokenizer, *self.licences, *self.weights)


def select(names: Iterable[str], what: str) -> Selection:
    """Choose among the *names* of the files that *what* holds.

    :raises HubError: there is no configuration, no weights that can be converted, or not all.
    """
    there = set(names)
    tokenizer = select_tokenizer(there)
    licences = tuple(name for name in LICENCES if name in there)
    if CONFIG in there and CONVERTED in there:
        vocabulary = tuple(name for name in VOCABULARIES if name in there)
        if vocabulary:
            extra = (MANIFEST_FILE,) if MANIFEST_FILE in there else ()
            return Selection(tokenizer, licences, (CONVERTED, *vocabulary, *extra), converted=True)
    for pattern, index in WEIGHTS:
        found = _matching(there, pattern, what)
        if found and CONFIG not in there:
            raise HubError(f"{what} has weights and no {CONFIG}", mend="choose another model")
        if found and (not index or index in there):
            weights = (*found, index) if index else found
            return Selection(tokenizer, licences, weights, converted=False)
    raise _nothing(there, what)


def select_tokenizer(names: Iterable[str]) -> tuple[str, ...]:
    """The tokenizer's files among *names*, in the order of the table."""
    there = set(names)
    return tuple(name for name in TOKENIZER if name in there)


def select_adapter(names: Iterable[str], what: str) -> tuple[str, ...]:
    """The files of a LoRA adapter.

    :raises HubError: *what* is none.
    """
    there = set(names)
    weights = next((name for name in _ADAPTER_WEIGHTS if name in there), None)
    if ADAPTER not in there or weights is None:
        raise HubError(
            f"{what} is no LoRA adapter: it lacks {ADAPTER} or {_ADAPTER_WEIGHTS[0]}",
            mend="give one that peft has saved",
        )
    return (ADAPTER, weights)


def _matching(there: set[str], pattern: str, what: str) -> tuple[str, ...]:
    """The files of one form of weights, in order; nothing if there are none."""
    found = sorted(name for name in there if re.fullmatch(pattern, name))
    shards = re.fullmatch(pattern, found[0]) if found else None
    if shards is not None and shards.groups() and len(found) != int(shards[2]):
        raise HubError(
            f"{what} has {len(found)} of the {int(shards[2])} shards of its weights",
            mend="try another revision, or report it to the model's authors",
        )
    return tuple(found)


def _nothing(there: set[str], what: str) -> HubError:
    if ADAPTER in there:
        return HubError(
            f"{what} is a LoRA adapter, not a model",
            mend=f"pull the model it was trained on with --adapter {what}",
        )
    if CONVERTED in there and CONFIG in there:
        return HubError(f"{what} has {CONVERTED} and no vocabulary", mend="choose another model")
    foreign = sorted(name for name in there if _FOREIGN.search(name) or _is_inside(name))
    found = f" (found {', '.join(foreign[:3])})" if foreign else ""
    return HubError(
        f"{what} has no weights that can be converted{found}",
        mend="choose one with model.safetensors or pytorch_model.bin",
    )


def _is_inside(name: str) -> bool:
    """Whether *name* is weights as we read them, in a folder where nobody looks for them."""
    place, _, file = name.rpartition("/")
    return bool(place) and any(re.fullmatch(pattern, file) for pattern, _ in WEIGHTS)
