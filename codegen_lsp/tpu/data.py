"""Token shards on disk and the batches a trainer reads from them.

Knows: the shard (one flat array of 16-bit token ids, documents joined by end of text), the
held-out files, and which windows make up the batch of a step.
Does not know: where texts come from (:mod:`.corpus`), models, devices, JAX.

The batch of a step is a pure function of (shard, seed, step, batch size, sequence length), so
a run that stops goes on from its step number alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from codegen_lsp.errors import CorpusError
from codegen_lsp.tpu.tokenizer import END_OF_TEXT_ID

TOKEN_DTYPE: Final = np.dtype("<u2")
"""Two bytes hold every vocabulary up to 65,536."""

HELDOUT_INDEX: Final = "index.jsonl"
HELDOUT_TOKENS: Final = "tokens.npy"

_ENCODE_AT_ONCE: Final = 512


@dataclass(frozen=True, slots=True)
class HeldOutFile:
    """One file of a package that is never trained on."""

    package: str
    path: str
    """Path inside the package's archive."""
    tokens: NDArray[np.uint16]
    """Token ids, shape [n], without end of text."""
    n_bytes: int
    """UTF-8 bytes of the text: what bits per byte are divided by."""


def write_shard(path: Path, tokenizer: Tokenizer, texts: Iterable[str]) -> int:
    """Write documents to one ``.npy`` array, each followed by end of text; returns its length."""
    encoded = _encode(tokenizer, texts)
    parts = [np.asarray([*ids, END_OF_TEXT_ID], TOKEN_DTYPE) for ids in encoded]
    tokens = np.concatenate(parts) if parts else np.zeros(0, TOKEN_DTYPE)
    np.save(path, tokens)
    return len(tokens)


def _encode(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[list[int]]:
    """Token ids of each text; batches keep every core busy and memory small."""
    if tokenizer.get_vocab_size() > np.iinfo(TOKEN_DTYPE).max + 1:
        raise CorpusError("the vocabulary is above 65,536", mend="train a smaller tokenizer")
    rest = iter(texts)
    while batch := list(islice(rest, _ENCODE_AT_ONCE)):
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            yield encoding.ids


def write_heldout(folder: Path, tokenizer: Tokenizer, files: Iterable[tuple[str, str, str]]) -> int:
    """Write (package, path, text) files as one token array with an index; returns its length."""
    folder.mkdir(parents=True, exist_ok=True)
    named = list(files)
    arrays: list[NDArray[np.uint16]] = []
    start = 0
    with (folder / HELDOUT_INDEX).open("w", encoding="utf-8") as index:
        for (package, path, text), ids in zip(
            named, _encode(tokenizer, (text for _, _, text in named)), strict=True
        ):
            row = {"package": package, "path": path, "start": start, "end": start + len(ids)}
            index.write(json.dumps(row | {"bytes": len(text.encode("utf-8"))}) + "\n")
            arrays.append(np.asarray(ids, TOKEN_DTYPE))
            start += len(ids)
    np.save(folder / HELDOUT_TOKENS, np.concatenate(arrays) if arrays else np.zeros(0, TOKEN_DTYPE))
    return start


def held_out_files(folder: Path) -> list[HeldOutFile]:
    """The files that :func:`write_heldout` wrote into *folder*, in the same order.

    :raises CorpusError: when the folder holds no held-out files.
    """
    tokens = _open(folder / HELDOUT_TOKENS)
    lines = (folder / HELDOUT_INDEX).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        HeldOutFile(r["package"], r["path"], tokens[r["start"] : r["end"]], r["bytes"])
        for r in rows
    ]


def open_shard(path: Path) -> NDArray[np.uint16]:
    """A shard, memory-mapped and read-only, shape [n_tokens].

    :raises CorpusError: when there is none.
    """
    return _open(path)


def _open(path: Path) -> NDArray[np.uint16]:
    """Map a token array into memory."""
    try:
        array: NDArray[np.uint16] = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"no token shard at {path}", mend="make one: python -m codegen_lsp.tpu.corpus FOLDER"
        ) from error
    return array


def batch_at(
    tokens: NDArray[np.uint16], *, seed: int, step: int, batch_size: int, seq_len: int
) -> NDArray[np.int32]:
    """The batch of one step, shape [batch_size, seq_len + 1]: inputs and their next tokens.

    The shard is cut into windows of *seq_len* tokens (each with one more token to predict).
    An epoch visits every window once in an order drawn from *seed* and the epoch's number; an
    epoch also shifts the cuts by a drawn offset, so that a token is not always seen at the same
    position.

    :param step: number of batches before this one, from 0.
    :raises CorpusError: when the shard is shorter than one window of the largest offset.
    """
    per_epoch = (len(tokens) - 1) // seq_len - 1
    if per_epoch < 1:
        raise CorpusError(
            f"{len(tokens)} tokens are too few for windows of {seq_len}", mend="add text"
        )
    rows = np.empty((batch_size, seq_len + 1), np.int32)
    for row in range(batch_size):
        epoch, place = divmod(step * batch_size + row, per_epoch)
        offset, order = _epoch(seed, epoch, per_epoch, seq_len)
        start = offset + _permuted(place, per_epoch, order) * seq_len
        rows[row] = tokens[start : start + seq_len + 1]
    return rows


def _epoch(seed: int, epoch: int, per_epoch: int, seq_len: int) -> tuple[int, tuple[int, int]]:
    """The offset of an epoch's cuts and the keys of its order."""
    random = np.random.default_rng((seed, epoch))
    offset = int(random.integers(seq_len))
    low, high = (int(key) for key in random.integers(1, 2**31, size=2))
    return offset, (low % per_epoch, high)


def _permuted(place: int, size: int, keys: tuple[int, int]) -> int:
    """Where *place* goes in a drawn permutation of ``range(size)``, without storing it.

    A four-round Feistel network on the smallest even number of bits that holds *size*, walked
    until it lands inside (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = place >> half, place & mask
        for turn in range(4):
            mixed = (right * 0x9E3779B1 + keys[turn % 2] + turn * 0x85EBCA6B) & 0xFFFFFFFF
            mixed = ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
            left, right = right, left ^ ((mixed ^ (mixed >> 13)) & mask)
        place = left << half | right
        if place < size:
            return place


def batches(
    tokens: NDArray[np.uint16], *, seed: int, start_step: int, batch_size: int, seq_len: int
) -> Iterator[NDArray[np.int32]]:
    """Batches without end from *start_step* on; see :func:`batch_at`."""
    step = start_step
    while True:
        yield batch_at(tokens, seed=seed, step=step, batch_size=batch_size, seq_len=seq_len)
        step += 1
