"""The gate: how much of a suggestion is shown, by what the model gave its tokens."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.completion.gate import (
    FEATURES,
    LIMITS,
    WEIGHTS,
    Limits,
    Part,
    align,
    confidence,
    features,
    parts,
    select,
)
from codegen_lsp.types import Piece

BY_TOTAL = tuple(1.0 if name == "total" else 0.0 for name in FEATURES)
"""Weights under which a text of probability p is believed with p / (1 + p)."""


def said(*pairs: tuple[str, float]) -> tuple[Piece, ...]:
    """Pieces with these probabilities."""
    return tuple(Piece(text, math.log(likely)) for text, likely in pairs)


SURE = said(("return", 0.99), (" self", 0.99), (".", 0.98), ("name", 0.97))
DOUBT = said(("return", 0.99), (" self", 0.99), (".", 0.98), ("_cl", 0.2), ("ient", 0.5))
BLOCK = said(("x", 0.9), (" = 1", 0.9), ("\n", 0.9), ("y", 0.05), (" = 2", 0.3))
LATER = said(("\n    ", 0.95), ("return", 0.95), (" nothing", 0.01))


@pytest.mark.parametrize(
    ("pieces", "limits", "shown"),
    [
        (SURE, Limits(0.4, 0.4, 0.4), "return self.name"),
        (DOUBT, Limits(0.4, 0.4, 0.4), "return self."),
        (DOUBT, Limits(0.05, 0.4, 0.4), "return self._client"),
        (DOUBT, Limits(0.4, 0.499, 0.4), None),
        (DOUBT, LIMITS["eager"], "return self._client"),
        (BLOCK, LIMITS["eager"], "x = 1\ny = 2"),
        (BLOCK, Limits(0.4, 0.4, 0.2), "x = 1"),
        (BLOCK, Limits(0.4, 0.4, 0.01), "x = 1\ny = 2"),
        (LATER, Limits(0.4, 0.4, 0.4), "\n    return"),
        ((), Limits(0.4, 0.4, 0.4), None),
        (said(("  ", 0.9)), LIMITS["eager"], None),
    ],
)
def test_what_is_shown(pieces: tuple[Piece, ...], limits: Limits, shown: str | None) -> None:
    """All that is likely enough: the line, then further lines, else the line's likely beginning."""
    part = select(pieces, limits, BY_TOTAL)
    assert (None if part is None else part.text) == shown


def test_short_beginnings_are_not_worth_a_glance() -> None:
    """A part has at least four visible characters."""
    pieces = said(("if", 0.99), (" x", 0.99), (" == something", 0.01))
    assert select(pieces, Limits(0.4, 0.3, 0.4), BY_TOTAL) is None


def test_an_engine_without_probabilities_is_believed() -> None:
    """Nothing can be said of the answer, so it is shown."""
    part = select((Piece("return 1"), Piece("\nx")), LIMITS["quiet"])
    assert part is not None
    assert part.text == "return 1\nx"
    assert confidence(part) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("return self.name", ["return", " self", ".", "name"]),
        ("self.name", ["self", ".", "name"]),
        ("turn self", ["turn", " self"]),
        ("return se", ["return", " se"]),
        ("elsewhere", []),
    ],
)
def test_pieces_of_what_clean_up_left(text: str, expected: list[str]) -> None:
    """Tokens that are left out in part count for the rest; other text has none."""
    assert [piece.text for piece in align(SURE, text)] == expected


def test_tokens_within_a_character_count_for_it() -> None:
    """Three tokens may bring one character; the last one brings the text."""
    pieces = (Piece("a", -1.0), Piece("", -2.0), Piece("€", -3.0), Piece("b", -4.0))
    assert [piece.log_prob for piece in align(pieces, "a€")] == [-1.0, -2.0, -3.0]


@given(st.lists(st.sampled_from(["a", "b1", " ", "\n", ".", "(", "x_y", "\n    ", "é", ""])))
def test_parts_are_beginnings(texts: list[str]) -> None:
    """Each is longer than the one before, none tears a word, the last one is everything."""
    pieces = [Piece(text, -0.1) for text in texts]
    whole = "".join(texts)
    found = [part.text for part in parts(pieces)]
    assert all(whole.startswith(text) for text in found)
    assert found == sorted(found, key=len)
    assert bool(found) == bool(whole.strip())
    assert not found or found[-1] == whole
    for text in found:
        assert text.strip()
        before, after = text[-1], whole[len(text) : len(text) + 1]
        assert not (before.isalnum() and after.isalnum())


@given(
    st.lists(st.floats(0.001, 0.999), min_size=1, max_size=12),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_stricter_limits_never_show_more(
    likely: list[float], whole: float, part: float, further: float
) -> None:
    """What is shown under limits is a beginning of what is shown under none."""
    pieces = said(*((f" word{n}" if n % 4 else f"\nline{n}", p) for n, p in enumerate(likely)))
    everything = select(pieces, LIMITS["eager"])
    shown = select(pieces, Limits(whole, part, further))
    assert everything is not None
    assert shown is None or everything.text.startswith(shown.text)


def test_what_is_weighed() -> None:
    """The numbers in the order of their names."""
    part = Part("ab c\nd", (Piece("ab c", -1.0), Piece("\nd", -3.0)), ends_line=True)
    assert features(part) == (1.0, -2.0, -3.0, -4.0, -1.0, math.log(5), 1.0, 1.0)
    assert len(WEIGHTS) == len(FEATURES)
    sure = confidence(part)
    assert sure is not None
    assert 0 <= sure <= 1
