"""Blocks: what is expected at a cursor, and where an answer ends a block or statement."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen_lsp.syntax.blocks import BlockEnd, Expectation, block_end, expects, statement_end
from codegen_lsp.syntax.grammars import GRAMMARS
from tests.support.functions import FUNCTIONS
from tests.support.nine import MODULES

CURSOR, CONTENT, CLOSED = "¦", "«", "»"

BLOCK, STATEMENT, EXPRESSION = Expectation.BLOCK, Expectation.STATEMENT, Expectation.EXPRESSION

EXPECTED: dict[tuple[str, Expectation | None], list[str]] = {
    ("python", BLOCK): [
        "def f(x):¦",
        "def f(x):\n    ¦",
        "def f(x):\n¦",
        "def f(\n    x,\n) -> None:\n    ¦",
        'def f(x):\n    """Doc."""\n    ¦',
        'def f(x):\n    """Doc.\n\n    More.\n    """\n    ¦',
        'def f(x):\n    """Doc."""\n¦',
        "def f(x):\n    # note\n    ¦",
        "def f(x):\n    ¦\n\ndef g(): pass\n",
        "class A:\n    ¦",
        "if x:\n    a()\nelse:\n    ¦",
        "try:¦",
        "for x in y:\n    ¦\n",
        "match x:\n    ¦",
        "match x:\n    case 1:\n        ¦",
        "def f():\n    if a:\n        ¦\n    return 1\n",
    ],
    ("python", STATEMENT): [
        "¦",
        "x = 1\n¦",
        "def f(x):\n    y = 1\n    ¦",
        "def f(x):\n    ¦\n    return 1\n",
        "class A:\n    def f(self):\n        return 1\n\n    ¦",
        "with open(p) as f:\n    ¦\n    pass",
        "fo¦",
        "self.¦",
        "self.a.b¦",
        "import ¦",
        "def ¦",
        "x: ¦",
        "# abc ¦",
        "def f():\n    fo¦",
        "x = '''\na\n'''\n¦",
    ],
    ("python", EXPRESSION): [
        "x = ¦",
        "x = fo¦",
        "x = self.a.b¦",
        "foo(¦",
        "foo(a, ¦)",
        "x = [\n    ¦\n]",
        'x = {\n    "a": ¦',
        "return ¦",
        "if ¦",
        "while a and ¦",
        "def f(¦",
        '"abc ¦',
        'foo("abc ¦")',
        '"""abc\n¦',
        'f"{x¦',
        "lambda x: ¦",
        "x = a if b else ¦",
        "class A:\n    x: int = ¦",
    ],
    ("javascript", BLOCK): [
        "function f() {¦",
        "function f() {\n  ¦\n}",
        "function f() {¦}",
        "foo((a) => {¦",
        "foo((a) => {\n  ¦\n});",
        "class A {\n  ¦\n}",
        "switch (x) {\n  ¦\n}",
        "switch (x) {\n  case 1:\n    ¦\n}",
        "if (a) {\n  b();\n} else {\n  ¦\n}",
        "try {\n  ¦\n}",
        'if (/["]/.test(a)) {¦',
        "do {\n  ¦\n}",
        'x = /["]/.test(y) && function () {\n  ¦\n};',
    ],
    ("javascript", STATEMENT): [
        "function f() {\n  a();\n  ¦\n}",
        "function f() {\n  ¦\n  a();\n}",
        "this.¦",
        "let ¦",
        "// abc ¦",
        "/* abc\n * ¦",
        'x = /["]/.test(y);\nfo¦',
    ],
    ("javascript", EXPRESSION): [
        "const x = {¦",
        "const x = {\n  ¦\n};",
        "foo({ ¦ })",
        "foo(¦",
        "x = ¦",
        "return ¦",
        "await ¦",
        "const y = a ? b : ¦",
        "`abc ${¦",
        "`abc ¦",
    ],
    ("javascriptreact", EXPRESSION): ["return <A b={¦"],
    ("typescript", BLOCK): [
        "interface A {\n  ¦\n}",
        "function f(a: string): void {\n  ¦\n}",
        "type A = {\n  ¦\n}",
    ],
    ("typescript", EXPRESSION): ["class A {\n  private x: string = ¦"],
    ("java", BLOCK): [
        "class A {\n    ¦\n}",
        "class A {\n    int f() {\n        ¦\n    }\n}",
        "interface A {\n    ¦",
        "enum A {\n    ¦",
        "class A { void f() { switch (x) {\n ¦",
        "class A { void f() { try {\n  ¦\n } finally { } } }",
    ],
    ("java", STATEMENT): ["class A {\n    int f() {\n        a();\n        ¦\n    }\n}"],
    ("java", EXPRESSION): [
        "class A {\n    int f() {\n        return ¦\n    }\n}",
        "class A {\n    int f() {\n        int x = ¦",
        "class A {\n    int f() {\n        foo(¦",
        "class A {\n    int[] x = {¦",
        "class A { void f() { for (int x : ¦",
    ],
    ("go", BLOCK): [
        "func f() {\n\t¦\n}",
        "type A struct {\n\t¦\n}",
        "func f() {\n\tswitch x {\n\t¦\n\t}\n}",
        "func f() {\n\tswitch x {\n\tcase 1:\n\t\t¦\n\t}\n}",
        "func f() {\n\tif err != nil {\n\t\t¦\n\t}\n}",
        "type I interface {\n\t¦\n}",
        "go func() {\n\t¦\n}()",
    ],
    ("go", STATEMENT): ["func f() {\n\ta()\n\t¦\n}", "func f() {\n\tdefer a()\n\tb¦\n}"],
    ("go", EXPRESSION): [
        "func f() {\n\tx := ¦\n}",
        "x := []int{¦",
        "func f() {\n\tif ¦",
    ],
    ("c", BLOCK): [
        "int f(void)\n{\n    ¦\n}",
        "struct a {\n    ¦\n};",
        "int f(void) {\n    if (a) {¦\n    }\n}",
        "int f(void) {\n    switch (x) {\n    case 1:\n        ¦\n    }\n}",
        "enum a {\n    ¦",
    ],
    ("c", STATEMENT): ["int f(void) {\n    a();\n    ¦\n}", "int ¦"],
    ("c", EXPRESSION): [
        "int x[] = {¦",
        "int f(void) {\n    for (i = 0; ¦",
        "int f(void) {\n    x = ¦",
    ],
    ("cpp", BLOCK): [
        "void A::f() {\n    ¦\n}",
        "class A {\npublic:\n    ¦\n};",
        "auto f = [](int a) {\n    ¦\n};",
        "namespace a {\n¦",
    ],
    ("cpp", EXPRESSION): ["void f() {\n    std::cout << ¦"],
    ("rust", BLOCK): [
        "fn f() {\n    ¦\n}",
        "struct A {\n    ¦\n}",
        "impl A {\n    ¦\n}",
        "fn f() {\n    match x {\n        ¦\n    }\n}",
        "fn f() {\n    if x {\n        ¦\n    }\n}",
        "enum A {\n    ¦\n}",
    ],
    ("rust", STATEMENT): ["fn f() {\n    a();\n    ¦\n}"],
    ("rust", EXPRESSION): [
        "fn f() {\n    let x = ¦",
        "fn f() {\n    foo(¦",
        "fn f() {\n    let a = A { ¦",
        "fn f() {\n    x.map(|a| foo(¦",
    ],
    ("cobol", None): ["MOVE ¦"],
}


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [(language, code, want) for (language, want), codes in EXPECTED.items() for code in codes],
)
def test_expectations(language: str, code: str, expected: Expectation | None) -> None:
    before, sign, after = code.partition(CURSOR)
    assert sign
    assert expects(before, after, language) is expected


ENDS = [
    # A block that has statements already; what follows is of no interest.
    ("python", "def f():\n    a()\n    ¦", "b()\n«»\n\ndef g():\n    pass\n"),
    ("python", "def f():\n    if x:\n        ¦", "a()\n«»    return 1\n"),
    ("python", "def f():\n    if x:\n        a()\n    ¦", "b()\n    c()\n«»d()\n"),
    ("python", "def f():¦", " return 1\n«»x = 2\n"),
    ("python", "def f():¦", "\n    return 1\n«»x = 2\n"),
    ("python", "def f(\n    a,\n) -> int:\n    ¦", "return a\n«»x = 2\n"),
    ("python", "def f(a,\n      b):\n    ¦", "return a\n«»x = 2\n"),
    ("python", "def f():\n    x = foo(¦", "\na,\n)\n    b()\n«»c()\n"),
    ("python", "def f():\n    x = ¦", '"""\na\n"""\n    b()\n«»c()\n'),
    ("python", "class A:\n    x = {¦", "\n        1: 2,\n    }\n\n    y = 3\n«»\nz = 4\n"),
    ("python", "x = ¦", "1\ny = 2\n"),
    ("python", "def f():\n    ¦", "return 1\n"),
    # The innermost block, not a value in braces.
    ("javascript", "function f() {\n  const a = {¦", " b: 1 };\n  c();\n«}»\ng();"),
    ("javascript", "function f() {\n  if (a) {\n    ¦", "b();\n«  }» else {\n    c();\n  }\n}"),
    ("javascript", "function f() {¦", " return 1; «}»\ng();"),
    ("javascript", "foo((a) => {\n  ¦", "b(a);\n«});»\nc();"),
    ("javascript", "useEffect(() => {\n  ¦", "b();\n«}, [a]);»\nc();"),
    ("javascript", "const f = () => {\n  ¦", "b();\n«};»\nc();"),
    ("javascript", "function f() {\n  ¦", "a(`}${b}`);\n  // }\n  x = /}/;\n«}»\n"),
    ("javascript", "function f() {\n  ¦", "if (a) {\n    b();\n  }\n"),
    ("javascript", "a(¦", "b);\nc();\n"),
    ("javascript", "function f() {\n  ¦", "«}»\nc();"),
    ("java", "class A {\n    ¦", "int a;\n«}»\n"),
    ("java", "class A {\n    void f() {\n        ¦", "char c = '}';\n«    }»\n\n    int b;\n"),
    ("go", "func f() {\n\tdefer func() {\n\t\t¦", "a()\n«\t}()»\n\tb()\n}\n"),
    ("c", "int f(void) {\n    int a[] = {¦", "1, 2};\n    return a[0];\n«}»\n"),
    ("c", "struct a {\n    ¦", "int b;\n«};»\nint c;\n"),
    ("cpp", "class A {\npublic:\n  ¦", "int b;\n«};»\nint c;\n"),
    ("rust", "fn f() {\n    let a = A { ¦", "b: 1 };\n    a\n«}»\n"),
    ("rust", "fn f<'a>() {\n    ¦", "let c = '}';\n«}»\n"),
    ("cobol", "a ¦", "b"),
]


@pytest.mark.parametrize(("language", "before", "marked"), ENDS)
def test_where_blocks_end(language: str, before: str, marked: str) -> None:
    """``«`` is where the content ends, ``»`` where the block is closed."""
    answer = marked.replace(CONTENT, "").replace(CLOSED, "")
    expected = None
    if CONTENT in marked:
        closed = marked.index(CLOSED) - 1
        expected = BlockEnd(marked.index(CONTENT), closed)
    assert block_end(before.removesuffix(CURSOR), answer, language) == expected


STATEMENTS = [
    ("python", "¦", "x = 1»\ny = 2\n"),
    ("python", "x = foo(¦", "\n    1,\n)»\ny = 2\n"),
    ("python", "¦", "if a:\n    b()\nelif c:\n    d()\nelse:\n    e()»\nf()\n"),
    ("python", "¦", "try:\n    b()\nexcept E:\n    d()\nfinally:\n    e()»\nf()\n"),
    ("python", "if a:¦", "\n    b()\n\n    c()»\nf()\n"),
    ("python", "def f():\n    ¦", "# note\n    return 1»\n\nx = 2\n"),
    ("python", "def f():\n    x = 1¦", "\n    return 1»\n\nx = 2\n"),
    ("python", "¦", "@a\ndef f():\n    pass»\n\nx = 2\n"),
    ("python", "¦", "x = 1\n"),
    ("python", "x = ¦", "1»; y = 2\n"),
    ("javascript", "¦", "foo();»\nbar();"),
    ("javascript", "const a = ¦", "{\n  b: 1,\n};»\nbar();"),
    ("javascript", "¦", "if (a) {\n  b();\n} else {\n  c();\n}»\nbar();"),
    ("javascript", "¦", "try {\n  b();\n} catch (e) {\n  c();\n}»\nbar();"),
    ("javascript", "function f() {\n  ¦", "a();»\n  b();\n"),
    ("javascript", "foo((a) => {\n  ¦", "b(a);»\n});\nc();"),
    ("javascript", "foo(¦", "(a) => {\n  b(a);\n});»\nc();"),
    ("javascript", "¦", "foo(\n"),
    ("javascript", "¦", "const = ;\nbar();\n"),
    ("typescript", "¦", "const a: b = c;»\nd();"),
    (
        "java",
        "class A {\n    ¦",
        "@Override\n    public int f() {\n        return 1;\n    }»\n    int b;",
    ),
    ("java", "class A { void f() {\n    ¦", "for (int a : b) {\n        c();\n    }»\n    d();\n"),
    ("go", "func f() {\n\t¦", "if err != nil {\n\t\treturn\n\t}»\n\ta()\n}\n"),
    ("go", "func f() {\n\tswitch a {\n\tcase 1:\n\t\t¦", "b()»\n\t\tc()\n\t}\n}\n"),
    ("c", "int f(void) {\n    ¦", "do {\n        a();\n    } while (b);»\n    c();\n"),
    ("c", "¦", "struct a {\n    int b;\n};»\nint c;\n"),
    ("cpp", "¦", "template <class T>\nT f() {\n  return T();\n}»\nint c;\n"),
    ("rust", "fn f() {\n    ¦", "let a = match b {\n        _ => 1,\n    };»\n    c()\n}\n"),
    ("rust", "¦", "#[test]\nfn f() {}»\nfn g() {}\n"),
    ("cobol", "¦", "a\nb\n"),
]


@pytest.mark.parametrize(("language", "before", "marked"), STATEMENTS)
def test_where_statements_end(language: str, before: str, marked: str) -> None:
    answer = marked.replace(CLOSED, "")
    expected = marked.index(CLOSED) if CLOSED in marked else None
    assert statement_end(before.removesuffix(CURSOR), answer, language) == expected


BODIES = [
    (language, number, above)
    for language, functions in FUNCTIONS.items()
    for number in range(len(functions))
    for above in (0, 1, 4)
]


@pytest.mark.parametrize(("language", "number", "above"), BODIES)
def test_a_body_ends_where_it_did(language: str, number: int, above: int) -> None:
    """A function's body, given back with the next function behind it, ends where it was cut.

    However much stands above, and whether or not the cursor is behind the indentation.
    """
    functions = FUNCTIONS[language]
    head, body, close = functions[number]
    rest = "\n\n" + "".join(functions[(number + 1) % len(functions)])
    document = MODULES[language] * above + head
    brace = close.find("}") + 1
    brace += close[brace : brace + 1] == ";"
    for blanks in (0, len(body) - len(body.lstrip())):
        before, answer = document + body[:blanks], body[blanks:]
        whole = len(body) - blanks
        assert block_end(before, answer + close + rest, language) == BlockEnd(whole, whole + brace)
        assert block_end(before, answer, language) is None
        assert expects(before, "\n" + close + rest, language) is BLOCK
    written = head + body + close
    assert statement_end(MODULES[language] * above, written + rest, language) == len(
        written.rstrip()
    )


@settings(max_examples=100, deadline=None)
@given(data=st.data(), language=st.sampled_from(sorted(GRAMMARS)))
def test_any_text_at_any_offset(data: st.DataObject, language: str) -> None:
    """Nothing raises, and offsets lie inside the answer."""
    whole = MODULES[language]
    before = whole[: data.draw(st.integers(0, len(whole)))] + data.draw(st.text(max_size=10))
    at = data.draw(st.integers(0, len(whole)))
    answer = data.draw(st.text(max_size=10)) + whole[at : at + data.draw(st.integers(0, 300))]
    assert isinstance(expects(before, answer, language), Expectation)
    end = block_end(before, answer, language)
    assert end is None or 0 <= end.content <= end.closed <= len(answer)
    statement = statement_end(before, answer, language)
    assert statement is None or (0 < statement < len(answer) and answer[statement:].strip())
