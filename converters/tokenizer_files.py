"""The tokenizer of a published folder: taken as it is, or put together from what is there.

Knows the files that models are published with beside ``tokenizer.json`` and which of their added
tokens are text, and tells a folder's family. Does not know what tokenizers are used for, or
downloads: which files are missing is the caller's to fetch.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from codegen_lsp.errors import ConversionError

from .tiktoken_rebuild import VOCAB_SIZE, rank_tokenizer, ranks_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TOKENIZER", "ensure_tokenizer", "family_of_folder", "is_program"]

TOKENIZER: Final = "tokenizer.json"

_IN_BRACKETS: Final = re.compile(r"<\S+>")
"""An added token like this is a mark of the format, whatever the folder says: some folders list
theirs as ordinary text, and then a document that holds the letters would hold the mark."""

_MARKS: Final = (
    (("<mask_1>", "<eom>"), "codegen2"),
    (("<fim_prefix>", "<fim_suffix>", "<fim_middle>"), "starcoder"),
    (("<fim-prefix>", "<fim-suffix>", "<fim-middle>"), "santacoder"),
    (("<extra_id_0>", "<extra_id_1>", "</s>"), "codet5p"),
)
"""Tokens that tell a family; the first that are all there count (CodeGen2.5 has two kinds)."""


def ensure_tokenizer(
    folder: Path, *, companion: Path | None = None, family: str | None = None
) -> Path:
    """``tokenizer.json`` in *folder*, made from the other files where there is none.

    *companion* is a folder with GPT-2's ``vocab.json`` (any CodeGen1 model has it), needed for
    CodeGen2.5 alone. *family* says what the folder is, where it does not say so itself.

    :raises ConversionError: nothing to make it from, damaged files, or a tokenizer that does
        not belong to the model.
    """
    path = folder / TOKENIZER
    if path.is_file():
        _check(_read(path), folder)
        return path
    tokenizer = _made(folder, companion, family)
    _check(tokenizer, folder)
    _write(path, tokenizer)
    return path


def family_of_folder(folder: Path) -> str:
    """The family (as ``prompts.families`` names it) of the model in *folder*.

    :raises ConversionError: a file that cannot be read.
    """
    kind = _object(folder / "config.json").get("model_type")
    if kind == "t5":
        return "codet5p"
    names = _names(folder)
    if not names and _is_codegen25(folder):
        return "codegen25"
    for marks, family in _MARKS:
        if names.issuperset(marks):
            return "codegen25" if family == "codegen2" and kind == "llama" else family
    return "causal"


def is_program(folder: Path) -> bool:
    """Whether *folder* is a CodeGen2.5 as published: its tokenizer must be built from another's.

    :raises ConversionError: a file that cannot be read.
    """
    return not (folder / TOKENIZER).is_file() and _is_codegen25(folder)


def _names(folder: Path) -> set[str]:
    """Every token that the folder's files name."""
    path = folder / TOKENIZER
    if path.is_file():
        return set(_read(path).get_vocab(with_added_tokens=True))
    return {*_object(folder / "vocab.json"), *_added(folder)}


def _made(folder: Path, companion: Path | None, family: str | None) -> Tokenizer:
    """The tokenizer that the other files describe."""
    if family == "codegen25" or (family is None and _is_codegen25(folder)):
        base = companion or (folder if (folder / "vocab.json").is_file() else None)
        if base is None:
            raise ConversionError(
                f"{folder} holds no vocabulary: CodeGen2.5 builds its own on GPT-2's",
                mend="name as companion the folder of a CodeGen1 model, which has them in"
                " vocab.json (models convert: --tokenizer)",
            )
        return rank_tokenizer(ranks_of(base))
    if not (folder / "vocab.json").is_file() or not (folder / "merges.txt").is_file():
        raise ConversionError(
            f"no tokenizer in {folder}",
            mend=f"put the model's {TOKENIZER} there, or its vocab.json and merges.txt",
        )
    return _byte_level(folder)


def _is_codegen25(folder: Path) -> bool:
    """Whether this is CodeGen2.5 as published: a program in place of a vocabulary."""
    if (folder / "tokenization_codegen25.py").is_file():
        return True
    kind = _object(folder / "tokenizer_config.json").get("tokenizer_class")
    if isinstance(kind, str) and kind.startswith("CodeGen25"):
        return True
    config = _object(folder / "config.json")
    if any((folder / name).is_file() for name in ("vocab.json", "tokenizer.model")):
        return False
    return (config.get("model_type"), config.get("vocab_size")) == ("llama", VOCAB_SIZE)


def _byte_level(folder: Path) -> Tokenizer:
    """GPT-2's kind: ``vocab.json``, ``merges.txt`` and what was added to them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocab, merges = _object(folder / "vocab.json"), _merges(folder / "merges.txt")
    try:
        tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    except Exception as error:  # the library raises plain Exception for what does not fit
        raise ConversionError(
            f"vocab.json and merges.txt in {folder} do not fit together: {error}",
            mend="fetch both again",
        ) from error
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    learned = {left + right for left, right in merges}
    unlearned = (name for name in vocab if name not in learned and _IN_BRACKETS.fullmatch(name))
    _add(tokenizer, folder, vocab, [*_named_special(folder), *unlearned])
    return tokenizer


def _add(
    tokenizer: Tokenizer, folder: Path, vocab: Mapping[str, int], named: Sequence[str]
) -> None:
    """Add the folder's added tokens, and those *named* special, at their ids."""
    from tokenizers import AddedToken

    added = _added(folder) | {name: vocab[name] for name in named if name in vocab}
    unplaced = [name for name in named if name not in added and _IN_BRACKETS.fullmatch(name)]
    free = max([*vocab.values(), *added.values()], default=-1) + 1
    added |= {name: free + place for place, name in enumerate(unplaced)}

    def special(name: str) -> bool:
        return bool(name.strip()) and (name in named or bool(_IN_BRACKETS.fullmatch(name)))

    in_order = sorted(added, key=lambda name: added[name])
    for is_special, names in itertools.groupby(in_order, key=special):
        # A token is only what it is: no blanks around it belong to it.
        tokens = [AddedToken(name, special=is_special, normalized=False) for name in names]
        (tokenizer.add_special_tokens if is_special else tokenizer.add_tokens)(tokens)
    wrong = [name for name in added if tokenizer.token_to_id(name) != added[name]]
    if wrong:
        raise ConversionError(
            f"the added token {wrong[0]!r} in {folder} cannot have the id {added[wrong[0]]}",
            mend="fetch vocab.json and added_tokens.json again",
        )


def _added(folder: Path) -> dict[str, int]:
    """Added tokens and their ids, from the older file and the newer entry."""
    added = {str(name): number for name, number in _object(folder / "added_tokens.json").items()}
    decoder = _object(folder / "tokenizer_config.json").get("added_tokens_decoder")
    if isinstance(decoder, dict):
        pairs = ((_content(entry), number) for number, entry in decoder.items())
        added |= {name: int(number) for name, number in pairs if name and number.isdecimal()}
    if not all(isinstance(number, int) and number >= 0 for number in added.values()):
        raise ConversionError(f"{folder / 'added_tokens.json'} names an id that is none")
    return added


def _named_special(folder: Path) -> list[str]:
    """Tokens that the folder's files call special, each once, in order."""
    found: list[str] = []
    config = _object(folder / "tokenizer_config.json")
    for source in (_object(folder / "special_tokens_map.json"), config):
        found += _values(v for k, v in source.items() if k.endswith(("_token", "_tokens")))
    decoder = config.get("added_tokens_decoder")
    if isinstance(decoder, dict):
        found += _values(e for e in decoder.values() if isinstance(e, dict) and e.get("special"))
    return list(dict.fromkeys(found))


def _values(entries: Iterable[Any]) -> Iterator[str]:
    """The tokens in *entries*, each a string, an object with ``content``, or a list of these."""
    for entry in entries:
        if isinstance(entry, list):
            yield from _values(entry)
        elif content := _content(entry):
            yield content


def _content(entry: object) -> str:
    content = entry.get("content") if isinstance(entry, dict) else entry
    return content if isinstance(content, str) else ""


def _merges(path: Path) -> list[tuple[str, str]]:
    """The pairs of ``merges.txt``, the first to be merged first."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise ConversionError(f"cannot read {path}: {error}", mend="fetch it again") from error
    if lines[0].startswith("#version"):
        del lines[0]
    pairs = [tuple(line.rstrip("\r").split(" ")) for line in lines if line.strip()]
    merges = [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]
    if len(merges) < len(pairs):
        raise ConversionError(f"{path} has lines that are no pairs", mend="fetch it again")
    return merges


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is no such file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConversionError(f"cannot read {path}: {error}", mend="fetch it again") from error
    if not isinstance(content, dict):
        raise ConversionError(f"{path} is no JSON object", mend="fetch it again")
    return content


def _read(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises plain Exception for a bad file
        raise ConversionError(f"cannot read {path}: {error}", mend="fetch it again") from error


def _check(tokenizer: Tokenizer, folder: Path) -> None:
    """Refuse a tokenizer of another kind, or with tokens that the model has no rows for."""
    from tokenizers import decoders

    mend = "use the tokenizer that belongs to the model"
    if not isinstance(tokenizer.decoder, decoders.ByteLevel):
        raise ConversionError(f"the tokenizer in {folder} is not byte-level", mend=mend)
    numbers = tokenizer.get_vocab(with_added_tokens=True).values()
    size = _object(folder / "config.json").get("vocab_size")
    if isinstance(size, int) and max(numbers, default=-1) >= size:
        raise ConversionError(
            f"the tokenizer in {folder} has ids up to {max(numbers)}, the model {size} rows",
            mend=mend,
        )


def _write(path: Path, tokenizer: Tokenizer) -> None:
    """Write the file whole or not at all."""
    scratch = path.with_name(f".{TOKENIZER}.{os.getpid()}")
    try:
        try:
            scratch.write_text(tokenizer.to_str(), encoding="utf-8")
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise ConversionError(
            f"cannot write {path}: {error}", mend="make room or copy the folder elsewhere"
        ) from error
