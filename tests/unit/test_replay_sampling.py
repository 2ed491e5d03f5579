"""What a replay hides: lines of code, places in them, bodies, and how many of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.evaluation.replay.bodies import bodies
from codegen_lsp.evaluation.replay.editor import offset_of
from codegen_lsp.evaluation.replay.lines import code_lines
from codegen_lsp.evaluation.replay.results import Point
from codegen_lsp.evaluation.replay.sampling import (
    PER_FILE,
    draw_all,
    draw_blocks,
    draw_lines,
    draw_points,
    fit_files,
    shares,
)

MODULE = '''\
"""Accounts of one customer."""

from __future__ import annotations


class Account:
    """Money that belongs to somebody."""

    def __init__(self, owner: str, balance: int = 0) -> None:
        # Amounts are whole cents.
        self.owner = owner
        self.balance = balance

    def withdraw(self, amount: int) -> int:
        """Take *amount* out; what is left."""

        if amount > self.balance:
            raise ValueError(f"{self.owner} has only {self.balance}")
        self.balance -= amount  # never below zero
        return self.balance

    def note(self): return self.owner


QUERY = """
select balance from accounts
"""


def total(
    accounts: list[Account],
) -> int:
    # Negative balances count, too.
    found = sum(one.balance for one in accounts)
    return found
'''

SCRIPT = """\
// Reads what the form holds.
import { parse } from './parse';

export function read(form) {
  const values = parse(form);
  return values.filter(Boolean);  /* no blanks */
}
"""


def rows(text: str, language_id: str) -> list[str]:
    """The lines that are found to be code, without their indentation."""
    return [line.text.strip() for line in code_lines(text, language_id)]


def test_lines_of_python_are_code_only() -> None:
    """No comment, no docstring, no line of a long string, no line with a comment behind it."""
    found = rows(MODULE, "python")
    assert found[:3] == ["from __future__ import annotations", "class Account:", found[2]]
    assert "self.owner = owner" in found
    assert "def note(self): return self.owner" in found
    for text in found:
        assert "#" not in text
        assert '"""' not in text
        assert not text.startswith("select")


@pytest.mark.parametrize(
    ("text", "language_id", "expected"),
    [
        ("", "python", []),
        ("def broken(:\n    pass\n", "python", []),
        ("value = 1\n# comment\n\nother = 2\n", "python", ["value = 1", "other = 2"]),
        ("name = f'{first} and {last!r}'\n", "python", ["name = f'{first} and {last!r}'"]),
        ("text = '''a\nb'''\nnext = 1\n", "python", ["next = 1"]),
        ("x = '# no comment'\n", "python", ["x = '# no comment'"]),
        (
            SCRIPT,
            "javascript",
            [
                "import { parse } from './parse';",
                "export function read(form) {",
                "const values = parse(form);",
                "}",
            ],
        ),
        ("int a; // count\nint b = '\"';\n/* x\ny */ int c;\n", "c", ["int b = '\"';"]),
        ("`one\ntwo`;\nlast();\n", "javascript", ["last();"]),
        ("plain words\n", "", ["plain words"]),
    ],
)
def test_lines_of_code(text: str, language_id: str, expected: Sequence[str]) -> None:
    """Python by its own tokenizer, others by the signs of their syntax."""
    assert rows(text, language_id) == expected


def test_boundaries_and_names_of_a_line() -> None:
    """Columns where a token begins or ends, and where identifiers stand; keywords are none."""
    (line,) = (
        code_lines("    return first + offset[2]\n", "python")
        or code_lines("def f():\n    return first + offset[2]\n", "python")[1:]
    )
    assert line.indent == 4
    assert line.boundaries == (10, 11, 16, 17, 18, 19, 25, 26, 27)
    assert [line.text[start:end] for start, end in line.names] == ["first", "offset"]


def test_a_formatted_string_is_one_token() -> None:
    """Whatever the interpreter makes of it, a cursor stands beside it only."""
    (line,) = code_lines("name = f'{first} and {last!r}'\n", "python")
    assert line.boundaries == (4, 5, 6, 7)


def test_bodies_of_functions() -> None:
    """From behind the docstring to the last line; one-liners are none."""
    found = bodies(MODULE, "python")
    hidden = [body.hidden(*body.first_line) for body in found]
    assert hidden == [
        "# Amounts are whole cents.\n        self.owner = owner\n        self.balance = balance",
        "if amount > self.balance:\n"
        '            raise ValueError(f"{self.owner} has only {self.balance}")\n'
        "        self.balance -= amount  # never below zero\n"
        "        return self.balance",
        "# Negative balances count, too.\n"
        "    found = sum(one.balance for one in accounts)\n    return found",
    ]
    after = found[1].hidden(*found[1].after_signature)
    assert after == "\n\n        " + hidden[1]


@pytest.mark.parametrize(
    "text",
    [
        "def one(): return 1\n",
        "def one():\n    return 1\n",
        "def doc():\n    '''Only a\n    docstring.'''\n",
        "def long():\n" + "    call()\n" * 16,
        "def same():\n    '''Doc.'''; first = 1\n    return first\n",
        "class A:\n    first = 1\n    second = 2\n",
        "def broken(:\n    a\n    b\n",
    ],
)
def test_what_is_no_body(text: str) -> None:
    """Too short, too long, not on lines of its own, not of a function."""
    assert bodies(text, "python") == []


@pytest.mark.parametrize(
    ("language_id", "text", "expected"),
    [
        ("javascript", "f = (x = {}) => {\n  a(x);\n  return b;\n};\n", "a(x);\n  return b;"),
        ("go", "package p\n\nfunc F() int {\n\ta()\n\treturn 1\n}\n", "a()\n\treturn 1"),
        ("c", "int f(void)\n{\n  a();\n  return 1;\n}\n", "a();\n  return 1;"),
        ("rust", "fn f() -> i32 {\n    a();\n    1\n}\n", "a();\n    1"),
    ],
)
def test_bodies_between_braces(language_id: str, text: str, expected: str) -> None:
    """In languages that have a grammar; the braces stay."""
    (body,) = bodies(text, language_id)
    assert body.hidden(*body.first_line) == expected
    assert body.hidden(*body.after_signature).strip() == expected


def test_a_decorated_function_inside_begins_with_its_decorator() -> None:
    """A body may begin with the decorator of a nested function."""
    text = "def outer(run):\n    @run\n    def inner():\n        pass\n    return inner\n"
    (body,) = bodies(text, "python")
    assert body.hidden(*body.first_line).startswith("@run\n")


@given(st.integers(0, 200), st.dictionaries(st.text("abcdef", min_size=1), st.integers(0, 40)))
def test_shares_are_even_and_complete(total: int, capacities: Mapping[str, int]) -> None:
    """Nobody gets more than there is, all is given if it can be, and no share can be evened."""
    given_out = shares(total, capacities)
    assert sum(given_out.values()) == min(total, sum(capacities.values()))
    for name, share in given_out.items():
        assert 0 <= share <= capacities[name]
        if share < capacities[name]:
            assert share + 1 >= max(given_out.values())


def files(count: int) -> dict[str, str]:
    """Different modules, long enough to be fit."""
    return {f"pkg/part{n}.py": MODULE.replace("Account", f"Account{n}") for n in range(count)}


TEXTS = {"one": files(12), "two": files(3), "three": files(30)}


def check(points: Sequence[Point], texts: Mapping[str, str], per_file: int) -> None:
    """Every point hides exactly what stands there, at most so many in one file."""
    for point in points:
        text = texts[point.path]
        start = offset_of(text, point.line, point.column)
        assert text[start:].startswith(point.truth)
        assert point.truth.strip()
        assert text[start + len(point.truth) :].startswith("\n")
    assert max(Counter(point.path for point in points).values()) <= per_file
    places = [(point.path, point.line) for point in points]
    assert len(set(places)) == len(places)


def test_points_of_a_repository() -> None:
    """At most five of a file, all of different lines, in the shares that were promised."""
    texts = TEXTS["three"]
    points = draw_points("three", texts, 0, 1000)
    check(points, texts, PER_FILE)
    assert len(points) == PER_FILE * len(texts)
    kinds = Counter(point.kind for point in points)
    assert kinds == {"line": 60, "token": 60, "identifier": 30}
    assert {len({one.kind for one in points if one.path == path}) for path in texts} == {3}
    for point in points:
        line = texts[point.path].split("\n")[point.line]
        before, after = line[: point.column], line[point.column :]
        assert (point.kind == "line") == (not before.strip())
        if point.kind == "identifier":
            assert (before[-1] + after[0]).isidentifier()
        if point.kind == "token":
            assert not (before[-1:] + after[:1]).isalnum()


def test_draws_are_the_seeds() -> None:
    """The same again; another seed, another draw; fewer are the first of more."""
    texts = TEXTS["one"]
    draw = draw_points("one", texts, 0, 40)
    assert draw == draw_points("one", dict(reversed(texts.items())), 0, 40)
    assert draw != draw_points("one", texts, 1, 40)
    assert draw[:15] == draw_points("one", texts, 0, 15)
    check(draw_lines("one", texts, 0, 40), texts, PER_FILE)
    blocks = draw_blocks("one", texts, 0, 40)
    check(blocks, texts, 2)
    assert {point.kind for point in blocks} == {"block"}


def test_a_changed_file_moves_no_point_of_another() -> None:
    """Each file is drawn from alone."""
    texts = TEXTS["one"]
    changed = {**texts, "pkg/part3.py": MODULE.replace("balance", "saldo")}

    def others(points: Sequence[Point]) -> list[Point]:
        return [point for point in points if point.path != "pkg/part3.py"]

    assert others(draw_points("one", texts, 0, 60)) == others(draw_points("one", changed, 0, 60))


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (0, {"one": 0, "two": 0, "three": 0}),
        (30, {"one": 10, "two": 10, "three": 10}),
        (100, {"one": 42, "two": 15, "three": 43}),
        (10_000, {"one": 60, "two": 15, "three": 150}),
    ],
)
def test_points_are_spread_over_repositories(total: int, expected: Mapping[str, int]) -> None:
    """Evenly, and what a small one has not the others give."""
    found = draw_all(draw_points, TEXTS, 0, total)
    assert {name: len(points) for name, points in found.items()} == expected


@pytest.mark.parametrize(
    ("path", "text", "fit"),
    [
        ("pkg/accounts.py", MODULE, True),
        ("pkg/tests/helpers.py", MODULE, False),
        ("pkg/test_accounts.py", MODULE, False),
        ("pkg/short.py", "value = 1\n", False),
        ("pkg/broken.py", MODULE + "def (\n", False),
        ("pkg/accounts.pyi", MODULE, False),
        ("src/form.js", 2 * SCRIPT, True),
        ("src/tiny.js", "run();\n", False),
        ("src/bundle.js", 2 * SCRIPT + "x" * 500 + "\n", False),
    ],
)
def test_files_worth_asking_about(path: str, text: str, fit: bool) -> None:
    """People's code of today, no tests, no tables, nothing minified."""
    assert fit_files({path: text}) == ([path] if fit else [])
