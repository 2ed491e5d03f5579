"""When an answer is whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.completion.budget import MAX_LINES
from codegen_lsp.completion.loops import line_loops, repeated
from codegen_lsp.completion.stopping import Answer, End, Stopper, same_line, whole
from codegen_lsp.types import Trigger
from tests.support.cursor import plan_at

AUTO, ASKED = Trigger.AUTOMATIC, Trigger.INVOKED
BODY = "def f(a):\n    ¦"


def check(code: str, trigger: Trigger, said: str, kept: str, language: str = "python") -> None:
    """What is kept of what the model says at the cursor, in one piece and in many."""
    plan = plan_at(code, trigger, language=language)
    answer = whole(plan, said)
    assert answer.text.rstrip() == kept
    stopper = Stopper(plan)
    for character in said:
        if stopper.push(character):
            break
    assert stopper.finish(End.WHOLE) == answer


@pytest.mark.parametrize(
    ("code", "trigger", "said", "kept"),
    [
        # one line
        ("x = ¦", AUTO, "1\ny = 2\n", "1"),
        ("f(¦)", AUTO, "a\nb", "a"),
        ("x = 1¦", AUTO, "\ny = 2\n", ""),
        ("x = 1¦", ASKED, "\ny = 2\nz = 3\n", "\ny = 2"),
        # a statement goes on where it opens something
        ("x = ¦", AUTO, "[\n    1,\n    2,\n]\ny = 3\n", "[\n    1,\n    2,\n]"),
        ("a = 1\n¦", AUTO, "if a:\n    b()\nc()\n", "if a:\n    b()"),
        ("a = 1\n¦", AUTO, "@wraps\ndef f():\n    pass\n\n\nx\n", "@wraps\ndef f():\n    pass"),
        ("a = 1\n¦", AUTO, "# why\nb = 2\nc = 3\n", "# why\nb = 2"),
        ("a = 1\n¦", AUTO, "b = 2\nc = 3\n", "b = 2"),
        # a block ends where its indentation does
        (BODY, AUTO, "b = a\n    return b\n\n\ndef g():\n", "b = a\n    return b"),
        (BODY, ASKED, "b = a\n\n    return b\n\n\ndef g():\n", "b = a\n\n    return b"),
        (BODY, AUTO, "b = a\n\n    return b\n", "b = a"),
        (BODY, ASKED, "b = a\n\n\n    return b\n", "b = a"),
        (BODY, AUTO, "return [\n1,\n]\nx = 1", "return [\n1,\n]"),
        (BODY, ASKED, 's = """\nhigh\n"""\n    return s\nx', 's = """\nhigh\n"""\n    return s'),
        ("def f(a):¦", AUTO, "\n    return a\nx = 1\n", "\n    return a"),
        ("def f(a):¦", AUTO, " return a\nx = 1\n", " return a"),
        ("def f(a):\n¦", AUTO, "    return a\nx = 1\n", "    return a"),
        ("def f(a):\n¦", AUTO, "return a\n", ""),
        ("x = f(¦", AUTO, "\n    a,\n    b,\n)\ny\n", "\n    a,\n    b,\n)"),
        ("¦", ASKED, "import os\nimport sys\n\nx = 1\n", "import os\nimport sys"),
        # it never says what the document says next
        ("def f(a):\n    ¦\n    return a\n", AUTO, "b = a\n    return a\n", "b = a"),
        ("def f(a):\n    ¦\n    return a\n", AUTO, "return a", ""),
        ("def f(a):\n    ¦\n    return a + one\n", AUTO, "b = a\n    return a + onE\n", "b = a"),
        ("if a:\n    ¦\nreturn b\n", AUTO, "return b\n", "return b"),
        # loops
        (BODY, AUTO, "b = a\n    b = a\n    b = a\n", "b = a"),
        (BODY, ASKED, "if a:\n        raise E(\n            a\n        )\n"
         "    if a:\n        raise E(\n            a\n        )\n",
         "if a:\n        raise E(\n            a\n        )"),
        (BODY, AUTO, "self.foo.foo.foo.foo.foo.foo.foo.foo.foo", ""),
        (BODY, ASKED, "c()\n" + "".join(f"    ad({i})\n" for i in range(9)), "c()\n    ad(0)"),
        ("a = f(x)\n¦", AUTO, "a = f(x)\n", ""),
        (BODY, AUTO, "# ------------------------------\n    b = 1\n    c = 2\n",
         "# ------------------------------\n    b = 1\n    c = 2"),
    ],
)  # fmt: skip
def test_python(code: str, trigger: Trigger, said: str, kept: str) -> None:
    """Python: lines, statements and blocks, whatever the pieces."""
    check(code, trigger, said, kept)


@pytest.mark.parametrize(
    ("code", "said", "kept"),
    [
        ("int f() {\n  ¦", "return 1;\n}\nint g() {\n", "return 1;\n}"),
        ("int f() {\n  ¦\n}\n", "return 1;\n}\n", "return 1;"),
        ("int f() {¦", "\n  return 1;\n}\nint g() {\n", "\n  return 1;\n}"),
        ("a();\n¦", "if (b) {\n  c();\n} else {\n  d();\n}\ne();\n",
         "if (b) {\n  c();\n} else {\n  d();\n}"),
        ("a();\n¦", "if (b)\n", "if (b)"),
    ],
)  # fmt: skip
def test_braces(code: str, said: str, kept: str) -> None:
    """C and its kin: a block ends with its brace, unless the document has it."""
    check(code, AUTO, said, kept, "c")


@given(
    st.sampled_from([BODY, "x = ¦", "f(¦)", "x = [¦", "def f(a):\n    ¦\n    return a\n", "¦"]),
    st.sampled_from([AUTO, ASKED]),
    st.lists(st.sampled_from(["a", "return a", "\n", "    ", "(", ")", "b = 1", ":", "'''", "0"])),
    st.data(),
)
def test_pieces_do_not_matter(
    code: str, trigger: Trigger, words: list[str], data: st.DataObject
) -> None:
    """The same text in any pieces is the same answer."""
    text, plan = "".join(words), plan_at(code, trigger)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    stopper = Stopper(plan)
    for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True):
        stopper.push(text[start:stop])
    assert stopper.finish(End.CUT) == whole(plan, text, End.CUT)


@given(st.text("ab():\n ", max_size=120))
def test_an_answer_is_a_beginning_of_what_was_said(text: str) -> None:
    """Nothing is invented, and asking again changes nothing."""
    plan = plan_at(BODY, ASKED)
    answer = whole(plan, text)
    assert text.startswith(answer.text)
    assert whole(plan, answer.text).text == answer.text


def test_lines_are_limited() -> None:
    """A block that never ends is ended."""
    said = "".join(
        f"{'abcdefghijklmnopqrstuvwxyz'[i % 26] * (i % 7 + 2)}()\n    " for i in range(80)
    )
    for trigger, most in MAX_LINES.items():
        assert len(whole(plan_at(BODY, trigger), said).text.split("\n")) == most


def test_running_out_of_tokens_is_remembered() -> None:
    """Who cut the answer short is known to the clean-up."""
    stopper = Stopper(plan_at("x = ¦"))
    assert not stopper.push("abc")
    assert stopper.finish(End.CUT) == Answer("abc", End.CUT)
    assert stopper.push("ignored")


@pytest.mark.parametrize(
    ("line", "loops"),
    [
        ("x.y.x.y.x.y.x.y.x.y.x.y.", True),
        ("aaaaaaaaaaaaaaaaaaaa", True),
        ("self.append(" * 4, True),
        ("# " + "-" * 70, False),
        (" " * 60 + "x", False),
        ("[0, 0, 0]", False),
        ("a = b + c * d", False),
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
        ([], ["self.counter = 0", "b", "  self.counter = 0", "c", "self.counter = 0"], 1),
    ],
)
def test_repeated(above: list[str], lines: list[str], count: int) -> None:
    """Repetitions of lines; a list the user began may be gone on with."""
    assert repeated(above, lines) == count


@pytest.mark.parametrize(
    ("line", "other", "same"),
    [
        ("  a", "  a", True),
        ("  a", "a", False),
        ("return value_1", "return value_2", True),
        ("return first", "yield last()", False),
        ("a", "", False),
    ],
)
def test_same_line(line: str, other: str, same: bool) -> None:
    """Lines are compared with their indentation, long ones by similarity."""
    assert same_line(line, other) is same
