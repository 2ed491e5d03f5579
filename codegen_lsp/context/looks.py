"""What a text looks like where it is not parsed: lines of imports, lines around, beginnings.

Knows patterns and indentation. May be wrong where a string holds what looks like code; a prompt
that repeats such a line is no worse than one that lacks it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Final

from codegen_lsp.context.window import plain
from codegen_lsp.types import Kept

__all__ = ["imports_like", "scopes_like", "starts_like"]

IMPORTS_WITHIN: Final = 32_000
"""Imports are looked for in so much of a text's beginning."""

SCOPES_WITHIN: Final = 64_000
"""Scopes are looked for in so much of the text before the cursor."""

_JAVA: Final = r"import\s[^;\n]*;"
_SCRIPT: Final = (
    r"import\s[^;'\"(=]*['\"][^'\"\n]*['\"];?"
    r"|(?:const|let|var)\s[^=;]*=\s*require\([^)\n]*\);?"
)
_C: Final = r"[ \t]*#[ \t]*include\b[^\n]*"
_LINE: Final = r"import\s[^\n]*"

_IMPORTS: Final[Mapping[str, str]] = {
    "c": _C,
    "cpp": rf"{_C}|(?:using|import)\s[^;\n(]*;",
    "csharp": r"(?:global\s+)?using\s[^;\n(]*;",
    "css": r"@(?:import|use)\b[^;\n]*;",
    "dart": r"(?:import|export)\s[^;\n]*;",
    "go": r"import\s*\([^)]*\)|import\s[^\n]*",
    "haskell": _LINE,
    "java": _JAVA,
    "javascript": _SCRIPT,
    "javascriptreact": _SCRIPT,
    "kotlin": _LINE,
    "lua": r"local\s+\w+\s*=\s*require\b[^\n]*",
    "php": r"use\s[^;]*;|(?:require|include)(?:_once)?\b[^;\n]*;",
    "python": r"from\s+\S+\s+import\s*\([^)]*\)|from\s+\S+\s+import\s[^\n(]*|import\s[^\n]*",
    "r": r"(?:library|require|source)\([^)\n]*\)",
    "ruby": r"require(?:_relative)?\b[^\n]*",
    "rust": r"(?:pub(?:\([^)\n]*\))?\s+)?use\s[^;]*;|extern\s+crate\s[^;\n]*;",
    "scala": _LINE,
    "shellscript": r"(?:source|\.)\s[^\n]*",
    "swift": _LINE,
    "typescript": _SCRIPT,
    "typescriptreact": _SCRIPT,
}
"""How an unindented import looks, by LSP language identifier."""

_NAMES_SOMETHING: Final = re.compile(
    r"\b(?:class|def|defp|defmodule|enum|extension|fn|fun|func|function|impl|interface|module"
    r"|namespace|object|package|proc|protocol|record|struct|sub|trait|type|union)\b"
    r"|^[^=(]*\w\s*\([^;]*\)[\w\s:>-]*\{?\s*$"
)
"""A line that may be the signature of something."""

LONGEST_SIGNATURE: Final = 1_000
"""What is longer is data."""

_FLOW: Final = re.compile(
    r"\W*(?:case|catch|do|elif|else|elseif|elsif|except|finally|for|foreach|if|loop|match|repeat"
    r"|rescue|return|select|switch|try|unless|until|when|while|with)\b"
)
"""A line around others that says nothing of names."""

_BRACE: Final = re.compile(r"\s*\{\s*\Z")

_START: Final = re.compile(
    r"\n\r?\n(?=[^\s)\]}]|[ \t]{1,8}(?:@\w"
    r"|(?:(?:abstract|async|export|final|internal|open|override|private|protected|pub|public"
    r"|static|suspend|virtual)\s+)*"
    r"(?:class|def|enum|fn|fun|func|function|interface|module|object|struct|sub|trait)\b))"
)
"""A line behind an empty one that is not indented, or seems to define something."""

_CLOSER: Final = re.compile(r"\s*[)\]]")
"""What the last line of a signature over several lines begins with."""

_OPENERS: Final = ("{", ":")

SIGNATURE_LINES: Final = 16
"""A signature that has more lines is not looked at."""


def imports_like(text: str, begin: int, language_id: str) -> list[Kept]:
    """Lines before *begin* that look like imports of the language, with their offsets."""
    pattern = _IMPORTS.get(language_id)
    if pattern is None:
        return []
    head = text[: min(begin, IMPORTS_WITHIN)]
    found = re.finditer(rf"^(?:{pattern})", head, re.MULTILINE)
    return [
        Kept(one.start(), plain(one.group()).strip() + "\n") for one in found if one.group().strip()
    ]


def scopes_like(text: str, begin: int, blanks: str) -> list[Kept]:
    """What lines behind *blanks* at *begin* are indented under, outermost first.

    Only what looks as if it named something.
    """
    kept: list[Kept] = []
    lines = _lines_before(text, begin)
    depth, braced = _depth(blanks), False
    if not depth:
        return kept
    for offset, line in lines:
        level = len(line) - len(line.lstrip())
        level = _depth(line[:level]) if level != len(line) else depth + 1
        if level > depth or (level == depth and not braced):
            continue
        depth, braced = level, bool(_BRACE.match(line))
        if _CLOSER.match(line):
            offset, line = _begun(lines, offset, line, level)
        if not braced and _names_something(line):
            line = line.rstrip()
            kept.append(Kept(offset, line + "\n", opens=line.endswith(_OPENERS)))
        if depth == 0 and not braced:
            break
    return kept[::-1]


def starts_like(text: str, begin: int) -> tuple[int, ...]:
    """Offsets before *begin* of lines that seem to begin something, ascending."""
    first = max(0, begin - SCOPES_WITHIN)
    found = (one.end() for one in _START.finditer(text, first, begin))
    return tuple(place for place in found if place < begin)


def _begun(lines: Iterator[tuple[int, str]], offset: int, line: str, level: int) -> tuple[int, str]:
    """All lines of what ends in *line*, which begins with a closing bracket, and their offset."""
    whole = [line]
    for begin, above in itertools.islice(lines, SIGNATURE_LINES):
        whole.append(above)
        bare = above.lstrip()
        if bare and _depth(above[: len(above) - len(bare)]) <= level and not _CLOSER.match(above):
            return begin, "\n".join(reversed(whole))
    return offset, line


def _names_something(lines: str) -> bool:
    line = " ".join(lines.split("\n"))
    if len(line) > LONGEST_SIGNATURE or _FLOW.match(line):
        return False
    return bool(_NAMES_SOMETHING.search(line))


def _depth(blanks: str) -> int:
    return len(blanks.expandtabs(4))


def _lines_before(text: str, begin: int) -> Iterator[tuple[int, str]]:
    r"""Lines and their offsets, the last one first; ``\n`` and ``\r\n`` end them."""
    first = max(0, begin - SCOPES_WITHIN)
    end = begin
    while end > first:
        start = text.rfind("\n", first, end - 1) + 1 or first
        yield start, text[start:end].rstrip("\r\n")
        end = start
