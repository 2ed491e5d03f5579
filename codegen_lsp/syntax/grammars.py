"""Grammars: which language is parsed by which package, and parsing that always comes back.

Knows tree-sitter and the grammar packages; nobody else does beside the modules of this folder.
Does not know what a tree means. A package that cannot be imported is a language without a grammar.

Trees are made of text in which every character is one byte, so that tree-sitter's byte offsets are
our code-point offsets: what is not ASCII is replaced by a character of the same kind. Names are
read from the text, never from the tree.
"""

from __future__ import annotations

import importlib
import logging
import re
import threading
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from codegen_lsp.syntax import patience
from codegen_lsp.syntax.reuse import Parsed, Recent

if TYPE_CHECKING:
    from tree_sitter import Language, Node, Parser, Point, Query, Tree

__all__ = [
    "BRACKETS",
    "GRAMMARS",
    "Parsed",
    "captures",
    "grammar_of",
    "has_grammar",
    "matches",
    "parse",
]

BRACKETS: Final = "brackets"
"""As what the brackets of a tree are kept in :attr:`Parsed.found`."""

LONGEST: Final = 1_500_000
"""Characters of a text that is parsed; a longer one is data."""

_log: Final = logging.getLogger(__name__)


class _Grammar(NamedTuple):
    module: str
    function: str = "language"


GRAMMARS: Final[Mapping[str, _Grammar]] = {
    "c": _Grammar("tree_sitter_c"),
    "cpp": _Grammar("tree_sitter_cpp"),
    "go": _Grammar("tree_sitter_go"),
    "java": _Grammar("tree_sitter_java"),
    "javascript": _Grammar("tree_sitter_javascript"),
    "javascriptreact": _Grammar("tree_sitter_javascript"),
    "python": _Grammar("tree_sitter_python"),
    "rust": _Grammar("tree_sitter_rust"),
    "typescript": _Grammar("tree_sitter_typescript", "language_typescript"),
    "typescriptreact": _Grammar("tree_sitter_typescript", "language_tsx"),
}
"""LSP language identifier to the grammar package and the function that returns the language."""

_CPP: Final = re.compile(
    r"^[ \t]*(?:template\s*<|namespace\b|class\s+\w|(?:public|private|protected)\s*:|using\s+\w)"
    r"|\w::~?\w",
    re.MULTILINE,
)
"""What no C has: headers of both languages end in ``.h``."""

_CPP_WORDS: Final = frozenset(
    {"template", "namespace", "class", "public", "private", "protected", "using", "::"}
)
"""One of them stands wherever that is found; looking for a word takes no time."""

# What parsing may cost. tree-sitter's recovery from errors takes time and memory that grow with
# the square of the text where it is no code at all: twenty seconds and gigabytes for some 20 KB.
_STEPS: Final = (1_000, 50)
"""Most progress reports of a parse: this many, and one per so many characters (code takes one per
200, and one takes about 30 microseconds)."""

_DENSE: Final = (1_000, 4)
"""From so many characters on, a text of which one in so many begins a run of an operator sign is
no code."""

_SIGNS: Final = "<>=&|!?+@^%~`*-"
_SIGN_RUNS: Final = re.compile(r"([<>=&|!?+@^%~`*-])\1*")
_NESTED: Final = re.compile(r"<(?:[^<>;(){}]*<){400}")
"""More type arguments within each other than anybody writes."""


class _Plain(dict[int, str]):
    """What stands for a character that is not ASCII, one character each; learns as it is asked."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if code in range(1, 128):
            like = character
        elif ("a" + character).isidentifier():
            like = "x"
        else:
            like = " " if character.isspace() or character == "\ufeff" else "\x7f"
        self[code] = like
        return like


_PLAIN: Final = _Plain()


def has_grammar(language_id: str) -> bool:
    """Whether texts of a language can be parsed here; loads its grammar."""
    return _language(language_id) is not None


def grammar_of(text: str, language_id: str) -> str:
    """Which grammar reads *text*: that of its language, but C++ for what is no C."""
    if language_id != "c" or not any(word in text for word in _CPP_WORDS):
        return language_id
    return "cpp" if _CPP.search(text) else "c"


def parse(text: str, language_id: str) -> Parsed | None:
    """The syntax tree of *text*.

    ``None`` where there is no grammar, and for a text that is no code: parsing takes about 100 ms
    per megabyte of code, and is given up where it takes many times that. Where a text like this one
    was parsed before, only what differs is.

    :raises GivenUp: nobody waits for the result any more (:mod:`patience`).
    """
    patience.check()
    grammar = grammar_of(text, language_id)
    recent = _PARSERS.recent
    known = recent.same(text, grammar)
    if known is not None:
        return known
    parser = _parser(grammar)
    if parser is None or _hopeless(text):
        return None
    source = _bytes(text)
    base = recent.base(source, grammar)
    tree = _tree(parser, source, None if base is None else base.tree)
    if tree is None:
        return None
    earlier = None if base is None else base.earlier(tree, BRACKETS)
    parsed = Parsed(text, grammar, tree.root_node, earlier)
    recent.remember(source, tree, parsed, base)
    return parsed


def _tree(parser: Parser, source: bytes, base: Tree | None) -> Tree | None:
    """The tree of *source*; ``None`` where it is given up.

    :raises GivenUp: nobody waits for the result any more.
    """
    left = _STEPS[0] + len(source) // _STEPS[1]

    # py-tree-sitter (0.26) never frees what is returned here: so it is always the same object.
    chunk = _PARSERS.chunk

    def read(offset: int, _: Point) -> bytearray:
        chunk[:] = source[offset : offset + _CHUNK]
        return chunk

    def give_up(_offset: int, _has_error: bool) -> bool:
        nonlocal left
        left -= 1
        return left < 0 or patience.given_up()

    try:
        if base is None:  # which is not the same as to say so
            return parser.parse(read, progress_callback=give_up)
        return parser.parse(read, base, progress_callback=give_up)
    except ValueError:  # given up
        parser.reset()
        patience.check()
        return None


def captures(
    parsed: Parsed,
    pattern: str,
    node: Node | None = None,
    *,
    start: int = 0,
    end: int | None = None,
) -> dict[str, list[Node]]:
    """The nodes that a query names, by name; in the whole tree or in *node*.

    Only those that end behind *start* and begin before *end*.
    """
    from tree_sitter import QueryCursor

    cursor = QueryCursor(_query(parsed.grammar, pattern))
    if start or end is not None:
        cursor.set_byte_range(start, len(parsed.text) + 1 if end is None else end)
    return cursor.captures(parsed.root if node is None else node)


def matches(parsed: Parsed, pattern: str) -> list[tuple[dict[str, str | None], dict[str, Node]]]:
    """What a query finds: what its patterns set (``#set!``), and the first node of each name."""
    from tree_sitter import QueryCursor

    query = _query(parsed.grammar, pattern)
    settings = _settings(parsed.grammar, pattern)
    return [
        (settings[index], {name: nodes[0] for name, nodes in found.items()})
        for index, found in QueryCursor(query).matches(parsed.root)
    ]


def _bytes(text: str) -> bytes:
    if not text.isascii() or "\0" in text:
        text = text.translate(_PLAIN)
    return text.encode("ascii")


def _hopeless(text: str) -> bool:
    least, share = _DENSE
    if len(text) > LONGEST:
        return True
    if len(text) < least:
        return False
    if sum(map(text.count, _SIGNS)) > len(text) // share:
        runs = sum(1 for _ in _SIGN_RUNS.finditer(text))
        if runs > len(text) // share:
            return True
    return _NESTED.search(text) is not None


@cache
def _language(grammar: str) -> Language | None:
    """The grammar of a language, loaded once."""
    if grammar not in GRAMMARS:
        return None
    module, function = GRAMMARS[grammar]
    try:
        from tree_sitter import Language

        return Language(getattr(importlib.import_module(module), function)())
    except (ImportError, AttributeError, OSError, ValueError) as error:
        _log.warning("No grammar for %s: %s.", grammar, error)
        return None


@cache
def _query(grammar: str, pattern: str) -> Query:
    from tree_sitter import Query

    language = _language(grammar)
    assert language is not None, "what has been parsed has a grammar"  # noqa: S101
    return Query(language, pattern)


@cache
def _settings(grammar: str, pattern: str) -> tuple[dict[str, str | None], ...]:
    query = _query(grammar, pattern)
    return tuple(query.pattern_settings(index) for index in range(query.pattern_count))


_CHUNK: Final = 65_536
"""Bytes that a parser is given at once."""


class _Parsers(threading.local):
    """Every thread has its own: a parser has a state."""

    def __init__(self) -> None:
        self.by_grammar: dict[str, Parser] = {}
        self.chunk = bytearray()
        """What a parser was last given of its text."""
        self.recent = Recent()


_PARSERS: Final = _Parsers()


def _parser(grammar: str) -> Parser | None:
    parser = _PARSERS.by_grammar.get(grammar)
    if parser is None and (language := _language(grammar)) is not None:
        from tree_sitter import Parser

        parser = _PARSERS.by_grammar[grammar] = Parser(language)
    return parser
