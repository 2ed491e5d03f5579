"""Imports and definitions: what is shown of modules and of names near the cursor."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen_lsp.types import Origin, Snippet
from tests.support.repository import Repository
from tests.support.shop import FILES


def make(tmp_path: Path, files: dict[str, str] | None = None) -> Repository:
    """A repository of these files."""
    return Repository(tmp_path / "project", FILES if files is None else files)


def only(snippets: tuple[Snippet, ...], path: str) -> Snippet:
    """The one snippet from *path*."""
    [found] = [snippet for snippet in snippets if snippet.path == path]
    return found


IMPORTING = """\
from shop.settings import load_settings, ShopSettings


def main(arguments):
    settings = ¦
"""


def test_imports_show_what_a_module_offers(tmp_path: Path) -> None:
    """Signatures and the first line of what is said of them, of what is imported alone."""
    repository = make(tmp_path)
    [snippet] = repository.snippets("main.py", IMPORTING, ["imports"])
    assert (snippet.path, snippet.origin) == ("shop/settings.py", Origin.IMPORTS)
    lines = snippet.text.splitlines()
    assert "class ShopSettings:" in lines
    assert "    def with_tax(self, amount: float) -> float:" in lines
    assert "def load_settings(path: str, *, strict: bool = False) -> ShopSettings:" in lines
    assert '    """Read settings.' in lines
    for hidden in ("unrelated_helper", "_secret_margin", "json.load", "longer explanation"):
        assert hidden not in snippet.text


@pytest.mark.parametrize(
    ("statement", "use", "shown"),
    [
        ("import shop.settings", "shop.settings.load_settings(", "def load_settings"),
        ("from shop import settings", "settings.load_settings(", "def load_settings"),
        ("from .settings import *", "load_settings(", "def load_settings"),
        ("from shop import load_settings", "load_settings(", "def load_settings"),
        ("from .settings import DEFAULT_CURRENCY", "x = ", "DEFAULT_CURRENCY = "),
        ("from shop import settings", "print(", None),
        ("import json", "json.load(", None),
        ("from shop.nowhere import load", "load(", None),
    ],
)
def test_ways_to_import(tmp_path: Path, statement: str, use: str, shown: str | None) -> None:
    """However a module is imported, what is used of it is shown; of a name handed on its origin."""
    repository = make(tmp_path)
    snippets = repository.snippets("shop/main.py", f"{statement}\n\n\n{use}¦\n", ["imports"])
    assert [snippet.path for snippet in snippets] == ["shop/settings.py"] * (shown is not None)
    assert shown is None or shown in snippets[0].text


@pytest.mark.parametrize(
    ("importer", "code", "other", "text", "shown"),
    [
        (
            "web/app.ts",
            'import { formatPrice } from "./money";\n\nexport const label = (p: number) => ¦\n',
            "web/money.ts",
            "export function formatPrice(amount: number, currency = 'EUR'): string {\n"
            "  return `${amount.toFixed(2)} ${currency}`;\n}\n\n"
            "export function other(): void {}\n",
            "export function formatPrice(amount: number, currency = 'EUR'): string {",
        ),
        (
            "src/main/java/shop/Main.java",
            "package shop;\n\nimport shop.money.Price;\n\nclass Main {\n    void run() {\n"
            "        Price price = ¦\n    }\n}\n",
            "src/main/java/shop/money/Price.java",
            "package shop.money;\n\npublic class Price {\n    private final long cents;\n\n"
            "    public Price(long cents) {\n        this.cents = cents;\n    }\n\n"
            "    public Price plus(Price other) {\n        return new Price(cents + other.cents);\n"
            "    }\n}\n",
            "public Price plus(Price other) {",
        ),
        (
            "cmd/main.go",
            'package main\n\nimport "example.org/shop/money"\n\nfunc main() {\n'
            "\tprice := money.NewPrice(¦\n}\n",
            "money/price.go",
            "package money\n\n// Price is an amount.\ntype Price struct {\n\tCents int64\n}\n\n"
            "// NewPrice makes a price.\nfunc NewPrice(cents int64, currency string) Price {\n"
            "\treturn Price{cents}\n}\n",
            "func NewPrice(cents int64, currency string) Price {",
        ),
        (
            "src/main.c",
            '#include "money.h"\n\nint main(void)\n{\n    struct price p = make_price(¦\n}\n',
            "src/money.h",
            "#ifndef MONEY_H\n#define MONEY_H\n\nstruct price {\n    long cents;\n};\n\n"
            "struct price make_price(long cents, const char *currency);\n\n#endif\n",
            "struct price make_price(long cents, const char *currency);",
        ),
        (
            "src/main.rs",
            "use crate::money::Price;\n\nfn main() {\n    let price = Price::¦\n}\n",
            "src/money.rs",
            "pub struct Price {\n    pub cents: i64,\n}\n\nimpl Price {\n"
            "    pub fn new(cents: i64) -> Self {\n        Price { cents }\n    }\n}\n",
            "pub struct Price {",
        ),
    ],
    ids=["typescript", "java", "go", "c", "rust"],
)
def test_imports_in_other_languages(
    tmp_path: Path, importer: str, code: str, other: str, text: str, shown: str
) -> None:
    """Modules are found and shown the way each language has them."""
    repository = make(tmp_path, {other: text, importer: code.replace("¦", "")})
    snippet = only(repository.snippets(importer, code, ["imports"]), other)
    assert shown in [line.strip() for line in snippet.text.splitlines()]


def test_definitions_of_names_near_the_cursor(tmp_path: Path) -> None:
    """Also where nothing is imported: a function with the first lines of its body."""
    repository = make(tmp_path)
    code = "def total(shop):\n    settings = shop.load_settings(¦\n"
    [snippet] = repository.snippets("main.py", code, ["definitions"])
    assert (snippet.path, snippet.origin) == ("shop/settings.py", Origin.DEFINITIONS)
    assert snippet.text.startswith("def load_settings(path: str")
    assert "data = json.load(handle)" in snippet.text
    assert len(snippet.text.splitlines()) == 10


def test_a_method_is_shown_in_its_class(tmp_path: Path) -> None:
    """``x.with_tax(`` says nothing of whose method it is; the snippet does."""
    repository = make(tmp_path)
    [snippet] = repository.snippets("main.py", "price = x.with_tax(¦", ["definitions"])
    assert snippet.text.startswith("class ShopSettings:\n    def with_tax(self, amount")


def test_of_a_large_class_what_is_used_nearby_is_shown(tmp_path: Path) -> None:
    """There is no room for all of its members."""
    members = "".join(f"    def step_{i:02}(self):\n        return {i}\n\n" for i in range(40))
    repository = make(tmp_path, {"job.py": f"class Job:\n{members}"})
    code = "from job import Job\n\n\njob = Job()\njob.step_33()\n¦"
    for source in ("imports", "definitions"):
        text = repository.snippets(f"{source}.py", code, [source])[0].text
        assert "class Job:" in text
        assert "def step_33(self):" in text
        assert "def step_39(self):" not in text


@pytest.mark.parametrize(
    "code",
    [
        "¦",
        "undefined_name(¦",
        "def load_settings():\n    pass\n\n\nload_settings(¦",
        "load_settings()\n" + "\n" * 10 + "x = ¦",
        "# with, for, if and return are no names\nfor x in y:\n    ¦",
    ],
    ids=["nothing", "unknown", "its own", "far away", "keywords"],
)
def test_names_that_have_no_definition_to_show(tmp_path: Path, code: str) -> None:
    """Neither unknown names nor those the document defines itself."""
    assert make(tmp_path).snippets("main.py", code, ["definitions"]) == ()


def test_a_name_that_many_define_says_nothing(tmp_path: Path) -> None:
    """Unless the document imports one of them."""
    files = {f"part{i}.py": f"def run(argument{i}):\n    return {i}\n" for i in range(5)}
    repository = make(tmp_path, files)
    assert repository.snippets("other.py", "run(¦", ["definitions"]) == ()
    snippets = repository.snippets("main.py", "from part3 import run\nrun(¦", ["definitions"])
    assert [snippet.path for snippet in snippets] == ["part3.py"]


def test_the_nearest_name_comes_first(tmp_path: Path) -> None:
    """What is used on the cursor's line is worth more than what is used above it."""
    files = {
        "one.py": "def first_helper(a):\n    return a\n",
        "two.py": "def second_helper(b):\n    return b\n",
    }
    repository = make(tmp_path, files)
    code = "first_helper(1)\nx = 2\nsecond_helper(¦"
    snippets = repository.snippets("main.py", code, ["definitions"])
    assert [snippet.path for snippet in snippets] == ["two.py", "one.py"]
