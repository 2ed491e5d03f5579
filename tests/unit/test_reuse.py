"""A tree that is made from an earlier one is the tree that the text has without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("tree_sitter", reason="syntax trees are optional")

from tree_sitter import Node, TreeCursor

from codegen_lsp.syntax import breaks, grammars, reuse
from codegen_lsp.syntax.brackets import Bracket, brackets
from codegen_lsp.syntax.queries import BRACKETS, FAULTS

SAMPLES = {
    "python": '''import os

class Shelf(Base):
    """What stands where."""

    def __init__(self, rows: list[str]) -> None:
        self.rows = {name: [] for name in rows}
        self.label = f"{len(rows)} rows {{}}"

    def put(self, row, *books):
        if row not in self.rows:
            raise KeyError(row)
        for book in books:
            self.rows[row].append((book, len(self.rows[row])))
        return [b for b, _ in self.rows[row] if b]


def main():
    shelf = Shelf(["a", "b"])
    with open(os.devnull) as out:
        print(shelf.put("a", "x", "y"), file=out)
''',
    "typescript": """import { Reader } from "./reader";

export class Shelf<T extends Named> implements Iterable<T> {
  private rows: Map<string, T[]> = new Map();

  put(row: string, ...books: T[]): number {
    const found = this.rows.get(row) ?? [];
    if (found.length > 9) {
      throw new Error(`${row} is full: ${found.map((b) => b.name)}`);
    }
    for (const [key, value] of this.rows) {
      console.log({ key, size: value.length });
    }
    return this.rows.set(row, [...found, ...books]).size;
  }
}
""",
    "c": """#include <stdio.h>

struct shelf {
    int size;
    char *names[8];
};

static int put(struct shelf *to, const char *name)
{
    if (to->size >= 8) {
        return -1;
    }
    for (int at = 0; at < to->size; at++) {
        printf("%s (%d)\\n", to->names[at], at);
    }
    to->names[to->size++] = (char *) name;
    return to->size;
}
""",
    "rust": """use std::collections::HashMap;

pub struct Shelf<'a> {
    rows: HashMap<&'a str, Vec<String>>,
}

impl<'a> Shelf<'a> {
    pub fn put(&mut self, row: &'a str, book: String) -> Option<usize> {
        let found = self.rows.entry(row).or_default();
        match found.len() {
            0..=8 => found.push(book),
            _ => return None,
        }
        Some(found.iter().filter(|b| !b.is_empty()).count())
    }
}
""",
}

TYPED = (
    *("(", ")", "[", "]", "{", "}", '"', "'", "`", "${", ";", ":", ",", "\n", "\n    ", " ", "=>"),
    *(
        "x",
        "zq",
        "self.",
        "return ",
        "if (a) {",
        "def f(x):",
        "/*",
        "*/",
        "//",
        "#",
        "é",
        "漢",
        "\t",
    ),
)


def nodes(cursor: TreeCursor) -> Iterator[tuple[object, ...]]:
    """Everything that is known of every node, in order."""
    while True:
        node = cursor.node
        assert node is not None
        places = (node.start_byte, node.end_byte, node.start_point, node.end_point)
        yield node.type, places, cursor.field_name, node.is_missing, node.is_error, node.has_error
        if cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def all_of(root: Node) -> list[tuple[object, ...]]:
    return list(nodes(root.walk()))


def with_recent(recent: reuse.Recent, text: str, language: str) -> grammars.Parsed:
    """*text* parsed by who has seen what *recent* holds."""
    before, grammars._PARSERS.recent = grammars._PARSERS.recent, recent
    try:
        parsed = grammars.parse(text, language)
    finally:
        grammars._PARSERS.recent = before
    assert parsed is not None
    return parsed


def by_query(parsed: grammars.Parsed) -> list[Bracket]:
    """The brackets of a tree, looked for in all of it."""
    found = grammars.captures(parsed, BRACKETS[parsed.grammar])
    return sorted(
        Bracket(node.end_byte - 1, parsed.text[node.end_byte - 1], kind == "open")
        for kind, some in found.items()
        for node in some
        if node.end_byte > node.start_byte
    )


def faults_by_query(parsed: grammars.Parsed) -> list[tuple[int, int]]:
    found = grammars.captures(parsed, FAULTS)
    spans = [(node.start_byte, node.end_byte) for some in found.values() for node in some]
    return sorted((start, max(stop, start + 1)) for start, stop in spans)


@st.composite
def edited(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A language, and texts of which each is the one before but for an edit."""
    language = draw(st.sampled_from(sorted(SAMPLES)))
    text = SAMPLES[language]
    texts = [text]
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        length = draw(st.sampled_from((0, 0, 0, 1, 2, 30, 400)))
        new = "".join(draw(st.lists(st.sampled_from(TYPED), max_size=3)))
        text = text[:start] + new + text[start + length :]
        texts.append(text)
        if draw(st.booleans()):  # as a cursor that waits for the end of its line
            texts.append(text[:start] + new + draw(st.sampled_from(("", "zq", "zq)}\n", ")}"))))
    return language, texts


RUST, C = SAMPLES["rust"], SAMPLES["c"]
OPEN_STRING = RUST.replace("collections", 'c"ollections')


@given(edited())
@example(("rust", [RUST, OPEN_STRING, OPEN_STRING.replace("found = self", 'found =" self')]))
@example(("c", [C, C.replace("int size;\n    char *names[8];\n};\n", "in\n")]))
@settings(max_examples=150, deadline=None)
def test_a_tree_from_an_earlier_one_is_the_tree(case: tuple[str, list[str]]) -> None:
    """Whatever was parsed before: every node, every bracket and every fault is the same."""
    language, texts = case
    recent = reuse.Recent()
    for text in texts:
        parsed = with_recent(recent, text, language)
        fresh = with_recent(reuse.Recent(), text, language)
        assert all_of(parsed.root) == all_of(fresh.root)
        assert brackets(parsed) == by_query(fresh)
        faults, start = faults_by_query(fresh), len(text) * 3 // 4
        assert breaks._faults(parsed) == faults
        for place in (start, *(begin for begin, _ in faults), *(stop for _, stop in faults)):
            behind = [span for span in faults if span[1] > place]
            assert breaks._faults(parsed, place) == behind


@pytest.mark.parametrize("language", sorted(SAMPLES))
def test_typing_uses_the_earlier_tree(language: str) -> None:
    """From one key to the next there is an earlier tree, and most of what was found in it holds."""
    text, recent = SAMPLES[language], reuse.Recent()
    brackets(with_recent(recent, text, language))
    end = len(text) * 3 // 4
    parsed = with_recent(recent, text[:end] + "x" + text[end:], language)
    assert parsed.earlier is not None
    assert parsed.earlier.until > 50
    assert parsed.earlier.found


def test_the_same_text_is_not_parsed_again() -> None:
    """One text, one tree; in another language it is another."""
    recent, text = reuse.Recent(), "f(x)\n"
    parsed = with_recent(recent, text, "python")
    assert with_recent(recent, text, "python") is parsed
    assert with_recent(recent, text, "javascript") is not parsed


def test_another_text_has_no_earlier_tree() -> None:
    """Texts that have little in common are parsed apart, and long ones are not kept."""
    recent = reuse.Recent()
    with_recent(recent, SAMPLES["python"], "python")
    assert with_recent(recent, "def other():\n    pass\n", "python").earlier is None
    long = "x = 1\n" * (reuse.LONGEST // 6 + 1)
    with_recent(recent, long, "python")
    assert with_recent(recent, f"{long}y", "python").earlier is None


def test_text_that_is_not_ascii_is_told_apart() -> None:
    """Two texts that look alike to the parser are two texts to those who read names in it."""
    recent = reuse.Recent()
    with_recent(recent, "né = 1\n", "python")
    assert with_recent(recent, "nä = 1\n", "python").text == "nä = 1\n"


def test_only_so_many_trees_are_kept() -> None:
    """Who has parsed many texts does not hold on to the first."""
    recent = reuse.Recent()
    first = with_recent(recent, "a0\n", "python")
    for number in range(reuse.REMEMBERED):
        with_recent(recent, f"b{number}\n", "python")
    assert with_recent(recent, "a0\n", "python") is not first
