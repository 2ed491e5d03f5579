"""Breaks: whether a text that is inserted is what makes code wrong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen_lsp.syntax.breaks import breaks
from codegen_lsp.syntax.grammars import GRAMMARS
from tests.support.functions import FUNCTIONS
from tests.support.nine import MODULES

CURSOR = "¦"

FINE = [
    ("python", "def f():\n    ¦\n", "return 1"),
    ("python", "def f():\n    ¦\n", "if x:"),
    ("python", "def f():\n    ¦\n", "return foo("),
    ("python", "try:\n    ¦\nexcept E:\n    pass\n", "x()"),
    ("python", "def f():\n    x = ¦\n    'b'\n    '''\n", "'''a"),
    ("javascript", "function f() {\n  ¦\n}\n", "return 1;"),
    ("javascript", "function f() {\n  ¦\n}\n", "try {"),
    ("javascript", "function f() {\n  ¦\n}\nconst x = 1;\n", "if (x) {\n    y();"),
    ("javascript", "function f() {\n  ¦\n", "return 1;\n}"),
    ("javascript", "function f() {\n  foo(¦);\n}\n", "a, b"),
    ("javascript", "function f() {\n  foo(¦)\n}\n", "a, (b"),
    ("javascript", 'function f() {\n  x = "¦";\n}\n', "abc"),
    ("javascript", "function f() {\n  ¦\n}\n", 'x = y.replace(/["(]/g, "");'),
    ("javascript", "function f() {\n  ¦\n    a();\n  }\n}\n", "if (a) {"),
    ("javascript", "function f() {\n  ¦\n}\n", "// it's (fine"),
    ("java", "class A {\n    int f() {\n        ¦\n    }\n}\n", "return x"),
    ("java", "class A {\n    ¦\n}\n", "private int x;"),
    ("java", "¦\n * Copyright.\n */\n\npackage a;\n\nclass B {\n}\n", "/*"),
    ("java", "class A {\n    ¦\n}\n", "@Override"),
    ("go", "func f() {\n\t¦\n}\n", "if err != nil {\n\t\treturn err\n\t}"),
    ("rust", "fn f() {\n    ¦\n}\n", "let x = y?;"),
    ("rust", "fn f() {\n    ¦\n}\n", "let x = y.map(|z| z + 1)"),
    ("c", "struct a {\n  int x;\n  ¦\n};\n", "int y;"),
    ("c", "enum a { B, ¦ };\n", "C"),
    ("c", "int f(void) {\n    ¦\n        a();\n    }\n}\n", "for (int i = 0; i < n; i++) {"),
    ("cpp", "class A {\n  int x;\n  ¦\n};\n", "int y;"),
    # what follows goes on with the line
    ("c", "int\n¦\n{\n  return 0;\n}\n", "main(int argc, char **argv)"),
    (
        "cpp",
        "template <class A,\n          ¦\n          bool C = true>\nint f();\n",
        "class B = A,",
    ),
    ("javascript", "const a = b\n  ? ¦\n  : d;\n", "c.e"),
    ("typescript", "type A<\n  T,\n  ¦\n> = T;\n", "U extends V[] = [],"),
    # macros and the preprocessor, of which the grammar knows little
    ("c", "¦\nend(void *data) {\n  f(data);\n}\n", "static void APICALL"),
    ("c", "¦\n{\n  return 0;\n}\n", "int main(int argc UNUSED, char **argv UNUSED)"),
    ("c", "#ifdef A\n¦\n#endif\n", "API_SCOPE int hook(int *argc, char ***argv);"),
    ("c", "#define A(x) \\\n  do ¦\n    f(x); \\\n  } while (0)\n", "{ \\"),
    ("c", "int f(void) {\n¦\n  return 1;\n#endif\n}\n", "#ifdef A"),
    ("cpp", "int f() {\n#if ¦\n  return 1;\n#endif\n}\n", "A"),
    ("cpp", "void f() {\n    ¦\n}\n", "auto g = [&](int a) { return a; };"),
    ("cpp", "void f() {\n    ¦\n}\n", "auto g = [&](int a) {"),
    ("typescript", "function f(): void {\n  ¦\n}\n", "const x: string = y as string;"),
    ("typescriptreact", "function F() {\n  return ¦;\n}\n", "<a href={b}>c</a>"),
    ("javascriptreact", "const a = (\n  <ul>\n    ¦\n  </ul>\n);\n", "<li>{x}</li>"),
]

WRONG = [
    ("python", "def f():\n    ¦\n", "return )"),
    ("python", "def f():\n    ¦\n    return 1\n", "foo(a,"),
    ("python", "def f():\n    x = ¦\n", "= 3"),
    ("python", "def f():\n    x = ¦\n    return x\n", "'''a"),
    ("javascript", "function f() {\n  ¦\n}\n", "return );"),
    ("javascript", "function f() {\n  ¦\n}\n", "const = 3;"),
    ("javascript", "function f() {\n  ¦\n}\n", "return 1;\n}"),
    ("javascript", "function f() {\n  ¦\n  g();\n}\nconst x = 1;\n", "if (x) {\n    y();"),
    ("javascript", "function f() {\n  ¦\n  g();\n}\n", "foo(a,"),
    ("javascript", "function f() {\n  foo(¦);\n}\n", "a, b)"),
    ("javascript", 'function f() {\n  x = "¦";\n}\n', 'abc"'),
    ("javascript", "function f() {\n  x = ¦\n  y = 2;\n}\n", '"abc'),
    ("java", "class A {\n    int f() {\n        ¦\n    }\n}\n", "return 1 2;"),
    ("java", "class A {\n    ¦\n    int x;\n}\n", "/* a"),
    ("go", "func f() {\n\t¦\n}\n", "return nil\n}"),
    ("go", "func f() {\n\t¦\n}\n", "x := := 3"),
    ("rust", "fn f() {\n    ¦\n}\n", "let x == y;"),
    ("rust", "fn f() {\n    ¦\n    g();\n}\n", "match x {\n        A => 1,"),
    ("c", "int f(void) {\n    ¦\n    return 0;\n}\n", "for (int i = 0; i < n; i++) {"),
    ("c", "int f(void) {\n    ¦\n}\n", "x = = 3;"),
    ("c", "int f(void) {\n    ¦\n}\n", "return MOST);"),
    ("c", "int f(void) {\n    ¦\n    g();\n}\n", "foo(MOST, = 3);"),
    ("c", "int f(void) {\n    ¦\n      : b;\n}\n", "return a);"),
    ("typescript", "function f(): void {\n  ¦\n}\n", "const x: = y;"),
    ("typescriptreact", "function F() {\n  return ¦;\n}\n", "<a href=>c</a>"),
]


def check(language: str, code: str, text: str, expected: bool | None) -> None:
    before, sign, after = code.partition(CURSOR)
    assert sign
    assert breaks(before, text, after, language) is expected


@pytest.mark.parametrize(("language", "code", "text"), FINE)
def test_what_fits_or_may_be_gone_on_with(language: str, code: str, text: str) -> None:
    check(language, code, text, False)


@pytest.mark.parametrize(("language", "code", "text"), WRONG)
def test_what_is_wrong_in_itself_or_for_what_follows(language: str, code: str, text: str) -> None:
    check(language, code, text, True)


@pytest.mark.parametrize(
    ("language", "code", "text"),
    [
        ("javascript", "function f() {\n  a b c d e\n  ¦\n}\n", "return 1;"),
        ("java", "class A {\n  int f( {\n  int g() ]\n  ¦\n}\n", "return 1;"),
    ],
)
def test_code_that_is_wrong_already_is_not_judged(language: str, code: str, text: str) -> None:
    check(language, code, text, False)


def test_far_above_the_cursor_a_call_may_be_open() -> None:
    """Lines that enclose the cursor are read where they are, however long what they enclose is."""
    above = "describe('a', function () {\n" + "  it('b', () => {\n    c();\n  });\n" * 300
    check("javascript", above + "  it('d', () => {\n    e();\n¦\n\nf();\n", "  });\n});", False)
    check("javascript", above + "  it('d', () => {\n    e();\n¦\n\nf();\n", "  });\n}));", True)


def test_other_languages_are_not_judged() -> None:
    check("cobol", "a ¦ b", "c", None)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("language", FUNCTIONS)
@pytest.mark.parametrize("above", [0, 1, 4])
def test_what_was_hidden_breaks_nothing(language: str, number: int, above: int) -> None:
    """Bodies, lines and ends of lines, given back where they stood, however much is above."""
    functions = FUNCTIONS[language]
    head, body, close = functions[number]
    rest = "\n\n" + "".join(functions[(number + 1) % len(functions)])
    document, whole = MODULES[language] * above, head + body + close
    for after in ("", rest):
        assert breaks(document + head, body, close + after, language) is False
        assert breaks(document + head, body + close, after, language) is False
        for at in range(0, len(whole), 5):
            end = whole.find("\n", at) if "\n" in whole[at:] else len(whole)
            line = whole[at:end]
            assert breaks(document + whole[:at], line, whole[end:] + after, language) is False


@pytest.mark.parametrize("language", FUNCTIONS)
def test_one_closer_too_many_breaks(language: str) -> None:
    """What closes more than is open is wrong, wherever it is."""
    head, body, close = FUNCTIONS[language][0]
    for line in (")", "]", "foo(1));"):
        assert breaks(head + body[: len(body) - len(body.lstrip())], line, "\n" + close, language)


def pieces(module: str) -> st.SearchStrategy[str]:
    """A few of what code is made of: pieces of a module, brackets and words."""
    parts = st.sampled_from((*"(){}[];,:=", "x", " ", "\n", "return", "if (x) {", "foo(", *" )}\n"))
    lines = st.sampled_from(module.splitlines(keepends=True))
    return st.lists(parts | lines, max_size=4).map("".join)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), language=st.sampled_from(sorted(GRAMMARS)))
def test_what_is_well_need_not_be_looked_into(data: st.DataObject, language: str) -> None:
    """Where the code around is whole, one look says the same as all of them."""
    whole = MODULES[language]
    at = data.draw(st.integers(0, len(whole)))
    text = data.draw(pieces(whole))
    before, after = whole[:at], whole[at + data.draw(st.sampled_from((0, 0, 0, 1, 5, 40))) :]
    judged = breaks(before, text, after, language)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("codegen_lsp.syntax.breaks._fits", lambda *_: False)
        assert breaks(before, text, after, language) is judged


@settings(max_examples=100, deadline=None)
@given(data=st.data(), language=st.sampled_from(sorted(GRAMMARS)))
def test_any_text_at_any_offset(data: st.DataObject, language: str) -> None:
    """Nothing raises; there is an answer wherever there is a grammar; nothing breaks nothing."""
    whole = MODULES[language]
    at = data.draw(st.integers(0, len(whole)))
    before = whole[:at] + data.draw(st.text(max_size=10))
    text = data.draw(st.text(max_size=10)) + whole[at : at + data.draw(st.integers(0, 100))]
    after = whole[at + data.draw(st.integers(0, 100)) :]
    assert breaks(before, text, after, language) in (False, True)
    assert breaks(whole[:at], "", whole[at:], language) is False
