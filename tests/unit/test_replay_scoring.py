"""How an answer of a replay is judged."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.evaluation.replay.results import Kind, Point, Scores
from codegen_lsp.evaluation.replay.scoring import (
    accepted,
    common_prefix,
    distance,
    duplicates,
    identifier_f1,
    score,
    similarity,
)

DOCUMENT = """\
def scale(values, factor):
    scaled = [value * factor for value in values]
    if not scaled:
        return None
    return scaled


print(scale([1, 2], 3))
"""


def judged(
    hidden: str,
    shown: str | None,
    *,
    kind: Kind = "token",
    replaced: str = "",
    document: str = DOCUMENT,
) -> Scores:
    """The scores of *shown* where *hidden* stood."""
    at = document.index(hidden)
    point = Point(repository="r", path="pkg/a.py", line=0, column=0, kind=kind, truth=hidden)
    return score(point, document[:at], document[at + len(hidden) :], shown, replaced)


def test_nothing_shown_is_worth_nothing() -> None:
    """All zeros; identifiers count only where there were any."""
    assert judged("value * factor for value in values]", None) == Scores(identifier_f1=0.0)
    assert judged("1, 2], 3))", None) == Scores()


def test_the_right_line() -> None:
    """Everything is as good as it gets."""
    hidden = "[value * factor for value in values]"
    assert judged(hidden, hidden + "  ") == Scores(
        exact=True,
        first_line=True,
        accepted=True,
        similarity=1.0,
        identifier_f1=1.0,
        prefix=len(hidden),
        parses=True,
        lines=1,
    )


def test_a_right_beginning() -> None:
    """Accepted, not exact, and unfinished code does not parse."""
    found = judged("[value * factor for value in values]", "[value * factor")
    assert (found.accepted, found.exact, found.first_line, found.parses) == (True,) + (False,) * 3
    assert found.prefix == 15


def test_further_lines_are_wrong_where_only_a_line_was_hidden() -> None:
    """The first line may be taken, the whole is not what was written."""
    hidden = "[value * factor for value in values]"
    found = judged(hidden, f"{hidden}\n    scaled.sort()")
    assert (found.first_line, found.accepted, found.exact, found.parses) == (
        True,
        True,
        False,
        True,
    )
    assert found.lines == 2


def test_a_body_after_its_signature() -> None:
    """The line break belongs to the hidden text; the first non-blank lines are compared."""
    hidden = "\n    if not scaled:\n        return None\n    return scaled"
    whole = judged(hidden, hidden, kind="block")
    assert (whole.exact, whole.first_line, whole.lines) == (True, True, 4)
    first = judged(hidden, "\n    if not scaled:\n        return values", kind="block")
    assert (first.exact, first.first_line, first.accepted) == (False, True, True)
    flat = judged(hidden, "\nif not scaled:\n    return None", kind="block")
    assert (flat.first_line, flat.accepted) == (False, False)


def test_what_is_replaced_has_to_be_written_again() -> None:
    """A closer that the range takes away belongs to the answer."""
    right = judged("1, 2], 3", "1, 2], 3))", replaced="))")
    assert right.exact
    assert right.parses
    assert not judged("1, 2], 3", "1, 2], 3", replaced="))").exact


@pytest.mark.parametrize(
    ("text", "truth", "expected"),
    [
        ("return", "return scaled", True),
        ("return scaled", "return scaled", True),
        ("ret", "return scaled", False),
        ("r e t", "r e turn", False),
        ("r e tu", "r e turn", True),
        (")", ")", True),
        (")", "))", False),
        ("return values", "return scaled", False),
        ("return scaled or []", "return scaled", False),
        ("", "return scaled", False),
        ("return\nmore", "return scaled", True),
        ("\n    return", "\n\n    return scaled", True),
        ("    return", "  return", False),
    ],
)
def test_accepted(text: str, truth: str, expected: bool) -> None:
    """The first line begins the true one with four visible characters, or is all of it."""
    assert accepted(text, truth) is expected


@pytest.mark.parametrize(
    ("text", "rest", "truth", "expected"),
    [
        ("x = 1", "\n    y = 2\n", "x = 3", False),
        ("    y = 2", "\n    y = 2\n", "    x = 1", True),
        ("x = 1\n    y = 2", "\n\n    y = 2\n", "x = 1", True),
        ("x = 1\ny = 2\nz = 3", "\n    y = 2\n", "x = 1", True),
        ("y = 2", "\ny = 2\n", "y = 2", False),
        ("call(\n)", "\n)\n", "call(", False),
        ("call(a)", ")\n", "call(a", True),
        ("call(a", ")\n", "call(a", False),
        ("call(f(a)", ")\n", "call(f(a)", False),
        ("last", "", "last", False),
        ("a\n\n", "\n\n", "a", False),
        ("    first,\n    second,\n)", "\n)\nx = 1\n", "    first,", True),
        ("    first,\n)", "\n)\nx = 1\n", "    first,\n)", False),
        ("    call(\n        first,\n    )", "\n    )\nx\n", "    first,", False),
        ("    });", "\n    });\n", "    run();", False),
    ],
)
def test_duplicates(text: str, rest: str, truth: str, expected: bool) -> None:
    """A repeated next line, or what the editor closed; brackets and true repetitions are none."""
    assert duplicates(text, rest, truth) is expected


@pytest.mark.parametrize(
    ("hidden", "shown", "expected"),
    [
        ("return scaled", "a" * 40, True),
        ("return scaled", "return values", False),
        ("return scaled", "first(1)\n    second(2)\n    first(1)\n    second(2)", True),
        ("return scaled", "return scaled", False),
    ],
)
def test_loops(hidden: str, shown: str, expected: bool) -> None:
    """As the clean-up finds them; what was really written is none."""
    assert judged(hidden, shown).loops is expected


def test_what_is_repeated_on_purpose_is_no_loop() -> None:
    """The person wrote it."""
    document = "rows = [\n    blank_row(9),\n    blank_row(9),\n    last_row(),\n]\n"
    point = Point(repository="r", path="a.py", line=2, column=4, kind="line", truth="blank_row(9),")
    at = document.index("blank_row(9),\n    last")
    before, after = document[:at], document[at + 13 :]
    assert not score(point, before, after, "blank_row(9),", "").loops
    assert score(point, before, after, "blank_row(9),\n", "").exact


def test_only_python_is_parsed() -> None:
    """Of other languages nothing is said."""
    point = Point(repository="r", path="a.js", line=0, column=0, kind="line", truth="run();")
    assert score(point, "", "\n", "run(", "").parses is None


@pytest.mark.parametrize(
    ("text", "truth", "expected"),
    [
        ("a + b", "a + b", 1.0),
        ("a + c", "a + b", 0.5),
        ("", "a", 0.0),
        ("a a", "a", 2 / 3),
        ("return", "a", 0.0),
        ("a", "1 + 2", None),
    ],
)
def test_identifiers(text: str, truth: str, expected: float | None) -> None:
    """Multisets without keywords."""
    found = identifier_f1(text, truth)
    assert found is None if expected is None else math.isclose(found or 0.0, expected)


def slow_distance(one: str, other: str) -> int:
    """The textbook's recursion, by rows."""
    row = list(range(len(other) + 1))
    for number, a in enumerate(one, start=1):
        ahead = [number]
        for column, b in enumerate(other):
            ahead.append(min(row[column + 1] + 1, ahead[-1] + 1, row[column] + (a != b)))
        row = ahead
    return row[-1]


WORDS = st.text("abc\n é😀", max_size=12)


@given(WORDS, WORDS)
def test_distances(one: str, other: str) -> None:
    """Levenshtein's, whatever the characters; similarity lies between 0 and 1."""
    assert distance(one, other) == slow_distance(one, other) == distance(other, one)
    assert 0 <= similarity(one, other) <= 1
    assert (similarity(one, other) == 1) == (one == other)


@given(WORDS, WORDS)
def test_prefixes(one: str, other: str) -> None:
    """As long as both texts go together, and no longer."""
    length = common_prefix(one, other)
    assert one[:length] == other[:length]
    assert one[length : length + 1] != other[length : length + 1] or one == other
