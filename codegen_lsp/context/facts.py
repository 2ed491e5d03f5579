"""What the index keeps of a file: its words, what it defines, what it imports.

Knows how facts are got from a text, by a grammar where there is one, else by a table of patterns
for one line. Does not read files; keeps no text.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from codegen_lsp.context.files import Stamp
from codegen_lsp.context.words import packed_ids
from codegen_lsp.syntax.languages import language_of
from codegen_lsp.syntax.outline import Outline, outline

__all__ = ["FileFacts", "Symbol", "facts_of"]

MOST_SYMBOLS: Final = 2_000
"""Definitions kept of one file; of more, the outermost ones."""

MOST_IMPORTS: Final = 500

_LONGEST_NAME: Final = 200
"""Characters; a longer "name" is a mistake of a pattern or of a generated file."""

_GUESSED_LINES: Final = 40
"""Where only beginnings are known, a definition is taken to end before the next one, at the
latest after so many lines."""


class Symbol(msgspec.Struct, frozen=True, array_like=True):
    """Something a file defines."""

    name: str
    kind: str
    """``function``, ``method``, ``class``, ``variable`` or ``type``."""

    start_line: int
    """0-based; the first line of its decorators or comment."""

    end_line: int
    """Exclusive."""

    depth: int
    """How many definitions it is inside of."""


class FileFacts(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one version of one file."""

    path: str
    """Relative to the workspace folder, with ``/``."""

    language_id: str

    size: int
    """Bytes."""

    mtime_ns: int

    words: bytes
    """Ids of the distinct words, ascending: an array of this machine's uint32."""

    symbols: tuple[Symbol, ...] = ()
    """In the order of the file."""

    imports: tuple[str, ...] = ()
    """Modules as they are written, distinct, in the order of the file."""

    @property
    def stamp(self) -> Stamp:
        """What the file looked like before it was read."""
        return Stamp(self.size, self.mtime_ns)


def facts_of(path: str, stamp: Stamp, text: str) -> FileFacts:
    r"""The facts of the file at *path* (relative), whose *text* has ``\n`` as its only line end.

    *stamp* is the file's from before it was read, so that a change while it was read shows.
    """
    language = language_of(path)
    parsed = outline(text, language)
    symbols, imports = _by_pattern(text, language) if parsed is None else _by_grammar(text, parsed)
    return FileFacts(path, language, stamp.size, stamp.mtime_ns, packed_ids(text), symbols, imports)


def _by_grammar(text: str, parsed: Outline) -> tuple[tuple[Symbol, ...], tuple[str, ...]]:
    starts = _line_starts(text)
    symbols = [
        Symbol(
            found.name,
            found.kind,
            bisect_right(starts, found.start) - 1,
            bisect_left(starts, found.end),
            found.depth,
        )
        for found in parsed.definitions
        if found.name and len(found.name) <= _LONGEST_NAME
    ]
    modules = dict.fromkeys(found.module for found in parsed.imports if found.module)
    return _fewer(symbols), tuple(modules)[:MOST_IMPORTS]


def _fewer(symbols: list[Symbol]) -> tuple[Symbol, ...]:
    """At most :data:`MOST_SYMBOLS`, inner ones left out first."""
    while len(symbols) > MOST_SYMBOLS:
        deepest = max(symbol.depth for symbol in symbols)
        if not deepest:
            return tuple(symbols[:MOST_SYMBOLS])
        symbols = [symbol for symbol in symbols if symbol.depth < deepest]
    return tuple(symbols)


def _line_starts(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer("\n", text))]


# Languages without a grammar: what begins a definition, at the beginning of a line. ---------------

# Bounded, like _CALLABLE below, because where it does not match it is tried at every length.
_MODIFIERS: Final = (
    r"(?:(?:public|private|protected|internal|static|abstract|final|override|open|sealed|data|"
    r"suspend|inline|async|partial|virtual|readonly|implicit|lazy|mutating|fileprivate|case|"
    r"unsafe|extern|new|actual|expect|companion|export|default)\s{1,100}){0,8}"
)
_TYPES: Final = r"class|interface|trait|object|struct|enum|record|protocol|extension|module"


def _pattern(functions: str, types: str = _TYPES) -> re.Pattern[str]:
    rows = [rf"(?P<class>{types})\s+(?P<c>[^\W\d][\w.:]*)"] if types else []
    rows.append(rf"(?:{functions})")
    return re.compile(rf"^(?P<indent>[ \t]*){_MODIFIERS}(?:{'|'.join(rows)})", re.MULTILINE)


_FUN: Final = r"(?:fun|func)\s+(?:<[^>\n]*>\s*)?(?:[\w<>?]+\.)?(?P<f>[^\W\d]\w*)\s*[(<]"
_CALLABLE: Final = (
    r"[\w<>\[\],.?]{1,200}(?:[ \t]+|(?<=>))(?P<f>[^\W\d]\w{0,200})\s*"
    r"\([^;{}]{0,500}\)\s*(?:\{|=>|$)"
)

_PATTERNS: Final[Mapping[str, re.Pattern[str]]] = {
    "csharp": _pattern(rf"(?!return|else|throw|await|yield|using|namespace){_CALLABLE}"),
    "dart": _pattern(rf"(?!return|else|throw|await|yield|import){_CALLABLE}", "class|mixin|enum"),
    "kotlin": _pattern(_FUN),
    "lua": _pattern(r"(?:local\s+)?function\s+(?P<f>[^\W\d][\w.:]*)\s*\(", ""),
    "php": _pattern(r"function\s+&?(?P<f>[^\W\d]\w*)\s*\("),
    "r": _pattern(r"(?P<f>[^\W\d][\w.]*)\s*(?:<-|=)\s*function\s*\(", ""),
    "ruby": _pattern(r"def\s+(?:self\.)?(?P<f>[^\W\d]\w*[?!=]?)", "class|module"),
    "scala": _pattern(r"def\s+(?P<f>[^\W\d]\w*)"),
    "shellscript": _pattern(r"(?:function\s+)?(?P<f>[^\W\d][\w-]*)\s*\(\s*\)\s*\{?", ""),
    "sql": re.compile(
        r"^(?P<indent>[ \t]*)create\s+(?:or\s+replace\s+)?(?:temp(?:orary)?\s+)?"
        r"(?:(?P<class>table|view|type)|function|procedure)\s+(?:if\s+not\s+exists\s+)?"
        r"[\"`\[]?(?P<f>[^\W\d][\w.]*)",
        re.MULTILINE | re.IGNORECASE,
    ),
    "swift": _pattern(_FUN, "class|struct|enum|protocol|extension|actor"),
}
"""Language to what begins a definition; in group ``c`` or ``f`` is its name."""


def _by_pattern(text: str, language: str) -> tuple[tuple[Symbol, ...], tuple[str, ...]]:
    pattern = _PATTERNS.get(language)
    if pattern is None:
        return (), ()
    starts = _line_starts(text)
    found = [(bisect_right(starts, match.start()) - 1, match) for match in pattern.finditer(text)]
    following = [line for line, _ in found[1:]] + [len(starts)]
    symbols = [
        symbol
        for (line, match), end in zip(found, following, strict=False)
        for symbol in _guessed(match, line, min(max(end, line + 1), line + _GUESSED_LINES))
    ]
    return _fewer(symbols), ()


def _guessed(match: re.Match[str], line: int, end: int) -> Iterator[Symbol]:
    groups = match.groupdict()
    written: str = groups.get("c") or groups["f"]
    name = re.split(r"[.:]+", written)[-1]
    depth = min(len(groups["indent"].expandtabs(4)) // 2, 1)
    kind = "class" if groups.get("class") else "method" if depth else "function"
    if name and len(name) <= _LONGEST_NAME:
        yield Symbol(name, kind, line, end, depth)
