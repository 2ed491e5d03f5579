"""Near: the part of a text that has to be parsed to know what a cursor is in.

Knows lines and indentation, and whether a text ends inside a string or comment. Parses nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

from codegen_lsp.syntax.languages import syntax_of
from codegen_lsp.syntax.lines import indent_of, line_start

__all__ = ["NEAR", "Piece", "inside", "near", "trimmed"]

NEAR: Final = 4_000
"""Characters before a cursor that are parsed."""

_FAR: Final = 40_000
"""Characters before a cursor in which the lines are looked for that enclose what is parsed."""

_PART: Final = 1_024
"""Long texts are looked through in parts of about so many characters, which are remembered."""

_BEGINS: Final = re.compile(r"^([ \t]*)(?=[^\W\d][^\n]|[@~])(?!\w+[ \t]*:[ \t]*$)", re.MULTILINE)
"""The beginning of a line that may begin a statement or a member, which a label does not."""

_DEEP: Final = re.compile(r"\s*^[ \t]+\S", re.MULTILINE)
"""The beginning of a text that begins in a block."""

_GOES_ON: Final = re.compile(
    r"(?:else|elif|except|finally|catch|case|default|and|or|where|throws|implements|extends)\b"
)
_LINE: Final = re.compile(r"^([ \t]*)(?=\S).*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Piece:
    """The nearest part of a text: ``text[skipped:]`` of it ends the text it is of."""

    text: str

    added: int
    """So many characters at its beginning stand for the blocks around it."""

    @property
    def head(self) -> str:
        """The line it ends in."""
        return self.text[line_start(self.text, len(self.text)) :]


@lru_cache(maxsize=8)
def near(before: str, language_id: str) -> Piece:
    """The nearest part of what stands before a cursor: at most :data:`NEAR` characters.

    It begins with its least deep statement that begins last, within lines that open the blocks
    around that. So it does where a shorter text begins in a block that nothing opens.
    """
    if len(before) <= NEAR and not _DEEP.match(before):
        return Piece(before, 0)
    least = before.find("\n", len(before) - NEAR) + 1 if len(before) > NEAR else 0
    last = line_start(before, len(before))
    start, deep = _beginning(before, least, last)
    comment = before.rfind("/*", 0, start)
    begins = not before[line_start(before, comment) : comment].strip()
    if comment > before.rfind("*/", 0, start) and begins and language_id != "python":
        return Piece("/*\n" + before[start:], 3)  # within a long comment
    around = _around(before, start, deep, language_id == "python") if deep else ""
    return Piece(around + before[start:], len(around))


def trimmed(after: str, length: int) -> str:
    """At most *length* characters of what stands behind a cursor, whole lines."""
    if len(after) <= length:
        return after
    return after[: after.rfind("\n", 0, length) + 1] or after[:length]


def inside(text: str, language_id: str) -> str:
    """What *text* ends inside of: ``"string"``, ``"comment"``, or ``""`` for neither."""
    pattern = _quoted(language_id)
    begun = _quotes_end(text[: line_start(text, len(text))], language_id)
    for found in pattern.finditer(text, begun):
        if found.end() == len(text) and found.lastgroup in ("string", "comment"):
            return found.lastgroup
    return ""


@lru_cache(maxsize=16)
def _quotes_end(text: str, language_id: str) -> int:
    """Where the last string or comment of whole lines ends, whatever follows them.

    What goes on behind their end is left out; 0 where there is none.
    """
    part = line_start(text, (len(text) - 1) // _PART * _PART)
    end = _quotes_end(text[:part], language_id) if part else 0
    for found in _quoted(language_id).finditer(text, end):
        if found.lastgroup is not None:
            break
        end = found.end()
    return end


def _beginning(before: str, least: int, last: int) -> tuple[int, int]:
    """Where the last of the least deep statements begins, and in which column."""
    best, columns = least, -1
    for found in _BEGINS.finditer(before, least, last):
        deep = indent_of(found.group(1))
        if (columns < 0 or deep <= columns) and not _GOES_ON.match(before, found.end()):
            best, columns = found.start(), deep
    return best, max(columns, 0)


def _around(before: str, start: int, deep: int, indented: bool) -> str:
    """Lines that open the blocks around a line at *start* that is *deep* columns in."""
    lines: list[str] = []
    opener = ":" if indented else "{"
    least = max(0, start - _FAR)
    for found in reversed(list(_LINE.finditer(before, least, start))):
        columns, line = indent_of(found.group(1)), found.group().rstrip()
        if columns >= deep or line.lstrip().startswith(("#", "//", "*", "/*")):
            continue
        if line.endswith(opener):
            whole = line.count("(") >= line.count(")") and re.match(r"\s*[^\W\d]", line)
            other = "if 1:" if indented else "{"
            lines.append(line if whole else f"{found.group(1)}{other}")
        if line.endswith(opener) or not line.lstrip().startswith((")", "]")):
            deep = columns
        if not deep:
            break
    return "".join(f"{line}\n" for line in reversed(lines))


@cache
def _quoted(language_id: str) -> re.Pattern[str]:
    """Finds strings and comments; those that nothing ends are named ``string`` and ``comment``."""
    syntax = syntax_of(language_id)
    whole, cut = [], []
    for begin, end in syntax.block_comment:
        whole.append(rf"{re.escape(begin)}(?:(?!{re.escape(end)}).)*{re.escape(end)}")
        cut.append(rf"(?P<comment>{re.escape(begin)}.*\Z)")
    whole += [rf"{re.escape(sign)}[^\n]*\n" for sign in syntax.line_comment]
    if syntax.line_comment:
        signs = "|".join(map(re.escape, syntax.line_comment))
        rest = f"(?:{signs})[^\\n]*\\Z"
        cut = [one.replace(r".*\Z)", rf".*\Z|{rest})") for one in cut] or [f"(?P<comment>{rest})"]
    strings = []
    rust = language_id == "rust"
    long_strings = syntax.strings if rust else syntax.long_strings
    for quote in map(re.escape, long_strings):
        whole.append(rf"{quote}(?:\\.|(?!{quote})[^\\])*+{quote}")
        strings.append(rf"{quote}.*\Z")
    for quote in map(re.escape, () if rust else syntax.strings):
        long = "".join(rf"(?!{re.escape(one)})" for one in long_strings)
        whole.append(rf"{long}{quote}(?:\\.|[^{quote}\\\n])*+(?:{quote}|\n)")
        strings.append(rf"{long}{quote}(?:\\.|[^{quote}\\\n])*+\Z")
    if rust:  # a lifetime looks like half a character
        whole.insert(0, r"'(?:\\.|[^\\'\n])'")
    if strings:
        cut.append(f"(?P<string>{'|'.join(strings)})")
    return re.compile("|".join(whole + cut) or r"(?!)", re.DOTALL)
