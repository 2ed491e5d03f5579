"""Repetition: in a line, of lines, and where it begins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.completion.loops import line_loops, loop_start, repeated
from codegen_lsp.completion.stopping import End, whole
from codegen_lsp.types import Trigger
from tests.support.cursor import plan_at


@pytest.mark.parametrize(
    ("line", "loops"),
    [
        ("x.y.x.y.x.y.x.y.x.y.x.y.", True),
        ("aaaaaaaaaaaaaaaaaaaa", True),
        ("self.append(" * 6, True),
        ("# " + "-" * 70, False),
        (" " * 60 + "x", False),
        ("[0, 0, 0]", False),
        ("a = b + c * d", False),
        ("self.append(" * 5, False),
        ("abc" * 6, True),
        ("abc" * 5, False),
        ("    zeros = 0x0000000000000000", False),
        ("x = [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]", False),
        ("// " + "=" * 76, False),
    ],
)
def test_line_loops(line: str, loops: bool) -> None:
    """Repetitions inside a line, rulers excepted."""
    assert line_loops(line) is loops


@pytest.mark.parametrize(
    ("above", "lines", "count"),
    [
        ([], ["a = 1", "b = 2"], 0),
        ([], ["a = 1", "a = 1"], 1),
        (["a = 1"], ["a = 1"], 1),
        (["a = 1", "b = 2"], ["a = 1", "b = 2"], 2),
        (["a = 1", "b = 2", "a = 1"], ["b = 2"], 1),
        ([], ["}", "}"], 0),
        (["x1 = 1", "x2 = 1", "x3 = 1", "x4 = 1"], ["x5 = 1"], 0),
        ([], [f"case {n}:" for n in range(4)], 0),
        ([], [f"case {n}:" for n in range(5)], 4),
        ([], ["self.counter = 0", "b", "  self.counter = 0", "c", "self.counter = 0"], 1),
    ],
)
def test_repeated(above: list[str], lines: list[str], count: int) -> None:
    """Repetitions of lines; a list the user began may be gone on with."""
    assert repeated(above, lines) == count


@pytest.mark.parametrize(
    ("above", "head", "text", "start"),
    [
        ([], "", "a = 1\nb = 2\n", None),
        ([], "", "a = 1\na = 1\nb", 6),
        (["a = 1"], "", "a = 1\nb", 0),
        ([], "x = ", "ab" * 20, 0),
        ([], "", "a = 1\nb = " + "ab" * 20, 6),
        ([], "ab" * 20, "c", None),
    ],
)
def test_loop_start(above: list[str], head: str, text: str, start: int | None) -> None:
    """What repeats begins at the start of a line."""
    assert loop_start(above, head, text) == start


@given(st.lists(st.sampled_from(["a()", "b = 1", "\n", "\n    ", "ab", " "]), max_size=40))
def test_what_stopped_in_time_holds_no_loop(words: list[str]) -> None:
    """An answer that was watched while it came has no loop left to be cut."""
    plan = plan_at("def f(a):\n    ¦", Trigger.INVOKED)
    answer = whole(plan, "".join(words))
    if answer.end is not End.LOOP:
        assert loop_start(plan.place.above, plan.place.head, answer.text) is None
