"""What survives a cut: imports, the signatures around the cursor, and where cuts are best."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen_lsp.context.collect import collect
from codegen_lsp.context.header import IMPORT_LINES, PARSED, header_at
from codegen_lsp.types import CompletionContext, Snapshot
from tests.support.cursor import CURSOR


def check(code: str, language: str, *kept: str) -> None:
    """The lines kept at the cursor sign in *code*, in order, each where it says it is."""
    before, sign, after = code.partition(CURSOR)
    assert sign
    text = before + after
    header = header_at(text, len(before), language)
    assert [one.text for one in header.kept] == [f"{line}\n" for line in kept]
    for one in header.kept:
        first = one.text.partition("\n")[0].strip()
        line = text[one.offset :].partition("\n")[0]
        assert first.removeprefix("import ") in line
        assert one.offset == 0 or text[one.offset - 1] == "\n"


PYTHON = '''"""A shop."""

from __future__ import annotations

import os
from collections.abc import (
    Iterable,
    Sequence,
)
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shop.items import Item


# What is sold.
@dataclass
class Shop(Base):
    """One shop."""

    def sells(
        self, name: str
    ) -> bool:
        import json
        for item in self.items:
            ¦
        return False

    def closed(self) -> bool:
        return True
'''

PYTHON_IMPORTS = (
    "from __future__ import annotations",
    "import os",
    "from collections.abc import (\n    Iterable,\n    Sequence,\n)",
    "from typing import TYPE_CHECKING",
    "from shop.items import Item",
)


def test_python() -> None:
    """Imports outside definitions, unindented; signatures without decorators and comments."""
    signature = "    def sells(\n        self, name: str\n    ) -> bool:"
    check(PYTHON, "python", *PYTHON_IMPORTS, "class Shop(Base):", signature)


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("class A:\n    def f(self):\n        ¦", ("class A:", "    def f(self):")),
        ("class A:\n    def f(self):\n        ¦\n\nx = 1\n", ("class A:", "    def f(self):")),
        ("class A:\n    def f(self):\n        pass\n    ¦", ("class A:",)),
        ("class A:\n    def f(self):\n        pass\n\n    de¦", ("class A:",)),
        ("class A:\n    def f(self):\n        pass\n\n¦", ()),
        ("def f(\n    a,\n    ¦\n):\n    pass\n", ()),
        ("def f(a):\n    x = 1\n\n¦\n    return x\n", ("def f(a):",)),
        ("async def f(a):\n    if a:\n        await g(¦", ("async def f(a):",)),
        ("def f(a):\n    def g():\n        return 1\n    ¦", ("def f(a):",)),
        ("def f(a):\n    x = 1\n    # why\n    ¦", ("def f(a):",)),
        ("x = 1\n¦\nimport os\n", ()),
        ("¦", ()),
        ("import os, sys\nimport re; ¦", ("import os, sys",)),
    ],
)
def test_unfinished_python(code: str, kept: tuple[str, ...]) -> None:
    """Which body the cursor is in is told by its indentation, whatever is missing behind it."""
    check(code, "python", *kept)


@pytest.mark.parametrize(
    ("language", "code", "kept"),
    [
        (
            "java",
            "package shop;\n\nimport java.util.List;\nimport static a.B.c;\n\n"
            "public class Shop<T> extends Base {\n    @Override\n    public int size(T item) {\n"
            "        ¦\n    }\n}\n",
            (
                "import java.util.List;",
                "import static a.B.c;",
                "public class Shop<T> extends Base {",
                "    public int size(T item) {",
            ),
        ),
        (
            "go",
            'package main\n\nimport "os"\n\nimport (\n\t"fmt"\n\tu "net/url"\n)\n\n'
            "func (s *Shop) Size(a int) int {\n\tif a > 0 {\n\t\t¦\n\t}\n\treturn 1\n}\n",
            (
                'import "os"',
                'import "fmt"',
                'import u "net/url"',
                "func (s *Shop) Size(a int) int {",
            ),
        ),
        (
            "typescript",
            'import { a } from "./a";\nimport type { B } from "b";\n\n'
            "export class Shop implements B {\n  private size(): number {\n    ¦\n  }\n}\n",
            (
                'import { a } from "./a";',
                'import type { B } from "b";',
                "export class Shop implements B {",
                "  private size(): number {",
            ),
        ),
        (
            "javascript",
            'const fs = require("fs");\nimport x from "y";\n\nfunction load(path) {\n  ¦\n}\n',
            ('const fs = require("fs");', 'import x from "y";', "function load(path) {"),
        ),
        (
            "cpp",
            '#include <vector>\n#include "a.h"\n\nnamespace shop {\n\n'
            "int Shop::size(int a) const {\n    ¦\n}\n\n}  // namespace shop\n",
            (
                "#include <vector>",
                '#include "a.h"',
                "int Shop::size(int a) const {",
            ),
        ),
        (
            "c",
            "#include <stdio.h>\n\nstatic int size(struct shop *s)\n{\n    ¦\n}\n",
            ("#include <stdio.h>", "static int size(struct shop *s)\n{"),
        ),
        (
            "rust",
            "use std::fmt;\nuse crate::a::{B, c::D};\n\nimpl fmt::Display for Shop {\n"
            "    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {\n        ¦\n    }\n}\n",
            (
                "use std::fmt;",
                "use crate::a::{B, c::D};",
                "impl fmt::Display for Shop {",
                "    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {",
            ),
        ),
    ],
)
def test_other_grammars(language: str, code: str, kept: tuple[str, ...]) -> None:
    """The same in every language that has a grammar; with what follows the cursor and without."""
    check(code, language, *kept)
    check(code[: code.index(CURSOR) + 1], language, *kept)


def test_a_cursor_in_a_signature() -> None:
    """What is being written is not kept; what it stands in is."""
    code = "class A {\n    int f(int a,\n        ¦\n        int b) {\n        return 1;\n    }\n}\n"
    check(code, "java", "class A {")
    check("def f(\n    a,\n    ¦\n    b,\n):\n    pass\n", "python")


@pytest.mark.parametrize(
    ("language", "code", "kept"),
    [
        (
            "kotlin",
            "class A(\n    val b: Int,\n) : C {\n    fun f(\n        a: Int,\n    ): Int {\n"
            "        ¦",
            (
                "class A(\n    val b: Int,\n) : C {",
                "    fun f(\n        a: Int,\n    ): Int {",
            ),
        ),
        (
            "ruby",
            "require 'json'\nrequire_relative 'a'\n\nmodule Shop\n  class Item < Base\n"
            "    def size(a)\n      if a\n        ¦\n",
            (
                "require 'json'",
                "require_relative 'a'",
                "module Shop",
                "  class Item < Base",
                "    def size(a)",
            ),
        ),
        (
            "csharp",
            "using System;\nusing A = B.C;\n\nnamespace Shop\n{\n    public class Item : Base\n"
            "    {\n        public int Size(int a)\n        {\n            foreach (var x in y)\n"
            "            {\n                ¦\n",
            (
                "using System;",
                "using A = B.C;",
                "namespace Shop",
                "    public class Item : Base",
                "        public int Size(int a)",
            ),
        ),
        (
            "php",
            "<?php\nuse A\\B;\nrequire_once 'c.php';\n\nclass Item {\n"
            "    public function size(): int {\n        $a = array(\n            ¦",
            (
                "use A\\B;",
                "require_once 'c.php';",
                "class Item {",
                "    public function size(): int {",
            ),
        ),
        (
            "kotlin",
            "import a.b\n\nfun f(a: Int): Int {\n    ¦",
            ("import a.b", "fun f(a: Int): Int {"),
        ),
        ("lua", "local json = require 'json'\nfunction M.f(a)\n\t¦", None),
        ("klingon", "Qapla(a = 1)\n  x = f(b)\n    y\n      ¦", ("Qapla(a = 1)",)),
        ("yaml", "a:\n  b:\n    - c: ¦", ()),
        ("", "import x\n  ¦", ()),
        ("json", '{\n  "a": [\n    ¦', ()),
    ],
)
def test_without_a_grammar(language: str, code: str, kept: tuple[str, ...] | None) -> None:
    """Imports are lines that look like some; scopes are what is indented less and has a name."""
    lua = ("local json = require 'json'", "function M.f(a)")
    check(code, language, *(lua if kept is None else kept))


@pytest.mark.parametrize("language", ["python", "ruby"])
def test_starts(language: str) -> None:
    """Definitions and top-level statements begin a window, lines of a body do not."""
    parts = ["a = 1\n\n", "def f():\n    return 1\n\n\n", "b = 2\n", "    x¦"]
    text = "".join(parts)
    starts = header_at(text.replace(CURSOR, ""), len(text) - 1, language).starts
    places = [len("".join(parts[:count])) for count in range(3)]
    assert [place for place in starts if place in places[1:]] == places[1:]
    assert all(text[start - 1 : start] in ("", "\n") for start in starts)
    assert text.index("    return") not in starts


def test_starts_of_methods_by_their_looks() -> None:
    """Behind an empty line, modifiers and decorators included; a body's paragraphs are none."""
    methods = (
        "    public static fun f() {\n        a\n\n        b\n    }\n\n",
        "    @A\n    fun g()\n",
    )
    text = f"class A {{\n\n{''.join(methods)}"
    first = text.index(methods[0])
    assert header_at(f"{text}\n    x", len(text) + 6, "kotlin").starts == (
        first,
        first + len(methods[0]),
    )


def test_documents_too_long_to_parse() -> None:
    """Their imports and scopes are told by their looks, near the beginning and the cursor."""
    filler = "def g():\n    return 1\n\n\n" * (PARSED // 20)
    code = f"import os\nfrom a import (\n    b,\n)\n\n{filler}class A:\n    def f(self):\n        ¦"
    assert len(code) > PARSED
    check(
        code,
        "python",
        "import os",
        "from a import (\n    b,\n)",
        "class A:",
        "    def f(self):",
    )


@pytest.mark.parametrize("language", ["python", "kotlin"])
def test_too_many_imports(language: str) -> None:
    """Those that are used near the cursor stay, and as many others as there is room for."""
    imports = [f"import name{number}" for number in range(60)]
    code = "\n".join(imports) + "\n\nprint(name58.x)\nname3¦"
    before = code.partition(CURSOR)[0]
    kept = [one.text.strip() for one in header_at(before, len(before), language).kept]
    assert kept == [*imports[: IMPORT_LINES - 1], imports[58]]


@pytest.mark.parametrize("language", ["python", "ruby", "java", "c"])
@settings(deadline=None)  # the first one loads a grammar
@given(data=st.data())
def test_any_text(language: str, data: st.DataObject) -> None:
    """Whatever is written: offsets ascend and lie before the cursor's line, texts are lines."""
    pieces = st.sampled_from(
        [
            "import os",
            "class A:",
            "def f(a):",
            " ",
            "    ",
            "\n",
            "\r\n",
            "{",
            "}",
            "(",
            "é🐍",
            '"""',
        ]
    )
    text = "".join(data.draw(st.lists(pieces, max_size=40)))
    offset = data.draw(st.integers(0, len(text)))
    header = header_at(text, offset, language)
    begin = max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1
    offsets = [one.offset for one in header.kept]
    assert offsets == sorted(offsets)
    assert list(header.starts) == sorted(set(header.starts))
    for place in (*offsets, *header.starts):
        assert 0 <= place < begin
        assert place == 0 or text[place - 1] in "\r\n" or not text[:place].rsplit("\n")[-1].strip()
    for one in header.kept:
        assert one.text.endswith("\n")
        assert one.text.strip()
        assert "\r" not in one.text


def long_document(line_end: str = "\n") -> str:
    """Some hundred lines with a cursor in a method."""
    many = "def before(a):\n    return a + 1\n\n\n" * 90
    code = f"import os\n\n\n{many}class Shop:\n    def sells(self, name):\n"
    code += "        self.count(name)\n" * 40 + "        if name:\n            ¦\n\nx = 1\n"
    return code.replace("\n", line_end)


def collected(code: str, size: int, *, header: bool = True) -> CompletionContext:
    """The context at the cursor sign in *code*."""
    before, _, after = code.partition(CURSOR)
    return collect(Snapshot("a.py", "python", before + after), len(before), size, header=header)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_places_are_told_from_the_windows_beginning(line_end: str) -> None:
    """Negative before the window; cuts are line starts in the prefix, whatever lines end with."""
    context = collected(long_document(line_end), 2400)
    assert not context.starts_document
    assert context.prefix.startswith("def before")
    assert [one.text for one in context.kept] == [
        "import os\n",
        "class Shop:\n",
        "    def sells(self, name):\n",
    ]
    assert context.kept[0].offset < 0
    for one in context.kept[1:]:
        assert context.prefix[one.offset :].startswith(one.text)
    assert context.cuts
    for cut in context.cuts:
        assert context.prefix[cut - 1] == "\n"
        assert context.prefix[cut:].lstrip().startswith(("def", "class"))


def test_a_window_begins_at_a_definition() -> None:
    """Where the outline knows one, even if an unindented line comes first."""
    code = long_document().replace("    return a + 1\n", "    return a + (\n1\n    )\n")
    for size in range(2400, 2600, 7):
        assert collected(code, size).prefix.startswith("def before")


@settings(deadline=None)
@given(st.text("ab_(.'\" :", min_size=1, max_size=40), st.sampled_from([800, 2400, 9000]))
def test_typing_in_a_line_changes_nothing_of_the_header(typed: str, size: int) -> None:
    """Not even a bracket or a quote that is open moves what stands before its line."""
    code = long_document()
    older = collected(code, size)
    newer = collected(code.replace(CURSOR, typed + CURSOR), size)
    start = len(older.prefix) - len(newer.prefix) + len(typed)
    assert [(one.offset + start, one.text) for one in newer.kept] == [
        (one.offset, one.text) for one in older.kept
    ]
    if start == 0:
        assert newer.cuts == older.cuts


def test_short_documents_and_the_setting() -> None:
    """What is shown whole needs no header; neither does who does not want one."""
    code = long_document()
    short = collected(code, 3 * len(code))
    off = collected(code, 2400, header=False)
    for context in (short, off):
        assert (context.kept, context.cuts) == ((), ())
    assert short.starts_document
    assert not off.starts_document
