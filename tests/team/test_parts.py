"""Keys, limits, costs, what a request may hold, and how an answer is written: without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen_lsp.engines.ct2_batch import Step, workers_and_threads
from codegen_lsp.errors import SettingsError, UsageError
from codegen_lsp.models.store import bundled_folder
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.team.costs import Costs
from codegen_lsp.team.keys import Keys, add_key, remove_key
from codegen_lsp.team.limits import Limits
from codegen_lsp.team.metrics import Window
from codegen_lsp.team.refusals import RefusedError
from codegen_lsp.team.writing import Said, Writer, token_name


@pytest.fixture(scope="module")
def tokenizer() -> CodeTokenizer:
    return CodeTokenizer.from_folder(bundled_folder())


def test_a_key_is_known_until_it_is_removed(tmp_path: Path) -> None:
    """The file is read again when it changes, holds no key, and is its owner's alone."""
    path = tmp_path / "keys"
    ann = add_key(path, "ann")
    keys = Keys(path)
    bob = add_key(path, "bob")
    assert (keys.name_of(ann), keys.name_of(bob), keys.name_of("")) == ("ann", "bob", None)
    assert ann not in path.read_text()
    assert ann[5:] not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    remove_key(path, "ann")
    assert (keys.name_of(ann), keys.name_of(bob)) == (None, "bob")


def test_a_damaged_file_of_keys_changes_nothing_until_it_is_mended(tmp_path: Path) -> None:
    """Whoever edits it by hand and errs locks nobody out; a server does not start with it."""
    path = tmp_path / "keys"
    ann = add_key(path, "ann")
    whole, keys = path.read_text(), Keys(path)
    path.write_text("ann\n")
    assert keys.name_of(ann) == "ann"
    with pytest.raises(SettingsError, match="line 1"):
        Keys(path)
    path.unlink()
    assert keys.name_of(ann) == "ann"
    path.write_text(f"{whole}# a comment\n\n")
    assert keys.name_of(ann) == "ann"


@pytest.mark.parametrize("name", ["", "a b", "anybody", "x" * 70, "a\nb"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    """A name is one word of the file."""
    with pytest.raises(UsageError):
        add_key(tmp_path / "keys", name)


def test_a_name_has_one_key(tmp_path: Path) -> None:
    """A second one would hide that the first is still good."""
    add_key(tmp_path / "keys", "ann")
    with pytest.raises(UsageError, match="already"):
        add_key(tmp_path / "keys", "ann")


def test_a_key_may_ask_so_often(request: pytest.FixtureRequest) -> None:
    """A quarter of a minute's share at once, then as it comes in; each key has its own."""
    now = [0.0]
    limits = Limits(60, 0, lambda: now[0])
    for _ in range(15):
        with limits.admit("ann"):
            pass
    with pytest.raises(RefusedError) as caught, limits.admit("ann"):
        pass
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "1")
    with limits.admit("bob"):
        now[0] += 1.01
    with limits.admit("ann"):
        pass


def test_a_key_has_so_many_requests_at_a_time() -> None:
    """Those that are over count no more, however they ended."""
    limits = Limits(0, 1)
    with limits.admit("ann"), pytest.raises(RefusedError), limits.admit("ann"):
        pass
    with pytest.raises(KeyError), limits.admit("ann"):
        raise KeyError
    with limits.admit("ann"):
        pass


LARGE = Costs(read=0.002, step=0.04, member=0.002, held=0.0)
"""A model that is read from memory at each step."""

SMALL = Costs(read=0.0001, step=0.0, member=0.0004, held=0.0)
"""One of whose steps nothing is shared."""


@pytest.mark.parametrize(
    ("costs", "lengths", "length", "pays"),
    [
        (LARGE, [100], 100, True),
        (LARGE, [100] * 7, 110, True),
        (LARGE, [100], 700, False),
        (SMALL, [100], 101, False),
    ],
)
def test_a_batch_is_made_where_it_saves_time(
    costs: Costs, lengths: list[int], length: int, pays: bool
) -> None:
    """Where a step is shared, and lengths are alike."""
    assert costs.pays(lengths, length, 32) is pays


@pytest.mark.parametrize(
    ("weights", "cores", "expected"),
    [(6 << 20, 2, (2, 1)), (6 << 20, 64, (8, 1)), (1 << 30, 4, (1, 4)), (None, 2, (1, 2))],
)
def test_small_models_have_a_worker_for_each_core(
    weights: int | None, cores: int, expected: tuple[int, int]
) -> None:
    """Large ones one, with all threads."""
    assert workers_and_threads(weights, cores) == expected


def written(tokenizer: CodeTokenizer, ids: list[int], stops: list[str]) -> tuple[list[Said], int]:
    """What is said of an answer of *ids*, and how many of them were taken."""
    said: list[Said] = []
    writer = Writer(tokenizer, stops, frozenset(), None, said.append)
    taken = next((n for n, i in enumerate(ids, 1) if writer.take(Step(i, 0.0, None))), len(ids))
    writer.finish()
    return said, taken


TEXT = st.text(alphabet="ab\n(é😀", max_size=30)


@settings(max_examples=200, deadline=None)
@given(text=TEXT, stops=st.lists(TEXT.filter(bool), max_size=3))
def test_an_answer_ends_before_its_first_stop(text: str, stops: list[str]) -> None:
    """However a stop or a character is spread over tokens, and all ids are told but for it."""
    tokenizer = _tokenizer()
    # Byte by byte: the harshest way that a text can come.
    ids = [tokenizer.encode("x" + one)[1:] for one in text]
    flat = [token for one in ids for token in one] if all(ids) else tokenizer.encode(text)
    whole = tokenizer.decode(flat)
    said, taken = written(tokenizer, flat, stops)
    places = [whole.find(stop) for stop in stops if stop in whole]
    told = "".join(one.text for one in said)
    if not places:
        assert told == whole
        assert [token for one in said for token in one.ids] == flat
        return
    # The stop that ends first ends the answer; it may begin after one that is still coming.
    seen = tokenizer.decode(flat[:taken])
    assert told == whole[: min(seen.find(stop) for stop in stops if stop in seen)]


_KEPT: list[CodeTokenizer] = []


def _tokenizer() -> CodeTokenizer:
    if not _KEPT:
        _KEPT.append(CodeTokenizer.from_folder(bundled_folder()))
    return _KEPT[0]


def test_the_odds_of_a_token_are_those_of_its_logits(tokenizer: CodeTokenizer) -> None:
    """Probabilities of all tokens sum to one; the chosen one is always told."""
    said: list[Said] = []
    writer = Writer(tokenizer, [], frozenset(), 2, said.append, offset=7)
    logits = np.linspace(-3, 3, tokenizer.vocab_size, dtype=np.float32)
    token = tokenizer.encode("def")[0]
    writer.take(Step(token, 0.0, logits))
    (odd,) = said[0].odds
    norm = np.log(np.exp(logits.astype(np.float64)).sum())
    assert odd.log_prob == pytest.approx(logits[token] - norm, abs=1e-5)
    assert odd.top is not None
    assert len(odd.top) == 3
    assert "def" in odd.top
    assert odd.offset == 7


def test_parts_of_characters_are_named_by_their_bytes(tokenizer: CodeTokenizer) -> None:
    """As OpenAI names them; every token of the vocabulary has a name."""
    first = tokenizer.encode("😀")[0]
    if tokenizer.token_text(first) is None:
        assert token_name(tokenizer, first).startswith("bytes:\\xf0")
    assert token_name(tokenizer, tokenizer.eos_id) == "<|endoftext|>"
    assert all(token_name(tokenizer, i) for i in range(tokenizer.vocab_size))


def test_percentiles_are_of_the_last_minute() -> None:
    """What is older does not count, and nothing at all is zero."""
    now = [0.0]
    window = Window(lambda: now[0])
    assert window.percentiles(0.5) == {0.5: (0.0, 0.0)}
    for total in range(1, 101):
        window.add(float(total), 0.5, 3)
    assert window.percentiles(0.5, 0.99) == {0.5: (51.0, 0.5), 0.99: (100.0, 0.5)}
    assert window.tokens_per_second == pytest.approx(5)
    now[0] = 61
    expected: Any = {0.5: (0.0, 0.0)}
    assert window.percentiles(0.5) == expected
