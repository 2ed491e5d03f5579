"""How likely every token was at a step, and what that spares the engine."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.completion.begun import settled
from codegen_lsp.completion.cache import MOST_ODDS, Cache, Said, entry_of
from codegen_lsp.engines.odds import DOUBT, Likeliest, Logits
from codegen_lsp.types import Piece
from tests.support.cursor import query_at, word_tokenizer

TOKENIZER = word_tokenizer(["fetch", "fe", "find"])


def odds(**likely: float) -> Logits:
    """Where the words named have these probabilities, and everything else next to none."""
    logits = np.full(TOKENIZER.vocab_size, -30.0, np.float32)
    for word, probability in likely.items():
        logits[TOKENIZER.encode(word)[0]] = math.log(probability)
    return Logits(logits)


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=50), st.data())
def test_odds_are_those_of_the_softmax(logits: list[float], data: st.DataObject) -> None:
    """Kept in half the precision, which is plenty for a probability."""
    ids = data.draw(st.lists(st.integers(0, len(logits) - 1), min_size=1, unique=True))
    exact = np.exp(np.array(logits) - max(logits))
    exact /= exact.sum()
    some, likeliest = Logits(np.array([logits], np.float32)).among(ids)
    assert math.exp(some) == pytest.approx(exact[ids].sum(), abs=0.02)
    assert math.exp(likeliest) == pytest.approx(exact[ids].max(), abs=0.02)


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=50), st.integers(1, 50), st.data())
def test_of_the_likeliest_only_what_is_known_is_said(
    logits: list[float], count: int, data: st.DataObject
) -> None:
    """Wherever the others, which nobody named, could change it, it is not said."""
    ids = data.draw(st.lists(st.integers(0, len(logits) - 1), min_size=1, unique=True))
    exact = np.exp(np.array(logits) - max(logits))
    exact /= exact.sum()
    order = sorted(range(len(logits)), key=lambda i: -exact[i])[:count]
    found = Likeliest((i, math.log(exact[i])) for i in order).among(ids)
    if set(ids) <= set(order):
        assert found is not None
    if found is None:
        return
    some, likeliest = found
    assert likeliest == pytest.approx(math.log(exact[ids].max()))
    assert some == pytest.approx(math.log(exact[ids].sum()), abs=DOUBT / 2 + 1e-6)


@pytest.mark.parametrize(
    ("least", "ids", "expected"),
    [
        (0.02, (1,), 0.6),
        (0.02, (1, 2), 0.8),
        (0.02, (1, 2, 7), 0.81),  # one more, which is as likely as the last one named at most
        (0.12, range(1000), 0.96),  # the others all together are what is left
        (0.02, range(1000), None),
        (0.02, (2, 7, 8), None),
        (0.02, (7,), None),
    ],
)
def test_what_hangs_on_others_is_not_known(
    least: float, ids: Sequence[int], expected: float | None
) -> None:
    """A sum is said as far as the tokens that were not named cannot change it by much."""
    named = {1: 0.6, 2: 0.2, 3: least}
    found = Likeliest((i, math.log(p)) for i, p in named.items()).among(ids)
    likely = None if found is None else math.exp(found[0])
    assert likely == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(("typed", "likely"), [("f", 0.3 / 0.5), ("fe", 0.3 / 0.4), ("fet", 0.75)])
def test_a_word_that_was_begun(typed: str, likely: float) -> None:
    """It is as likely as among all that begin like it, or that it begins with."""
    likelihoods = odds(fetch=0.3, fe=0.05, find=0.1, f=0.05, x=0.5)
    words = Said((Piece("fetch", math.log(0.3), "", likelihoods),), over=False)
    left = settled(words.after(len(typed)), TOKENIZER)
    assert not left.begun
    assert left.pieces[0].text == "fetch"[len(typed) :]
    assert left.pieces[0].log_prob == pytest.approx(math.log(likely), abs=0.01)


def test_without_odds_nothing_is_known() -> None:
    """Then how likely the rest of a word is can only be asked; so where they are not enough."""
    few = Likeliest([(TOKENIZER.encode("x")[0], math.log(0.6))])
    unsure = Said((Piece("fetch", -1.0, "", few),), over=False).after(2)
    assert settled(unsure, TOKENIZER) == unsure
    left = Said((Piece("fetch", -1.0),), over=False).after(2)
    assert settled(left, TOKENIZER) == left
    whole = Said((Piece("fetch", -1.0, "", odds(fetch=0.5)),), over=False)
    assert settled(whole, TOKENIZER) == whole


@pytest.mark.parametrize(
    ("now", "given"),
    [
        ("x = q¦\n", "q"),
        ("x = fi¦\n", "fi"),
        ("x = fetch[¦\n", "["),
        ("x = fetch(q¦\n", "q"),
        ("x = fet¦\n", None),  # just what was said
        ("x = fetch¦\n", None),
        ("x = fetch(url¦\n", None),  # as far as anything was said
        ("y = q¦\n", None),
        ("x = q¦z\n", None),
    ],
)
def test_where_something_else_was_typed(now: str, given: str | None) -> None:
    """What stands in place of which word."""
    cache, query = Cache(), query_at("x = ¦\n")
    texts = ("fetch", "(", "url")
    words = Said(tuple(Piece(text, -1.0, "", odds(fetch=0.5)) for text in texts), over=False)
    cache.put(entry_of(query, None, None, words))
    strays = [piece.given for piece in cache.strayed(query_at(now), None)]
    assert strays == ([] if given is None else [given])


def test_odds_of_the_last_answers_only() -> None:
    """They are large; what was said is kept longer."""
    cache = Cache()
    queries = [query_at(f"{n} = ¦\n") for n in range(MOST_ODDS + 3)]
    for query in queries:
        words = Said((Piece("fetch", -1.0, "", odds(fetch=0.5)),), over=False)
        cache.put(entry_of(query, None, None, words))
    rich = []
    for query in queries:
        (found,) = cache.find(query, None)
        left = found.left()
        assert left is not None
        rich.append(left.pieces[0].odds is not None)
    assert rich == [False] * 3 + [True] * MOST_ODDS
