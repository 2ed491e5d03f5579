"""Outlines: definitions and imports, as a table for each language."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen_lsp.syntax.grammars import GRAMMARS
from codegen_lsp.syntax.outline import Outline, cut_points, outline, scopes_at, signature_of
from tests.support.nine import MODULES

CURSOR = "¦"

DEFINED = {
    "python": """
        variable LIMIT | LIMIT: int = 5
        variable _CACHE | _CACHE = {
        class Reader | class Reader(Person):
        - variable name | name: str = ""
        - variable tries | tries = 3
        - method label | def label(self) -> str:
        - method borrow | async def borrow(
        - - function allowed | def allowed(count: int) -> bool:
        function overdue | def overdue(loans: Iterable[Loan]) -> list[Loan]:
    """,
    "java": """
        class Reader | public class Reader extends Person {
        - variable LIMIT | private static final int LIMIT = 5;
        - variable loans | private final List<Loan> loans = new ArrayList<>();
        - method Reader | public Reader(String name) {
        - method borrow | public boolean borrow(Book book) throws ShelfException {
        - class Listener | interface Listener {
        - - method borrowed | void borrowed(Book book);
        - class State | enum State {
        class Loan | record Loan(Book book, LocalDate since) {
        - method late | boolean late() {
    """,
    "javascript": """
        variable LIMIT | const LIMIT = 5;
        class Reader | export class Reader extends Person {
        - variable #loans | #loans = [];
        - method constructor | constructor(name) {
        - method borrow | async borrow(book) {
        function overdue | export const overdue = (loans) => {
        function shelves | function* shelves(room) {
        function close | module.exports.close = function (room) {
    """,
    "typescript": """
        type Loan | export interface Loan {
        type Loans | type Loans = Map<string, Loan[]>;
        type State | export enum State {
        class Reader | export class Reader<T extends Loan> extends Person {
        - variable loans | private readonly loans: T[] = [];
        - method constructor | constructor(private name: string) {
        - method borrow | borrow(book: Book, days = 30): boolean {
        - method late | late = (loan: T): boolean => {
        function overdue | export const overdue = async (loans: Loan[]): Promise<Loan[]> => {
        class Shelf | abstract class Shelf {
        - method open | abstract open(): void;
    """,
    "go": """
        variable Limit | const Limit = 5
        variable active | active = iota
        variable barred | barred
        class Reader | type Reader struct {
        type Lender | type Lender interface {
        type Days | type (
        method Borrow | func (r *Reader) Borrow(book Book) error {
        function overdue | func overdue(loans []Loan) (late []Loan) {
    """,
    "c": """
        variable LIMIT | #define LIMIT 5
        function LATE | #define LATE(loan) ((loan)->days > 30)
        type card_t | typedef unsigned long card_t;
        class loan | struct loan {
        class reader_t | typedef struct {
        type state | enum state {
        variable names | static const char *names[] = { "active", "barred" };
        function reader_borrow | int reader_borrow(reader_t *reader, struct loan *loan);
        function overdue | static unsigned *
    """,
    "cpp": """
        variable limit | constexpr int limit = 5;
        type Loans | using Loans = std::vector<Loan>;
        class Reader | class Reader : public Person {
        - method Reader | explicit Reader(std::string name) : name_(std::move(name)) {
        - method ~Reader | ~Reader() = default;
        - method borrow | bool borrow(const Book& book);
        - method operator== | bool operator==(const Reader& other) const {
        function largest | template <typename T>
        method borrow | bool Reader::borrow(const Book& book) {
    """,
    "rust": """
        variable LIMIT | const LIMIT: usize = 5;
        class Reader | pub struct Reader<'a> {
        class State | enum State {
        type Lender | pub trait Lender {
        - method borrow | fn borrow(&mut self, book: Book) -> bool;
        class Reader | impl<'a> Lender for Reader<'a> {
        - method borrow | fn borrow(&mut self, book: Book) -> bool {
        function overdue | fn overdue(loans: &[Loan]) -> Vec<&Loan> {
        function loans | macro_rules! loans {
    """,
}
DEFINED |= {"javascriptreact": DEFINED["javascript"], "typescriptreact": DEFINED["typescript"]}

IMPORTED = {
    "python": {
        "__future__": "annotations",
        "os.path": "",
        "json": "",
        "re": "",
        "collections.abc": "Iterable Mapping",
        ".shelves": "*",
        "..": "rooms",
    },
    "java": {
        "java.util.List": "List",
        "java.util.concurrent": "*",
        "org.example.Dates": "today",
    },
    "javascript": {
        "node:fs/promises": "fs readFile",
        "./dates.js": "*",
        "./setup": "",
        "path": "join sep",
        "./book": "Book",
        "./shelf": "*",
    },
    "typescript": {"./book": "Book", "@library/core": "Injectable Room"},
    "go": {"fmt": "", "example.org/library/logging": ""},
    "c": {"stdio.h": "", "library/shelf.h": ""},
    "cpp": {"vector": "", "book.hpp": ""},
    "rust": {
        "std::collections::hash_map": "Entry",
        "std::collections": "HashMap",
        "crate::book::Book": "Book",
        "super": "*",
        "self::shelf": "",
    },
}


def outlined(text: str, language: str) -> Outline:
    found = outline(text, language)
    assert found is not None
    return found


def scopes(code: str, language: str) -> str:
    before, sign, after = code.partition(CURSOR)
    assert sign
    found = scopes_at(outlined(before + after, language), len(before))
    return " ".join(one.name for one in found)


@pytest.mark.parametrize("language", DEFINED)
def test_definitions(language: str) -> None:
    """Kind, name, depth and the first line of the signature of all that a module defines."""
    text = MODULES[language]
    found = outlined(text, language)
    written = [
        f"{'- ' * one.depth}{one.kind} {one.name} | "
        + signature_of(text, one).partition("\n")[0].strip()
        for one in found.definitions
    ]
    assert written == [line.strip() for line in DEFINED[language].strip().splitlines()]
    assert not found.broken


@pytest.mark.parametrize("language", IMPORTED)
def test_imports(language: str) -> None:
    """Modules as written, names as the module calls them, whole lines."""
    text = MODULES[language]
    found = outlined(text, language).imports
    assert {one.module: " ".join(one.names) for one in found} == IMPORTED[language]
    for one in found:
        assert one.start == 0 or text[one.start - 1] == "\n"
        assert text[one.end - 1] == "\n"


@pytest.mark.parametrize("language", MODULES)
def test_definitions_are_whole_lines(language: str) -> None:
    """From the comment above to the last line; the body is inside, and the signature before it."""
    text = MODULES[language]
    found = outlined(text, language)
    for one in found.definitions:
        assert 0 <= one.start < one.end <= len(text)
        assert one.start == 0 or text[one.start - 1] == "\n"
        assert text[one.end - 1] == "\n"
        assert one.body is None or one.start < one.body <= one.end
        assert one.name in signature_of(text, one) or one.name == "reader_t"  # a typedef's is last
        assert signature_of(text, one).rstrip() in text[one.start : one.end]
    starts = [one.start for one in found.definitions]
    assert starts == sorted(starts)


@pytest.mark.parametrize(
    ("language", "name", "first", "body"),
    [
        ("python", "Reader", "# One who borrows.", '    """Somebody with a card."""'),
        ("python", "label", "    @property", "        # short"),
        ("python", "overdue", "def overdue(loans", "return [loan"),
        ("java", "Reader", "/**", "\n    private static"),
        ("java", "borrow", "    // Adds a loan.", "\n        if ("),
        ("typescript", "Reader", "@Injectable()", "\n  private readonly"),
        ("javascript", "Reader", "/** One who borrows. */", "\n  #loans"),
        ("go", "Reader", "// Reader is one who borrows.", "\n\tName"),
        ("c", "overdue", "// Counts what is late.", "\n    static unsigned count"),
        ("cpp", "Reader", "/// One who borrows.", "\npublic:"),
        ("rust", "Reader", "/// One who borrows.", "\n    pub name"),
    ],
)
def test_where_definitions_and_bodies_begin(
    language: str, name: str, first: str, body: str
) -> None:
    text = MODULES[language]
    one = next(one for one in outlined(text, language).definitions if one.name == name)
    assert one.body is not None
    assert text[one.start :].startswith(first)
    assert text[one.body :].startswith(body)


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("python", ["LIMIT", "# One", "    @prop", "if __name__", "from .she", "_CACHE"]),
        ("java", ["import static", "/**", "    // Adds", "record Loan"]),
        ("rust", ["use crate", "/// One", "    // Adds", "macro_rules"]),
        ("c", ["#include <", "/* A book", "// Counts"]),
    ],
)
def test_cut_points(language: str, expected: list[str]) -> None:
    """Definitions at all depths and top-level statements, with the comments above them."""
    text = MODULES[language]
    points = cut_points(outlined(text, language), text)
    assert list(points) == sorted(set(points))
    lines = [text[point:].partition("\n")[0] for point in points]
    for start in expected:
        assert any(line.startswith(start) for line in lines), start
    for inner in (
        "class Reader(",
        "    if",
        "        return",
        "#[derive",
        " */",
        "}",
        "    int da",
    ):
        assert not any(line.startswith(inner) for line in lines), inner


SCOPES = [
    ("python", "class A:\n    def f(self):\n        return ¦1\n", "A f"),
    ("python", "class A:\n    def f(self):\n        x = 1\n        ¦", "A f"),
    ("python", "class A:\n    def f(self):\n        x = 1\n\n    ¦", "A"),
    ("python", "class A:\n    def f(self):\n        x = 1\n\n¦", ""),
    (
        "python",
        "class A:\n    def f(self):\n        x = 1\n\n        ¦\n\ndef g():\n    pass\n",
        "A f",
    ),
    (
        "python",
        "class A:\n    def f(self):\n        x = (1,¦\n\n    def g(self):\n        pass\n",
        "A f",
    ),
    ("python", "class A:\n    def f(self):\n        return foo(¦", "A f"),
    ("python", "class A:\n    def f(self):\n        ¦", "A f"),
    ("python", "class A:\n    def f(self, x=(1, 2)):\n        if x:\n            ¦", "A f"),
    ("python", "def f():\n    '''\nclass B:\n    '''\n    x = [¦\n", "f"),
    ("python", "@deco\nasync def f(\n    a: dict[str, int],\n) -> None:\n    while a.b(¦\n", "f"),
    ("python", "¦def f(): pass\n", "f"),
    ("python", "x = 1\n¦", ""),
    ("javascript", "class A {\n  f() {\n    return ¦1;\n  }\n}\n", "A f"),
    ("javascript", "class A {\n  f() {\n    const x = ¦\n", "A f"),
    ("javascript", "export const f = async (a) => {\n  if (a) {\n    ¦", "f"),
    ("typescript", "class A<T> {\n  f(a: T): void {\n    this.g(a, ¦\n", "A f"),
    ("java", "class A {\n    int f() {\n        return ¦\n", "A f"),
    ("java", "class A {\n    int f() {\n        try {\n            x(¦\n", "A f"),
    ("go", "func f() {\n\tfor _, a := range b {\n\t\t¦", "f"),
    ("c", "static int f(int a)\n{\n    if (a) {\n        return ¦", "f"),
    ("cpp", "namespace a {\nclass B {\n  void f() {\n    ¦", "B f"),
    ("rust", "impl A {\n    fn f(&self) {\n        let x = ¦", "A f"),
    ("rust", "impl A {\n    fn f(&self) {\n        let x = 1;¦\n    }\n}\n", "A f"),
]


@pytest.mark.parametrize(("language", "code", "expected"), SCOPES)
def test_scopes(language: str, code: str, expected: str) -> None:
    """What the cursor is in, also where the code stops there."""
    assert scopes(code, language) == expected


def test_an_error_hides_no_other_definition() -> None:
    """A statement that is not finished costs nobody their place."""
    text = MODULES["python"]
    broken = text.replace("return count < LIMIT", "return count < (", 1)
    names = [(one.name, one.kind, one.depth) for one in outlined(text, "python").definitions]
    found = outlined(broken, "python")
    assert found.broken
    assert [(one.name, one.kind, one.depth) for one in found.definitions] == names


@pytest.mark.parametrize(
    ("language", "statement", "module", "names"),
    [
        ("python", "from . import a, b as c\n", ".", "a b"),
        ("python", "from ...a.b import (\n    c,\n    d as e,\n)\n", "...a.b", "c d"),
        ("python", "import a.b.c as d\n", "a.b.c", ""),
        ("python", "if x:\n    from a import \\\n        b\n", "a", "b"),
        ("java", "import static a.b.C.*;\n", "a.b.C", "*"),
        ("java", "import a . b . C ;\n", "a.b.C", "C"),
        ("javascript", "import a, * as b from 'c';\n", "c", "a *"),
        ("javascript", "import {\n  a, // first\n  b as c,\n} from './d';\n", "./d", "a b"),
        ("javascript", "const a = require('../b');\n", "../b", ""),
        ("javascript", "require('./side');\n", "./side", ""),
        ("javascript", "const a = await import('./b.js');\n", "./b.js", ""),
        ("typescript", "import type { A } from './a';\n", "./a", "A"),
        ("typescript", "export { a as b } from './c';\n", "./c", "a"),
        ("go", 'import "fmt"\n', "fmt", ""),
        ("go", 'import . "a/b"\n', "a/b", ""),
        ("c", "#include <sys/types.h>\n", "sys/types.h", ""),
        ("rust", "use a::b as c;\n", "a::b", "b"),
        ("rust", "pub use a::{b, c as d};\n", "a", "b c"),
        ("rust", "pub(crate) mod a;\n", "self::a", ""),
    ],
)
def test_an_import(language: str, statement: str, module: str, names: str) -> None:
    found = outlined(statement, language).imports
    assert [(one.module, " ".join(one.names)) for one in found] == [(module, names)]


def test_not_every_call_with_a_name_imports() -> None:
    assert not outlined("const a = load('../b');\nlog('c');\n", "javascript").imports


def test_other_languages_have_no_outline() -> None:
    assert outline("x = 1", "cobol") is None


@settings(max_examples=80, deadline=None)
@given(data=st.data(), language=st.sampled_from(sorted(GRAMMARS)))
def test_any_text_has_an_outline(data: st.DataObject, language: str) -> None:
    """Of code cut and sown with anything, nothing lies outside the text, and nothing raises."""
    whole = MODULES[language]
    start = data.draw(st.integers(0, len(whole)))
    text = whole[: data.draw(st.integers(0, len(whole)))] + data.draw(st.text(max_size=20))
    text += whole[start:]
    found = outline(text, language)
    if found is None:
        return
    for one in found.definitions:
        assert 0 <= one.start < one.end <= len(text)
        assert one.body is None or one.start <= one.body <= one.end
        assert one.head is None or one.start <= one.head < one.end
        assert signature_of(text, one)
    for imported in found.imports:
        assert 0 <= imported.start < imported.end <= len(text)
    assert all(0 <= point < len(text) for point in cut_points(found, text))
    inner = scopes_at(found, data.draw(st.integers(0, len(text))))
    assert [one.start for one in inner] == sorted(one.start for one in inner)
