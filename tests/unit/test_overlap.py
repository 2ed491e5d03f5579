"""Lines that say the same, and ends that follow anyway."""

from __future__ import annotations

import pytest

from codegen_lsp.completion.overlap import overlap, same_line


@pytest.mark.parametrize(
    ("line", "other", "same"),
    [
        ("  a", "  a", True),
        ("  a", "a", False),
        ("return value_a", "return value_b", True),
        ("return first", "yield last()", False),
        ("a", "", False),
    ],
)
def test_same_line(line: str, other: str, same: bool) -> None:
    """Lines are compared with their indentation, long ones by similarity."""
    assert same_line(line, other) is same


@pytest.mark.parametrize(
    ("line", "other", "above", "same"),
    [
        # rows of a table, which differ in literals alone
        ("    'acc': '\\xe2',", "    'acb': '\\xe3',", "", False),
        ("def_op('MATCH_KEYS', 33)", "def_op('MATCH_SEQ', 34)", "", False),
        ("  {0x0041, 0x0061},", "  {0x0042, 0x0062},", "", False),
        ("assertEquals(1, list.size());", "assertEquals(2, list.size());", "", False),
        ("struct unformattable1 {};", "struct unformattable2 {};", "", False),
        ("sum_ps += mm512_reduce_max_ps(a_ps);", "sum_pd += mm512_reduce_max_pd(a_pd);", "", False),
        # another of a series that was begun above
        ("self.post_install = None", "self.pre_install = None", "self.prep_install = None", False),
        ("self.second_name = None", "self.second_nome = None", "for a in b:", True),
        ("import stringprep", "import stringprop", "", False),
        ("#include <stdio.h>", "#include <stdlib.h>", "", False),
        # said again in other words
        ("return self.value_of(name)", "return self.value_for(name)", "", True),
        ("result.append(item)", "results.append(item)", "", True),
        ("short = 1", "short = 2", "", False),
    ],
)
def test_rows_of_a_table(line: str, other: str, above: str, same: bool) -> None:
    """Lines that are alike for a good reason do not repeat each other."""
    assert same_line(line, other, above) is same


@pytest.mark.parametrize(
    ("text", "suffix", "length"),
    [
        ("a + b", "b", 1),
        ("ab", "b", 0),
        ("a b", "bc", 0),
        ("f(x)\n    y()", "\n    y()\n", 8),
        ("a ", " b", 0),
        ("", "a", 0),
        ("a, b)", ", b)", 4),
    ],
)
def test_overlap(text: str, suffix: str, length: int) -> None:
    """The longest end of one that is the beginning of the other, of whole words."""
    assert overlap(text, suffix) == length
