"""Fusing and splitting attention weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.converters import qkv
from codegen_lsp.errors import ConversionError

PARTS = st.sampled_from([1, 4, 8])
SMALL = st.integers(1, 4)


@given(PARTS, SMALL, SMALL)
def test_split_undoes_fuse(parts: int, per_part: int, columns: int) -> None:
    """Query, key and value come back as they went in, for any width and any other dimension."""
    width = parts * per_part
    whole = np.arange(3 * width * columns).reshape(3, width, columns)
    fused = qkv.fuse(*whole, parts)
    assert fused.shape == (3 * width, columns)
    assert np.array_equal(np.stack(qkv.split(fused, parts)), whole)


def test_the_order_within_a_part_is_query_value_key() -> None:
    """Four parts of one row each: q0 v0 k0, q1 v1 k1, and so on."""
    query, key, value = (np.array([10, 11, 12, 13]) + 10 * i for i in range(3))
    fused = qkv.fuse(query, key, value)
    assert fused.tolist() == [10, 30, 20, 11, 31, 21, 12, 32, 22, 13, 33, 23]


@given(SMALL, st.integers(1, 4), st.integers(0, 3))
def test_rotary_order_there_and_back(heads: int, half: int, rest: int) -> None:
    """Reordering rows for sliced rotation is undone, and touches rotated rows only."""
    weight = np.arange(heads * (2 * half + rest) * 2).reshape(-1, 2)
    sliced = qkv.interleaved_to_sliced(weight, heads, 2 * half)
    assert np.array_equal(qkv.sliced_to_interleaved(sliced, heads, 2 * half), weight)
    per_head = sliced.reshape(heads, -1, 2)
    assert np.array_equal(per_head[:, 2 * half :], weight.reshape(heads, -1, 2)[:, 2 * half :])


def test_even_rows_come_before_odd_ones() -> None:
    """One head of six with four rotated: 0 2 1 3, then 4 5."""
    assert qkv.interleaved_to_sliced(np.arange(6), 1, 4).tolist() == [0, 2, 1, 3, 4, 5]


def test_a_width_that_cannot_be_cut() -> None:
    """A width that is no multiple of the parts is an error with a way out."""
    with pytest.raises(ConversionError, match="multiples of 4"):
        qkv.fuse(*np.zeros((3, 6, 2)))
