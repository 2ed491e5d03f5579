"""How likely every token was at a step, and what that spares the engine."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.completion.answering import settled
from codegen_lsp.completion.cache import MOST_ODDS, Cache, Said, entry_of
from codegen_lsp.engines.odds import Logits
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
    """Then how likely the rest of a word is can only be asked."""
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
