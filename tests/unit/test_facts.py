"""What is kept of a file: words, definitions, imports."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from codegen_lsp.context import facts as module
from codegen_lsp.context.facts import FileFacts, Symbol, facts_of
from codegen_lsp.context.files import Stamp
from codegen_lsp.context.words import word_ids

STAMP = Stamp(1234, 1_700_000_000_000_000_000)

PYTHON = '''\
import json
from ..store.rows import Row, Table
from . import paths
import json

LIMIT = 10


@cached
def load(path):
    """Load it."""
    return json.loads(path.read_text())


class Cache:
    def get(self, key):
        return self._rows[key]
'''


def test_facts_of_a_python_file() -> None:
    """Words are hashed, definitions have whole lines, an import counts once."""
    pytest.importorskip("tree_sitter_python", reason="needs the grammar")
    facts = facts_of("app/cache.py", STAMP, PYTHON)
    assert facts.path == "app/cache.py"
    assert facts.language_id == "python"
    assert facts.stamp == STAMP
    assert np.frombuffer(facts.words, np.uint32).tolist() == word_ids(PYTHON).tolist()
    assert ("load", "function", 8, 12, 0) in map(as_row, facts.symbols)
    assert ("Cache", "class", 14, 17, 0) in map(as_row, facts.symbols)
    assert ("get", "method", 15, 17, 1) in map(as_row, facts.symbols)
    assert list(facts.imports).count("json") == 1
    assert "..store.rows" in facts.imports


def as_row(symbol: Symbol) -> tuple[str, str, int, int, int]:
    return symbol.name, symbol.kind, symbol.start_line, symbol.end_line, symbol.depth


PATTERNS = {
    "store.rb": (
        "module Store\n  class Rows\n    def self.load(path)\n    end\n\n    def empty?\n    end\n",
        ["class Store", "class Rows", "method load", "method empty?"],
    ),
    "User.php": (
        "<?php\nabstract class User {\n    public static function find($id) {\n    }\n}\n"
        "function helper(&$x) {}\n",
        ["class User", "method find", "function helper"],
    ),
    "Shape.kt": (
        "data class Shape(val n: Int)\n\nobject Shapes {\n    suspend fun <T> area(x: T) = 1\n}\n"
        "fun Shape.scaled(by: Int) = this\n",
        ["class Shape", "class Shapes", "method area", "function scaled"],
    ),
    "View.swift": (
        "public struct View {\n    private func draw(in r: Rect) {\n    }\n}\nprotocol Drawn {\n",
        ["class View", "method draw", "class Drawn"],
    ),
    "Jobs.scala": (
        "case class Job(id: Int)\nobject Jobs {\n  override def run(job: Job): Unit = ???\n}\n",
        ["class Job", "class Jobs", "method run"],
    ),
    "Basket.cs": (
        "namespace Shop;\npublic sealed class Basket : IBasket\n{\n"
        "    public async Task<int> CountAsync(string name)\n    {\n"
        "        return Compute(name);\n    }\n"
        "    private int Twice(int n) => 2 * n;\n}\n",
        ["class Basket", "method CountAsync", "method Twice"],
    ),
    "rows.lua": (
        "local function trim(s)\nend\nfunction Rows.load(path)\nend\nfunction Rows:close()\nend\n",
        ["function trim", "function load", "function close"],
    ),
    "build.sh": (
        "#!/bin/sh\nset -eu\nsay() {\n  echo\n}\nfunction fetch-all() {\n}\nsay hello\n",
        ["function say", "function fetch-all"],
    ),
    "model.R": ("fit.rows <- function(x, y) {\n  x\n}\n", ["function rows"]),
    "tables.sql": (
        'CREATE TABLE IF NOT EXISTS "orders" (id int);\ncreate or replace function total() as $$\n',
        ["class orders", "function total"],
    ),
    "card.dart": (
        "abstract class Card extends Widget {\n  Widget build(BuildContext context) {\n  }\n}\n",
        ["class Card", "method build"],
    ),
    "notes.hs": ("main = print 1\n", []),
    "unknown": ("def no_language(): pass\n", []),
}


@pytest.mark.parametrize("path", PATTERNS)
def test_languages_without_a_grammar_have_patterns(path: str) -> None:
    """Where lines begin definitions, their names are known, and roughly where they end."""
    text, expected = PATTERNS[path]
    facts = facts_of(path, STAMP, text)
    assert [f"{symbol.kind} {symbol.name}" for symbol in facts.symbols] == expected
    lines = text.count("\n") + 1
    for symbol in facts.symbols:
        assert 0 <= symbol.start_line < symbol.end_line <= lines
        assert symbol.name in text.split("\n")[symbol.start_line]


def test_a_guessed_definition_ends_before_the_next_or_soon() -> None:
    """Forty lines are enough of what nobody knows the end of."""
    text = "def first\n" + "  step\n" * 100 + "end\ndef second\nend\ndef third\nend\n"
    places = [(s.start_line, s.end_line) for s in facts_of("a.rb", STAMP, text).symbols]
    assert places == [(0, 40), (102, 104), (104, 107)]


def test_of_too_many_definitions_the_outer_ones_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generated file must not fill the index; what others can name stays."""
    monkeypatch.setattr(module, "MOST_SYMBOLS", 3)
    text = "class One\n  def a\n  end\n  def b\n  end\nend\nclass Two\nend\n"
    assert [s.name for s in facts_of("a.rb", STAMP, text).symbols] == ["One", "Two"]
    text = "".join(f"class C{n}\nend\n" for n in range(9))
    assert [s.name for s in facts_of("a.rb", STAMP, text).symbols] == ["C0", "C1", "C2"]


@pytest.mark.parametrize("text", ["", "\n", "def", "def \n", "class é:", "def a(:\n" * 50, "\0"])
@pytest.mark.parametrize("path", ["a.py", "a.rb", "a.cs", "a.go", "a.php", "a.txt", "a"])
def test_any_text_has_facts(path: str, text: str) -> None:
    """Broken, empty and strange texts are read like others."""
    facts = facts_of(path, STAMP, text)
    assert all(symbol.name and symbol.start_line < symbol.end_line for symbol in facts.symbols)


WALLS = ["public\n", "static ", "a>", "a a(", "x ", "f(", "\n", " ", "}", "function f(", "def "]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", WALLS)
def test_no_text_makes_a_pattern_slow(piece: str) -> None:
    """What fits a pattern nearly everywhere, as long as a file may be, takes seconds at most."""
    for path in ("a.cs", "a.dart", "a.kt", "a.rb", "a.sh", "a.sql", "a.swift"):
        facts_of(path, STAMP, piece * (200_000 // len(piece)))


def test_facts_survive_the_way_between_processes() -> None:
    """What the worker sends is what the server gets."""
    facts = facts_of("app/cache.py", STAMP, PYTHON)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(facts), type=FileFacts) == facts
