"""When an answer is whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.completion.budget import MAX_LINES
from codegen_lsp.completion.stopping import Answer, End, Stopper, whole
from codegen_lsp.types import Trigger
from tests.support.cursor import plan_at

AUTO, ASKED = Trigger.AUTOMATIC, Trigger.INVOKED
BODY = "def f(a):\n    ¦"
PIECES = [
    "a",
    "return a",
    "\n",
    "    ",
    "(",
    ")",
    "b = 1",
    ":",
    "'''",
    "0",
    "{",
    "}",
    ";",
    "else",
    "#",
]


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
        # a statement has clauses, a block ends where it is left
        ("a = 1\n¦", AUTO, "try:\n    b()\nexcept E:\n    c()\nd()\n",
         "try:\n    b()\nexcept E:\n    c()"),
        ("a = 1\n¦", AUTO, "if a:\n    b()\nelse:\n    c()\nd()\n",
         "if a:\n    b()\nelse:\n    c()"),
        ("a = 1\n¦", AUTO, "if a:\n    b()\nelsewhere()\n", "if a:\n    b()"),
        ("a = 1\n¦", AUTO, "if a:\n    b()\nel", "if a:\n    b()"),
        (BODY, AUTO, "return a\n    b = 1\n", "return a"),
        (BODY, ASKED, "raise E(\n        a\n    )\n    b = 1\n", "raise E(\n        a\n    )"),
        (BODY, ASKED, "if a:\n        return 1\n    return 2\n    b = 1\n",
         "if a:\n        return 1\n    return 2"),
        (BODY, ASKED, "if a:\n        return 1\n        b = 1\n", "if a:\n        return 1"),
        (BODY, AUTO, "pass\n    b = 1\n", "pass\n    b = 1"),
        (BODY, AUTO, "returned = 1\n    b = 1\n", "returned = 1\n    b = 1"),
        # a header of several lines has a body as any other
        ("if (a and\n        b):\n    ¦", AUTO, "c()\n    d()\ne()\n", "c()\n    d()"),
        # who asks before existing code gets as much as fits there
        ("def f():\n    a = 1\n    ¦\n    return a\n", ASKED, "b = 2\n    c = 3\n    return a\n",
         "b = 2\n    c = 3"),
        ("a = 1\n¦\nd = 4\n", ASKED, "b = 2\nc = 3\nd = 4\n", "b = 2\nc = 3"),
        ("def f():\n    a = 1\n¦\n    return a\n", ASKED, "    if a:\n        b()\n    return a\n",
         "    if a:\n        b()"),
        # a line that only continues is no end
        ("a = ¦", AUTO, "b + \\\n    c\nd = 1\n", "b + \\\n    c"),
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
        ("a();\n¦", "if (b)\n  c();\nd();\n", "if (b)\n  c();"),
        ("int f() {\n  ¦", "return 1;\n  g();\n}\n", "return 1;"),
        ("int f() {\n  ¦", "if (a)\n    return 1;\n  g();\n}\nh",
         "if (a)\n    return 1;\n  g();\n}"),
        ("int f() {\n  ¦", "a();\n#ifdef B\n  b();\n#endif\nout:\n  return 1;\n}\n",
         "a();\n#ifdef B\n  b();\n#endif\nout:\n  return 1;\n}"),
        ("#include <a.h>\n¦", "#include <b.h>\n#include <c.h>\n", "#include <b.h>"),
        ("f(a,\n  ¦", "b,\n  c);\n", "b,"),
    ],
)  # fmt: skip
def test_braces(code: str, said: str, kept: str) -> None:
    """C and its kin: a block ends with its brace, unless the document has it."""
    check(code, AUTO, said, kept, "c")


@pytest.mark.parametrize(
    ("language", "code", "said", "kept"),
    [
        ("javascript", "a();\n¦", "b = c\n  .d()\n  .e()\nf()\n", "b = c\n  .d()\n  .e()"),
        ("javascript", "a();\n¦", "b = c\nd()\n", "b = c"),
        ("javascript", "a();\n¦", "if (b) {\n  c();\n}\nelse {\n  d();\n}\ne();\n",
         "if (b) {\n  c();\n}\nelse {\n  d();\n}"),
        ("typescript", "switch (a) {\n¦\n}\n", "case 1:\n  b();\n  break;\ncase 2:\n  c();\n}\n",
         "case 1:\n  b();\n  break;\ncase 2:\n  c();"),
        ("java", "  void f() {\n    ¦", "g();\n  }\n\n  void h() {\n", "g();\n  }"),
        ("java", "    if (a) {\n      b();\n    ¦\n      c();\n    }\n", "} else {\n      c();\n",
         "} else {"),
        ("java", "  if (a) {\n    b();\n  ¦\n    c();\n  }\n", "}\n", ""),
        ("javascript", "x(() => {\n¦\n});\n", "y(() => {\n  z();\n});\n", "y(() => {\n  z();\n});"),
        ("java", "    a();\n    ¦", "@Nullable\n    Object b = c;\n    d();",
         "@Nullable\n    Object b = c;"),
        ("go", "\ta()\n\t¦", "b := c()\n\td()\n", "b := c()"),
        ("go", "func f() {\n\ta()\n¦", "}\n\nfunc g() {\n", "}"),
        ("go", "func f() {\n\ta()\n¦\n}\n", "}\n\nfunc g() {\n", ""),
        ("rust", "fn f(\n    a: u8,\n¦\n    a\n}\n", ") -> u8 {\n    a\n}\n", ") -> u8 {"),
        ("cpp", "class A {\n ¦\n};\n", "public:\n  A();\n private:\n  int b;\n};\n",
         "public:\n  A();\n private:\n  int b;"),
        ("cpp", "namespace a {\n¦\n}\n", "class B {\n};\nint c;\n}\n", "class B {\n};\nint c;"),
    ],
)  # fmt: skip
def test_languages(language: str, code: str, said: str, kept: str) -> None:
    """Statements and blocks by the customs of their language."""
    trigger = ASKED if language in ("cpp", "typescript") else AUTO
    check(code, trigger, said, kept, language)


@given(
    st.sampled_from([BODY, "x = ¦", "f(¦)", "x = [¦", "def f(a):\n    ¦\n    return a\n", "¦"]),
    st.sampled_from([AUTO, ASKED]),
    st.lists(st.sampled_from(PIECES)),
    st.sampled_from(["python", "c", "javascript"]),
    st.data(),
)
def test_pieces_do_not_matter(
    code: str, trigger: Trigger, words: list[str], language: str, data: st.DataObject
) -> None:
    """The same text in any pieces is the same answer."""
    text, plan = "".join(words), plan_at(code, trigger, language=language)
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


@pytest.mark.parametrize("said", ["return a\n", "if a:\n        b()\n    raise E\n"])
def test_a_block_that_was_left_is_not_waited_for(said: str) -> None:
    """After ``return`` nothing more is computed."""
    assert Stopper(plan_at(BODY, ASKED)).push(said)
    assert not Stopper(plan_at(BODY, ASKED)).push("b = a\n")


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
