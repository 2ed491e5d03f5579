"""What stands around a cursor, and how much is asked for there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.completion.budget import Shape, unwelcome
from codegen_lsp.completion.lexing import lex, state_after
from codegen_lsp.completion.place import opens_block, place_of, width
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.collect import collect
from codegen_lsp.syntax.breaks import breaks
from codegen_lsp.syntax.languages import syntax_of
from codegen_lsp.syntax.near import near
from codegen_lsp.types import Snapshot, Trigger
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
        ("x.replace(/[({]/g, {", "javascript", "({", ""),
        ("a = (b / c) / (d", "javascript", "(", ""),
        ("if c == '{' || c == '\\'' {", "rust", "{", ""),
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
    # a block that has statements already gets one more
    ("def f():\n    ¦\n    return a\n", Shape.STATEMENT, Shape.BLOCK),
    ('class A:\n    """Say\n    it."""\n    ¦\n', Shape.BLOCK, Shape.BLOCK),
    ("x = {\n    ¦\n}\n", Shape.BLOCK, Shape.BLOCK),
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


def test_without_a_grammar_lines_decide() -> None:
    """Where no tree says what is expected, a line that opens a block does."""
    assert plan_at("if a then\n  ¦", language="lua").shape is Shape.BLOCK
    assert plan_at("a = 1\n  ¦", language="lua").shape is Shape.STATEMENT


@pytest.mark.parametrize(
    ("text", "language", "whole", "inside"),
    [
        ('of it.\n    """\n    return a\n\ndef f():\n    ', "python", False, ""),
        ('of it.\n    """\n    return a\n\ndef f():\n    """Say', "python", False, '"""'),
        ('of it.\n    """\n    return a\n\ndef f():\n    ', "python", True, '"""'),
        ('def f():\n    """Say."""\n    return 1\n', "python", False, ""),
        (" * of it's.\n */\nint f(void) {\n", "c", False, ""),
    ],
)
def test_a_window_may_begin_in_a_string(text: str, language: str, whole: bool, inside: str) -> None:
    """Of the ways to read a part of a document, the one is taken that leaves code to be code."""
    assert state_after(text, syntax_of(language), whole=whole).inside == inside


@pytest.mark.parametrize(
    ("code", "language", "floor"),
    [
        ("def f():\n¦", "python", 1),
        ("def f():\n    ¦", "python", 4),
        ("if (a and\n        b):\n    ¦", "python", 4),
        ("x = [\n¦", "python", 0),
        ("namespace a {\n¦", "cpp", 0),
        ("    def f():¦", "python", 5),
        ("    f(¦", "python", 4),
    ],
)
def test_floor(code: str, language: str, floor: int) -> None:
    """A block is deeper than its header; what brackets hold may stand anywhere."""
    assert place_of(context_at(code, language=language)).floor == floor


@pytest.mark.parametrize(
    ("code", "columns", "closed", "awaited"),
    [
        ("f() {\n  ¦\n}\n", 0, True, False),
        ("f() {\n  ¦\n}\n", 2, False, False),
        ("f() {\n  ¦\n", 0, False, False),
        ("f(g(¦);\n", 0, True, False),
        ("f() {\n  ¦\n  b);\n}\n", 0, False, True),
    ],
)
def test_who_closes(code: str, columns: int, closed: bool, awaited: bool) -> None:
    """Whether the document closes what is open at the cursor, and something that is not."""
    place = place_of(context_at(code, language="c"))
    assert (place.closed_below(columns), place.awaits_opener) == (closed, awaited)


@pytest.mark.parametrize(
    ("code", "shape"),
    [
        ("def f(a):\n    ¦\n        return a\n", Shape.LINE),
        ("for a in b:\n¦\n    return a\n", Shape.STATEMENT),
        ("x = 1\n¦\n    return a\n", Shape.LINE),
        ("def e¦\n        self,\n    ) -> None:\n", Shape.LINE),
        ("    a = 1\n¦\n    return a\n", Shape.STATEMENT),
        ("def f():\n        a = 1\n    ¦\n        return a\n", Shape.LINE),
        ("def f():\n    return 1\n\n\n¦\n    a: int,\n) -> None:\n", Shape.LINE),
        ("x = 1\n¦\ny = 1\n", Shape.STATEMENT),
    ],
)
def test_what_has_its_body_already_is_one_line(code: str, shape: Shape) -> None:
    """Several lines before deeper ones cannot be right: the first of them is being written."""
    found = plan_at(code).shape
    assert found is shape or (shape is Shape.STATEMENT and found is Shape.BLOCK)


ONE_CLASS = (
    "import a from 'a';\n\nexport class Shop extends Base {\n"
    + "".join(
        f"  sells{n}(item: Item): boolean {{\n    return n{n} > 0;\n  }}\n\n" for n in range(99)
    )
    + "  closed(): boolean {\n    ¦\n  }\n}\n"
)
TWO_CLASSES = ONE_CLASS.replace("  sells60(", "  last() {}\n}\n\nclass Next {\n  sells60(")


@pytest.mark.parametrize(
    ("code", "begins", "enough"),
    [
        (ONE_CLASS, "export class Shop extends Base {\n  sells", "export class Shop"),
        (TWO_CLASSES, "  sells", "class Next {\n"),
    ],
)
def test_a_method_is_judged_in_its_class(code: str, begins: str, enough: str) -> None:
    """What a long class begins with is known although the window begins in it."""
    before, _, after = code.partition("¦")
    text = before + after
    place = place_of(collect(Snapshot("file:///a.ts", "typescript", text), len(before), 3000))
    assert place.before.startswith(begins)
    assert near(place.before, "typescript").text.startswith(enough)
    assert not breaks(place.before, "return this.items[0] > 1;", place.after, "typescript")
    assert breaks(place.before, "return this.items[0)] > 1;", place.after, "typescript")
