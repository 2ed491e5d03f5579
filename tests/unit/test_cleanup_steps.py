"""The steps of the clean-up, each with cases in several languages."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from codegen_lsp.completion.cleanup import (
    STEPS,
    cut_loop,
    cut_markers,
    drop_echo,
    drop_last_repetition,
    drop_trifles,
    fit_blanks,
    keep_shape,
)
from codegen_lsp.completion.closers import balance, replace_closers, strip_overlap
from codegen_lsp.completion.complete import drop_broken, drop_unfinished
from codegen_lsp.completion.draft import Draft, Step
from codegen_lsp.completion.stopping import End
from codegen_lsp.types import Snippet, Trigger
from tests.support.cursor import context_at, plan_at

Case = tuple[str, str, str, str]
"""Language, code with a cursor, what the model said, what the step leaves of it."""


def after_step(step: Step, case: Case, end: End = End.WHOLE) -> Draft:
    """The draft after one step."""
    language, code, said, _ = case
    plan = plan_at(code, Trigger.INVOKED, language=language)
    draft = Draft(said, plan, context_at(code, language=language), end)
    left = step(draft)
    assert draft.text == said, "the step changed what it was given"
    return left


def check(step: Step, case: Case, end: End = End.WHOLE) -> None:
    """The step leaves what the table says, and all of that if it is asked again."""
    left = after_step(step, case, end)
    assert left.text == case[3]
    if end is End.CUT:
        return
    again = step(left)
    assert (again.text, again.replaced) == (left.text, left.replaced)


def cases(*rows: Case) -> Sequence[Case]:
    return rows


MARKERS = cases(
    ("python", "total = ¦", "a + b<|endoftext|>import os", "a + b"),
    ("java", "int n = ¦", "size();<|endoftext|>package x;", "size();"),
    ("go", "n := ¦", "len(s)\n\ufffd", "len(s)\n"),
    ("python", "¦", "x = 1\n```\nThis code sets x.", "x = 1"),
    ("rust", "let n = ¦", "v.len();\n```\n", "v.len();"),
    ("typescript", "¦", "const a = 1;\n~~~\n", "const a = 1;"),
    ("javascript", "const s = `¦", "\n```js\n`;", "\n```js\n`;"),
    ("markdown", "¦", "```\ncode\n```", "```\ncode\n```"),
    ("c", "int n = ¦", "2;", "2;"),
)


@pytest.mark.parametrize("case", MARKERS)
def test_cut_markers(case: Case) -> None:
    """Code ends at the end of the text, at what is no text, and where prose begins."""
    check(cut_markers, case)


ECHOES = cases(
    ("python", "result¦", "result = f(x)", " = f(x)"),
    ("java", "  private final¦", "private final int size;", " int size;"),
    ("python", "a = 1\n¦", "b = 2\n# Path: app/models.py\n# class A:", "b = 2"),
    ("python", "a = 1\n¦", "# app/models.py\n# class A:", ""),
    ("go", "a()\n¦", "b()\n// file: pkg/store.go\n// func C() {}", "b()"),
    ("typescript", "a();\n¦", "b();\n// src/util.ts\n// export", "b();"),
    ("rust", "a();\n¦", "// see src/lib.rs for why\nb();", "// see src/lib.rs for why\nb();"),
    ("python", "a = 1\n¦", "# and/or\nb = 2", "# and/or\nb = 2"),
    ("cpp", "if¦", "if (a)", "if (a)"),
)


@pytest.mark.parametrize("case", ECHOES)
def test_drop_echo(case: Case) -> None:
    """Neither the line before the cursor nor the heading of a snippet is said again."""
    check(drop_echo, case)


def test_the_path_of_a_snippet_is_a_heading() -> None:
    """A file of the prompt is recognized without a folder or a word before it."""
    plan, context = plan_at("¦", Trigger.INVOKED), context_at("¦")
    shown = type(context)(
        context.prefix,
        context.suffix,
        language_id="python",
        comment=context.comment,
        snippets=(Snippet("util.py", "python", "def f(): ..."),),
    )
    said = "a = 1\n# util.py\n# def f(): ..."
    assert drop_echo(Draft(said, plan, shown, End.WHOLE)).text == "a = 1"
    assert drop_echo(Draft(said, plan, context, End.WHOLE)).text == said


LOOPS = cases(
    ("python", "def f(a):\n    ¦", "b = a\n    b = a\n    b = a\n", "b = a"),
    ("python", "x = ¦", "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", ""),
    ("java", "  ¦", "s.append(a).append(a).append(a).append(a).append(a).append(a).x()", ""),
    ("c", "  ¦", "n++;\n  log(n);\n  n++;\n  log(n);\n", "n++;\n  log(n);"),
    ("go", "\t¦", "".join(f"add({i})\n\t" for i in range(6)), "add(0)"),
    ("rust", "    ¦", "let a = 1;\n    let b = 2;\n", "let a = 1;\n    let b = 2;\n"),
    ("javascript", "¦", "// " + "-" * 60, "// " + "-" * 60),
    ("typescript", "  ¦", "a();\n  }\n}\n", "a();\n  }\n}\n"),
    ("cpp", "uint64_t a = ¦", "0x0000000000000000;", "0x0000000000000000;"),
)


@pytest.mark.parametrize("case", LOOPS)
def test_cut_loop(case: Case) -> None:
    """An answer ends where it begins to repeat itself."""
    check(cut_loop, case)


SHAPES = cases(
    ("python", "f(¦)", "a)\nb()", "a)"),
    ("python", "def f(a):\n    ¦", "return a\n    b = 1\n", "return a"),
    ("java", "  void f() {\n    ¦\n  }\n", "g();\n  }\n\n  void h() {", "g();"),
    ("javascript", "x.then(() => {\n  ¦", "a();\n});\nb();", "a();\n});"),
    ("typescript", "class A {\n  ¦\n}\n", "b = 1;\n  c(): void {}\n}\n", "b = 1;\n  c(): void {}"),
    ("go", "\tswitch n {\n\t¦\n\t}", "case 1:\n\t\ta()\n\tcase 2:\n\t\tb()\n\t}\n",
     "case 1:\n\t\ta()\n\tcase 2:\n\t\tb()"),
    ("c", "int f(void) {\n  ¦\n}\n", "g();\nout:\n  return 1;\n}\n", "g();\nout:\n  return 1;"),
    ("cpp", "namespace a {\n¦\n}\n", "int f();\n}\n", "int f();"),
    ("rust", "fn f() -> u8 {\n    ¦\n}\n", "return 1;\n    2\n}", "return 1;"),
    ("yaml", "a:\n  ¦", "b: 1\n  c: 2\nd: 3\n", "b: 1\n  c: 2"),
)  # fmt: skip


@pytest.mark.parametrize("case", SHAPES)
def test_keep_shape(case: Case) -> None:
    """A line, a statement or a block, and nothing that follows in the document."""
    check(keep_shape, case)


UNFINISHED = cases(
    ("python", "def f(a):\n    ¦", "b = a\n    return b.some_th", "b = a"),
    ("python", "def f(a):\n    ¦", "b = a\n    return g(\n        b,\n        c", "b = a"),
    ("python", "def f(a):\n    ¦", '"""Say it.\n\n    In many words', ""),
    ("python", "x = ¦", "f(\n    a,\n    b", "f("),
    ("python", "¦", "print('hello wor", "print("),
    ("python", "return ¦", "some_thing.na", "some_thing."),
    ("python", "¦", "if a:\n    b()\n    if b:\n        c", "if a:\n    b()"),
    ("java", "    ¦", "a();\n    if (b) {\n      c();\n      d", "a();"),
    ("javascript", "  ¦", "a();\n  b({\n    c: 1,\n    d", "a();"),
    ("go", "\t¦", "a := b\n\tfor i := range a {\n\t\tc(i", "a := b"),
    ("rust", "    ¦", 'let a = 1;\n    println!("{}', "let a = 1;"),
    ("c", "  ¦", "a = b;\n  /* why\n", "a = b;"),
    ("cpp", "  ¦", "for (auto& a : b) {\n    c(a);\n    d", "for (auto& a : b) {"),
)


@pytest.mark.parametrize("case", UNFINISHED)
def test_drop_unfinished(case: Case) -> None:
    """What the tokens ran out in is left out, back to where nothing is open."""
    check(drop_unfinished, case, End.CUT)


@pytest.mark.parametrize(
    ("code", "said", "kept"),
    [
        ("x = ¦\n    2,\n]\n", "[\n    1,", "[\n    1,"),
        ("¦\n\n    Say more.\n    '''\n", "'''Say it.", "'''Say it."),
        ("x = f(a¦", "b, c", "b, c"),
        ("¦", "if a:\n    b(\n        c,", "if a:"),
    ],
)
def test_what_the_document_closes_may_stay_open(code: str, said: str, kept: str) -> None:
    """A bracket is unfinished only where nothing closes it."""
    check(drop_unfinished, ("python", code, said, kept))


REPEATED = cases(
    ("python", "    ¦\n        from app import run\n", "from app import run", ""),
    ("python", "    ¦\n        f(a)\n", "f(a)", "f(a)"),
    ("python", "a = 1\n¦\nb = total(a)\n", "c = 2\nb = total(a)", "c = 2"),
    ("python", "f('a', 1)\n¦\nf('ccc', 3)\n", "f('bbb', 2)", "f('bbb', 2)"),
    ("python", "¦\nimport stringprep\n", "import stringprops", "import stringprops"),
    ("python", "self.first_name = None\n¦\nself.first_nick = None\n", "self.first_nack = None",
     "self.first_nack = None"),
    ("java", "a();\n¦\nreturn value.orElse(null);\n", "return value.orElse(nil);", ""),
    ("c", "¦\n#include <stdlib.h>\n", "#include <stdio.h>", "#include <stdio.h>"),
    ("go", "func f() {\n¦\n}\n", "a := []int{\n\t1,\n}", "a := []int{\n\t1,\n}"),
    ("rust", "¦\n    index2: u8,\n", "    index1: u16,\n", "    index1: u16,\n"),
    ("typescript", "x(() => {\n¦\n});\n", "foo(() => {\n  a();\n});", "foo(() => {\n  a();\n});"),
)  # fmt: skip


@pytest.mark.parametrize("case", REPEATED)
def test_drop_last_repetition(case: Case) -> None:
    """The document's next line is not said again; another row of a table is."""
    check(drop_last_repetition, case)


UNOPENED = cases(
    ("python", "x = ¦", "a) + b", "a"),
    ("python", "x = f(¦", "a) + b)", "a) + b"),
    ("java", "int n = ¦", "a[0]];", "a[0]"),
    ("rust", "if c == ¦", "'}' { a() }", "'}' { a() }"),
    ("javascript", "x = ¦", "s.replace(/[)}]/g, '')", "s.replace(/[)}]/g, '')"),
    ("go", "// a ¦", "b) c", "b) c"),
    ("shellscript", "case $a in\n  ¦", "x) b;;", "x) b;;"),
)


@pytest.mark.parametrize("case", UNOPENED)
def test_balance(case: Case) -> None:
    """No bracket is closed that nothing opened."""
    check(balance, case)


OVERLAPS = cases(
    ("python", "f(¦bar, 1)", "bar", ""),
    ("python", "f(¦bar, 1)", "a, bar, 1)", "a, "),
    ("java", "int n = ¦.size();", "list.size();", "list"),
    ("go", "x := ¦\ny := 2\n", "1\ny := 2", "1"),
    ("c", "a = ¦ + b;", "c + b;", "c"),
    ("rust", "return f(¦)[2..]", "bin(n)", "bin(n)"),
    ("typescript", "const a¦b = 1;", "a", "a"),
)


@pytest.mark.parametrize("case", OVERLAPS)
def test_strip_overlap(case: Case) -> None:
    """The end of an answer that follows the cursor anyway is left out, if it is one of words."""
    check(strip_overlap, case)


BLANKS = cases(
    ("python", "return ¦", "  x ", "x"),
    ("python", "f('a ¦')", " b ", " b "),
    ("java", "int n =¦;", " 1 ", " 1"),
    ("go", "x := ¦+ y", "a ", "a "),
    ("c", "f(¦)", "a ", "a"),
    ("python", "    ¦", "  deeper", "  deeper"),
    ("go", "name:  ¦", '   "x", ', '   "x",'),  # columns
)


@pytest.mark.parametrize("case", BLANKS)
def test_fit_blanks(case: Case) -> None:
    """Blanks are said once, and none are left at the end of a line."""
    check(fit_blanks, case)


@pytest.mark.parametrize(
    ("language", "code", "said", "line"),
    [
        ("python", "f(¦)", "a)", "f(a)"),
        ("python", "f([¦])", "a] + b", "f([a] + b)"),
        ("python", "x = ['¦']", "a', 'b'", "x = ['a', 'b']"),
        ("python", "def f(¦):", "a, b):", "def f(a, b):"),
        ("java", 'log("¦");', 'a" + b);', 'log("a" + b);'),
        ("javascript", "f(`¦`)", "a ${b}`, c)", "f(`a ${b}`, c)"),
        ("typescript", "const a = {¦};", "b: [c]};", "const a = {b: [c]};"),
        ("go", "f(¦)", "g(a", "f(g)"),
        ("c", "f(¦)", '"a', "f()"),
        ("rust", "let v = vec![¦];", "1, 2];", "let v = vec![1, 2];"),
        ("cpp", "v.push_back({¦});", "a, 1});", "v.push_back({a, 1});"),
        ("python", "# see (¦)", "below)", "# see (below)"),
        ("python", "'''As in ['¦']", "a', 'b']", "'''As in ['a', 'b']"),
        ("python", "'''As in (¦)", "a (b)", "'''As in (a (b))"),
    ],
)
def test_replace_closers(language: str, code: str, said: str, line: str) -> None:
    """What the editor closed is replaced by what the answer closes, never doubled."""
    left = after_step(replace_closers, (language, code, said, ""))
    before, _, after = code.partition("¦")
    kept = left.text if left.text.strip() else ""
    assert before + kept + after[left.replaced if kept else 0 :] == line


@pytest.mark.parametrize(
    ("code", "said", "trigger", "shown"),
    [
        ("x = ¦", "abc", Trigger.AUTOMATIC, False),
        ("x = ¦", "abcd", Trigger.AUTOMATIC, True),
        ("x = ¦", "a", Trigger.INVOKED, True),
        ("total += n\n¦", "total += n", Trigger.INVOKED, False),
        ("}\n¦", "}", Trigger.INVOKED, True),
    ],
)
def test_drop_trifles(code: str, said: str, trigger: Trigger, shown: bool) -> None:
    """A few characters are not worth a look, nor is the line above."""
    draft = Draft(said, plan_at(code, trigger), context_at(code), End.WHOLE)
    assert bool(drop_trifles(draft).text) is shown


BROKEN = cases(
    ("python", "def f(a):\n    ¦\n", "b = a\n    c = (a b)\n", "b = a"),
    ("python", "def f(a):\n    ¦\n", "b = a\n    try:\n        c()", "b = a"),
    ("python", "def f(a):\n    try:\n        ¦\n    finally:\n        c()\n", "a()\n        b()",
     "a()\n        b()"),
    ("python", "def f(a):\n    ¦\n    return a\n", "if a:\n        b()\n    else:",
     "if a:\n        b()"),
    ("python", "x = ¦", "1 2", ""),
    ("python", "def f(a):¦\n\nx = 1\n", "\n    return {", ""),
    ("python", "def f(a):¦\n\nx = 1\n", "\n    if a:", ""),
    ("python", "def f(a):¦\n\nx = 1\n", "\n    \"\"\"", ""),
    ("python", "def f(a):¦\n\nx = 1\n", "\n    return a", "\n    return a"),
    ("python", "def f(a):\n    return ¦\n", "{", "{"),
    ("python", "def f():¦\n    x = = 1\n", "\n    return {", ""),
    ("python", "f(¦\n)\n", "\n    a,", "\n    a,"),
    ("python", "def f(:\n    pass\n\ndef g():\n    ¦\n", "a()\n    b()", "a()\n    b()"),
    ("python", "def f():\n    ¦\n    x = = 1\n", "a()\n    b()", "a()\n    b()"),
    ("python", "def f():\n    ¦\n    x = = 1\n", "a()\n    b() c", "a()"),
    ("java", "void f() {\n  ¦\n}\n", "a();\n  b c d;", "a();"),
    ("go", "func f() {\n\t¦\n}\n", "a := 1\n\tif a {\n\t\tb()\n\t}",
     "a := 1\n\tif a {\n\t\tb()\n\t}"),
    ("rust", "/*! About\n¦\n*/\n", "a crate, in which", "a crate, in which"),
    ("plaintext", "¦", "1 2 )", "1 2 )"),
)  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_drop_broken(case: Case) -> None:
    """Only so many lines are left as can be parsed where they stand."""
    check(drop_broken, case)


def test_the_order_of_the_steps() -> None:
    """What decides by what is left comes after what takes away."""
    names = [step.__name__ for step in STEPS]
    assert names == [
        "cut_markers",
        "drop_echo",
        "cut_loop",
        "keep_shape",
        "drop_unfinished",
        "drop_last_repetition",
        "balance",
        "strip_overlap",
        "fit_blanks",
        "replace_closers",
        "drop_trifles",
        "drop_broken",
    ]
