"""What stands around a cursor, and how much is asked for there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.completion.budget import Shape, unwelcome
from codegen_lsp.completion.lexing import lex
from codegen_lsp.completion.place import opens_block, place_of, width
from codegen_lsp.config.settings import Settings
from codegen_lsp.syntax.languages import syntax_of
from codegen_lsp.types import Trigger
from tests.support.cursor import context_at, plan_at

PYTHON = syntax_of("python")


@pytest.mark.parametrize(
    ("text", "language", "brackets", "inside"),
    [
        ("f(a[0], {", "python", "({", ""),
        ("f(')')  # (", "python", "", "\n"),
        ('"""a ( " \n', "python", "", '"""'),
        ('"a \\" (', "python", "", '"'),
        ('"unfinished\nf(', "python", "(", ""),
        ("/* ( */ {", "c", "{", ""),
        ("// (\n{", "c", "{", ""),
        ("don't (", "markdown", "(", ""),
        ("fn f<'a>(x: &'a str) {", "rust", "{", ""),
        ("`a ${b\n", "javascript", "", "`"),
    ],
)
def test_lex(text: str, language: str, brackets: str, inside: str) -> None:
    """Open brackets and open strings or comments are found."""
    found = lex(text, syntax_of(language))
    assert (found.brackets, found.inside) == (brackets, inside)


@given(
    st.lists(st.sampled_from(["(", ")", "'", '"""', "\\'", "#", "\n", "a", "[", "]"])), st.data()
)
def test_lexing_can_be_interrupted_between_lines(parts: list[str], data: st.DataObject) -> None:
    """Reading line by line ends in the same state as reading all at once."""
    text = "".join(parts)
    cut = text.find("\n", data.draw(st.integers(0, len(text)))) + 1
    whole, first = lex(text, PYTHON), lex(text[:cut], PYTHON)
    second = lex(text[cut:], PYTHON, first)
    assert (second.brackets, second.inside) == (whole.brackets, whole.inside)


@pytest.mark.parametrize(
    ("line", "language", "opens"),
    [
        ("if a:", "python", True),
        ("if a:  # why", "python", True),
        ("x = ':'", "python", False),
        ("x = f(", "python", True),
        ("if (a) {", "c", True),
        ("a: b", "python", False),
        ("if x then", "lua", True),
        ("strengthen", "lua", False),
        ("# a:", "python", False),
        ("", "python", False),
        ("end:", "plaintext", False),
    ],
)
def test_opens_block(line: str, language: str, opens: bool) -> None:
    """Only code opens a block."""
    assert opens_block(line, syntax_of(language)) is opens


@pytest.mark.parametrize(("line", "columns"), [("  a", 2), ("\ta", 8), ("  \ta", 8), ("a", 0)])
def test_width(line: str, columns: int) -> None:
    """Indentation is measured in columns."""
    assert width(line) == columns


SHAPES = [
    ("x = ¦", Shape.STATEMENT, Shape.STATEMENT),
    ("f(¦)", Shape.LINE, Shape.LINE),
    ("def f():\n    ¦", Shape.BLOCK, Shape.BLOCK),
    ("def f():¦", Shape.BLOCK, Shape.BLOCK),
    ('def f():\n    """Say it."""\n    ¦', Shape.BLOCK, Shape.BLOCK),
    ('def f(\n    a,\n):\n    """Say\n\n    it.\n    """\n    ¦', Shape.BLOCK, Shape.BLOCK),
    ('x = 1\n"""Say it."""\n¦', Shape.STATEMENT, Shape.BLOCK),
    ("def f():\n    a = 1\n    ¦", Shape.STATEMENT, Shape.BLOCK),
    ("a = 1\n¦", Shape.STATEMENT, Shape.BLOCK),
    ("# a:¦", Shape.STATEMENT, Shape.STATEMENT),
    ("", Shape.STATEMENT, Shape.BLOCK),
]


@pytest.mark.parametrize(("code", "automatic", "invoked"), SHAPES)
def test_shape(code: str, automatic: Shape, invoked: Shape) -> None:
    """One line or many is told by what stands around the cursor and by who asks."""
    code = code or "¦"
    assert plan_at(code).shape is automatic
    assert plan_at(code, Trigger.INVOKED).shape is invoked


def test_shape_follows_the_settings() -> None:
    """The user may want one line always, or many wherever they fit."""
    always, never = Settings(multiline="always"), Settings(multiline="never")
    assert plan_at("x = ¦", settings=always).shape is Shape.BLOCK
    assert plan_at("f(¦)", settings=always).shape is Shape.LINE
    assert plan_at("def f():\n    ¦", settings=never).shape is Shape.LINE
    assert plan_at("x = ¦", settings=never).max_tokens == Settings().max_line_tokens


@pytest.mark.parametrize(
    ("tail", "in_the_way"),
    [("", False), (")", False), ('"]) :', False), ("x)", True), ("(a)", True)],
)
def test_unwelcome(tail: str, in_the_way: bool) -> None:
    """Before code on the same line only who asks gets an answer."""
    assert unwelcome(tail, Trigger.AUTOMATIC) is in_the_way
    assert not unwelcome(tail, Trigger.INVOKED)


def test_lines_around() -> None:
    """The nearest lines that are not blank are known, on both sides."""
    place = place_of(context_at("a\n\nb\n\n  c¦d\n\n  e\n"))
    assert (place.above, place.gap, place.head, place.tail, place.below) == (
        ("a", "b"),
        True,
        "  c",
        "d",
        "  e",
    )
