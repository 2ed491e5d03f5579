"""The byte-level BPE, and the shards and batches made with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tokenizers")

from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers

from codegen_lsp.errors import CorpusError
from codegen_lsp.tpu.data import (
    _permuted,
    batch_at,
    batches,
    held_out_files,
    open_shard,
    write_heldout,
    write_shard,
)
from codegen_lsp.tpu.tokenizer import (
    END_OF_TEXT,
    END_OF_TEXT_ID,
    INDENT_LEVELS,
    missing_indents,
    new_tokenizer,
    train_tokenizer,
)

CODE = """\
class Stack:
    def __init__(self) -> None:
        self._items = []

    def push(self, item):
        self._items.append(item)
        return len(self._items)
"""


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """A tokenizer small enough to learn in a moment."""
    return train_tokenizer([CODE] * 20, vocab_size=400)


def split(text: str) -> list[str]:
    """The pre-tokens of *text*, before the byte alphabet."""
    rule = new_tokenizer().pre_tokenizer
    assert isinstance(rule, pre_tokenizers.Sequence)
    return [text[start:end] for _, (start, end) in rule.pre_tokenize_str(text)]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("x\n        y", ["x", "\n        ", "y"]),
        ("x\n\n    y", ["x", "\n\n    ", "y"]),
        ("x\r\n\ty", ["x", "\r\n\t", "y"]),
        ("(_name", ["(_", "name"]),
        ("self.append(item)", ["self", ".append", "(item", ")"]),
        ("a = 12345", ["a", " =", " ", "123", "45"]),
        ("def _name", ["def", " _", "name"]),
        ("x   # y", ["x", "   ", "#", " y"]),
    ],
)
def test_pre_tokens(text: str, pieces: list[str]) -> None:
    """A line end keeps its whole indentation; a word keeps the one mark before it."""
    assert "".join(split(text)) == text
    assert split(text) == pieces


def test_indentation_is_one_token(tokenizer: Tokenizer) -> None:
    """Every depth up to the last level is one token, however rare it is in the text."""
    assert missing_indents(tokenizer) == []
    assert INDENT_LEVELS >= 12


def test_end_of_text_is_zero(tokenizer: Tokenizer) -> None:
    """Trainers and engines rely on this id."""
    assert tokenizer.token_to_id(END_OF_TEXT) == END_OF_TEXT_ID == 0


@given(st.text(max_size=200).filter(lambda text: END_OF_TEXT not in text))
@settings(max_examples=200, deadline=None)
def test_any_text_survives(tokenizer: Tokenizer, text: str) -> None:
    """Decoding what was encoded gives the same text, whatever its script or line ends."""
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_saved_and_loaded(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """One file holds all of it."""
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    again = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert again.encode(CODE).ids == tokenizer.encode(CODE).ids


def test_shard_joins_documents(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Each document is followed by end of text, in order, in two bytes a token."""
    texts = ["x = 1\n", "é = '🙂'\n", ""]
    total = write_shard(tmp_path / "train.npy", tokenizer, texts)
    tokens = open_shard(tmp_path / "train.npy")
    assert tokens.dtype == np.uint16
    assert len(tokens) == total
    ends = np.flatnonzero(tokens == END_OF_TEXT_ID)
    parts = np.split(tokens, ends + 1)[:-1]
    assert [tokenizer.decode(part[:-1].tolist()) for part in parts] == texts


def test_held_out_files(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Package, path, tokens and byte count come back as they went in."""
    files = [("a", "a/x.py", CODE), ("b", "b/é.py", "name = 'é'\n")]
    write_heldout(tmp_path, tokenizer, files)
    read = held_out_files(tmp_path)
    assert [(f.package, f.path, tokenizer.decode(f.tokens.tolist())) for f in read] == files
    assert [f.n_bytes for f in read] == [len(text.encode()) for _, _, text in files]


def test_no_shard(tmp_path: Path) -> None:
    """A missing shard is one line that says how to make it."""
    with pytest.raises(CorpusError, match="make one"):
        open_shard(tmp_path / "train.npy")
    with pytest.raises(CorpusError, match="make one"):
        held_out_files(tmp_path)


@given(st.integers(1, 500), st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
@settings(max_examples=60, deadline=None)
def test_order_is_a_permutation(size: int, low: int, high: int) -> None:
    """Every window is visited exactly once in an epoch."""
    places = [_permuted(place, size, (low, high)) for place in range(size)]
    assert sorted(places) == list(range(size))


def test_batches_resume() -> None:
    """A run that starts at step 3 reads what an unbroken run reads from step 3 on."""
    tokens = np.arange(1000, dtype=np.uint16)
    whole = batches(tokens, seed=5, start_step=0, batch_size=4, seq_len=16)
    later = batches(tokens, seed=5, start_step=3, batch_size=4, seq_len=16)
    for _ in range(3):
        next(whole)
    for _ in range(40):
        np.testing.assert_array_equal(next(whole), next(later))


def test_batch_is_contiguous_text() -> None:
    """A row is one run of the shard with the token to predict at its end."""
    tokens = np.arange(1000, dtype=np.uint16)
    batch = batch_at(tokens, seed=1, step=7, batch_size=8, seq_len=32)
    assert batch.shape == (8, 33)
    assert batch.dtype == np.int32
    assert (np.diff(batch, axis=1) == 1).all()
    starts = batch[:, 0].tolist()
    assert len(set(starts)) == 8


def test_seeds_differ() -> None:
    """Another seed is another order."""
    tokens = np.arange(5000, dtype=np.uint16)
    one, two = (batch_at(tokens, seed=s, step=0, batch_size=8, seq_len=32) for s in (1, 2))
    assert not np.array_equal(one, two)


def test_shard_too_short() -> None:
    """A shard below one window is named, not padded."""
    with pytest.raises(CorpusError, match="too few"):
        batch_at(np.zeros(20, np.uint16), seed=0, step=0, batch_size=1, seq_len=16)
