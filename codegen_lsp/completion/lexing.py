"""Just enough lexing: which brackets are open, and whether a place is in a string or comment.

Knows the tables of ``syntax.languages``. Is no parser: whether a window begins inside a string is
guessed, and every rule built on this must survive a wrong guess.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final

from codegen_lsp.syntax.languages import Syntax

__all__ = ["CLOSERS", "PAIRS", "START", "Lexed", "lex", "state_after"]

PAIRS: Final = {")": "(", "]": "[", "}": "{"}
"""A closing bracket to what it closes."""

CLOSERS: Final = frozenset(PAIRS)

_COMMENT: Final = "\n"
"""The end of a comment that ends with its line."""


@dataclass(frozen=True, slots=True)
class Lexed:
    """What was found, and the state at the end, from which one can go on."""

    brackets: str = ""
    """The open brackets, outermost first."""

    inside: str = ""
    """What ends the string or comment at the end of the text; ``""`` in code."""

    string: bool = False
    """Whether ``inside`` is a string."""

    unmatched: tuple[int, ...] = ()
    """Offsets of closing brackets without an opening one."""

    quote_end: int | None = None
    """Offset of the quote that closed the string the text began in, if it did."""

    opened: int | None = None
    """Offset of what began the string or comment at the end of the text, if it did in the text."""

    code_end: int = 0
    """Offset after the last character that is neither blank nor part of a comment."""


START: Final = Lexed()

_PART: Final = 1_024
"""Long texts are read in parts of about so many characters, which are remembered."""

_REMEMBERED: Final = 64

_REGEX: Final = (
    r"(?:(?<=[(,=:!&|?;\[{])|(?<=[(,=:!&|?;\[{] ))"
    r"/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/\w*"
)
"""A regular expression of JavaScript and its kin, where no operand can be divided."""

_CHARACTER: Final = r"'(?:\\[^\n][^'\n]*|[^\\'\n])'"
"""A character in quotes, in languages in which the quote alone may mean something else."""

_CODE: Final = re.compile(
    r"[ \t]*(?:(?:async )?def|class|return|import|from|elif|except|func|function|const|let|var"
    r"|public|private|static|if|for|while)\b.*[:;({\w)]$",
    re.MULTILINE,
)
"""A line that looks like code."""


def state_after(text: str, syntax: Syntax, *, whole: bool) -> Lexed:
    """The state at the end of *text*; if it is not the *whole* document, it may begin in a string.

    Of the ways to read it, the one is taken in which fewest lines that look like code are text.
    The answer has no offsets. What stands above the last line is not read again with each key.
    """
    starts = [START]
    if not whole:
        starts += [Lexed(inside=q, string=True) for q in syntax.long_strings if q in text]
        starts += [Lexed(inside=end) for _, end in syntax.block_comment if end in text]
    read = [_read(text, syntax, start, len(starts) > 1) for start in starts]
    return min(read, key=lambda found: found[1])[0]


def _read(text: str, syntax: Syntax, start: Lexed, counted: bool) -> tuple[Lexed, int]:
    """The state at the end of *text* and, if asked, how many lines of code are text in it."""
    cut = text.rfind("\n") + 1
    state, count = _lines_read(text[:cut], syntax, start, counted)
    line = text[cut:]
    count += bool(counted and state.inside and _CODE.search(line))
    return _state(lex(line, syntax, state)), count


@functools.lru_cache(maxsize=_REMEMBERED)
def _lines_read(text: str, syntax: Syntax, start: Lexed, counted: bool) -> tuple[Lexed, int]:
    """The same of whole lines: nothing that is read as one goes from a line into the next."""
    cut = text.rfind("\n", 0, (len(text) - 1) // _PART * _PART) + 1
    state, count = _lines_read(text[:cut], syntax, start, counted) if cut else (start, 0)
    place = cut
    for found in _CODE.finditer(text, cut) if counted else ():
        begun = text.rfind("\n", cut, found.start() + 1) + 1 or cut
        state, place = lex(text[place:begun], syntax, state), begun
        count += bool(state.inside)
    return _state(lex(text[place:], syntax, state)), count


def _state(found: Lexed) -> Lexed:
    """What one can go on from, without offsets."""
    return Lexed(found.brackets, found.inside, found.string)


def lex(text: str, syntax: Syntax, state: Lexed = START) -> Lexed:
    """Read *text*, going on from *state*. Offsets in the answer are into *text*."""
    opening = _opening(syntax)
    brackets, unmatched = list(state.brackets), []
    inside, string = state.inside, state.string
    place, code_end = 0, 0
    quote_end: int | None = None
    opened: int | None = None
    while place < len(text):
        if inside:
            first = place == 0 and string
            place, closed = _skip(text, place, inside, string, syntax)
            code_end = place if string else code_end
            if closed:
                if first and text.endswith(inside, 0, place):
                    quote_end = place - len(inside)
                inside, string, opened = "", False, None
            continue
        found = opening.search(text, place)
        code_end = _code_end(text, place, found.start() if found else len(text), code_end)
        if found is None:
            break
        sign, place = found.group(), found.end()
        if found.lastgroup:  # nothing in it counts
            code_end = place
        elif sign in "()[]{}":
            code_end = place
            if sign not in CLOSERS:
                brackets.append(sign)
            elif brackets and brackets[-1] == PAIRS[sign]:
                brackets.pop()
            else:
                unmatched.append(found.start())
        else:
            inside, string = _entered(sign, syntax)
            opened = found.start()
            code_end = place if string else code_end
    return Lexed("".join(brackets), inside, string, tuple(unmatched), quote_end, opened, code_end)


def _code_end(text: str, start: int, stop: int, before: int) -> int:
    """The end of the code in ``text[start:stop]``, where there is any."""
    code = text[start:stop].rstrip()
    return start + len(code) if code else before


def _entered(sign: str, syntax: Syntax) -> tuple[str, bool]:
    """What ends the string or comment that *sign* begins, and whether it is a string."""
    if sign in syntax.line_comment:
        return _COMMENT, False
    for begin, end in syntax.block_comment:
        if sign == begin:
            return end, False
    return sign, True


def _skip(text: str, place: int, inside: str, string: bool, syntax: Syntax) -> tuple[int, bool]:
    """Where the string or comment ends (after its end), and whether it does."""
    if not string:
        end = text.find(inside, place)
        return (len(text), False) if end < 0 else (end + len(inside), True)
    for found in _ending(inside, inside in syntax.long_strings).finditer(text, place):
        if not found.group().startswith("\\"):
            return found.end(), True
    return len(text), False


@functools.cache
def _opening(syntax: Syntax) -> re.Pattern[str]:
    """Whatever changes the state in code, longest signs first; and what must be read over."""
    signs = [*syntax.line_comment, *(begin for begin, _ in syntax.block_comment)]
    signs += [*syntax.long_strings, *syntax.strings, *"()[]{}"]
    read_over = []
    if "//" in syntax.line_comment:
        read_over += [_REGEX] if "`" in syntax.long_strings else []
        read_over += [] if "'" in syntax.strings else [_CHARACTER]
    opaque = [f"(?P<opaque>{'|'.join(read_over)})"] if read_over else []
    escaped = (re.escape(sign) for sign in sorted(signs, key=len, reverse=True))
    return re.compile("|".join([*opaque, *escaped]))


@functools.cache
def _ending(quote: str, long: bool) -> re.Pattern[str]:
    """The end of a string; one that is not long ends with its line at the latest."""
    return re.compile(r"\\(?s:.)|" + re.escape(quote) + ("" if long else r"|\n"))
