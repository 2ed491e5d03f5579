"""Whether a completion breaks Python code.

Knows Python's own parser, which also tells code that is wrong from code that is not finished.
Only the function or top-level statement around the cursor is parsed, so that the cost does not
grow with the file.
"""

from __future__ import annotations

import ast
import codeop
import enum
import functools
import re
import warnings
from typing import Final

from codegen_lsp.completion.place import width
from codegen_lsp.syntax import patience

__all__ = ["Fit", "breaks_python", "fits", "has_room"]

LONGEST: Final = 8192
"""Characters of a statement that are parsed; longer ones are not judged."""

_REMEMBERED: Final = 16
"""An answer is judged more than once, while it is generated and when it is tidied."""

_LINE: Final = re.compile(r"^([ \t]*)(?=[^\s#])", re.MULTILINE)
_DEFINITION: Final = re.compile(r"^([ \t]*)(?:async def|def|class)\b", re.MULTILINE)
_CONTINUES: Final = re.compile(r"[)\]}]|(?:else|elif|except|finally)\b")
"""The beginning of a line that goes on with the statement above it."""

# Taken from its dictionary because the type stubs of codeop do not list it.
_ALLOW_INCOMPLETE: Final = int(vars(codeop)["PyCF_ALLOW_INCOMPLETE_INPUT"])


class Fit(enum.Enum):
    """What the parser says of code."""

    WHOLE = "whole"

    UNFINISHED = "unfinished"
    """It only lacks its end."""

    WRONG = "wrong"

    UNKNOWN = "unknown"
    """It is too long to be parsed in time, or the parser gave up."""


_FILLINGS: Final = ("", "pass", "_", "if _:", "else:", "_,")
"""What may stand in the place of a line without changing whether the rest can be parsed."""


def fits(prefix: str, text: str, suffix: str) -> Fit:
    """What the definition or statement around *text* is with *text* in it."""
    before, after = _around(prefix, suffix)
    if _unreadable(before, after):
        return Fit.UNKNOWN
    return _judge(before + text + after)


def has_room(prefix: str, suffix: str) -> bool:
    """Whether some code between *prefix* and *suffix* would make them whole.

    If not, an answer cannot be blamed for what is wrong.
    """
    before, after = _around(prefix, suffix)
    if _unreadable(before, after):
        return False
    above, _, head = before.rpartition("\n")
    tail, _, below = after.partition("\n")
    blanks = head[: len(head) - len(head.lstrip())]
    lines = (head + tail, f"{head} pass", *(blanks + filling for filling in _FILLINGS))
    return any(_judge(f"{above}\n{line}\n{below}") is Fit.WHOLE for line in lines)


def breaks_python(prefix: str, text: str, suffix: str) -> bool:
    """Whether *text* between *prefix* and *suffix* is what makes the code wrong.

    Code that is wrong above the cursor's line is not judged. What only lacks its end, as an
    open bracket or a block without a body, breaks nothing: it is to be gone on with.
    """
    before, after = _around(prefix, suffix)
    if _unreadable(before, after):
        return False
    above = before[: before.rfind("\n") + 1]
    if _judge(above) is Fit.WRONG:
        return False
    tail, _, below = after.partition("\n")
    now = _judge(before + text + tail)
    if now is not Fit.WHOLE:
        return now is Fit.WRONG
    fitted = _judge(before + after) is Fit.WHOLE
    return fitted and _judge(f"{before}{text}{tail}\n{below}") is Fit.WRONG


@functools.lru_cache(maxsize=_REMEMBERED)
def _around(prefix: str, suffix: str) -> tuple[str, str]:
    """The definition or top-level statement the cursor is in, before and after the cursor."""
    head = prefix.rfind("\n") + 1
    recent = max(0, head - LONGEST)
    columns = width(prefix[head:])
    start, outer = _statement(prefix, recent, head), 0
    for found in _DEFINITION.finditer(prefix, recent, head):
        if 0 < width(found.group(1)) < columns:
            start, outer = found.start(), width(found.group(1))
    line_end = suffix.find("\n") + 1
    stop = len(suffix)
    for found in _LINE.finditer(suffix, line_end) if line_end else ():
        if width(found.group(1)) <= outer and not _CONTINUES.match(suffix, found.end()):
            stop = found.start()
            break
    return ("class _:\n" if outer else "") + prefix[start:], suffix[:stop]


def _statement(prefix: str, recent: int, head: int) -> int:
    """Where the last top-level statement above the cursor's line begins."""
    start = recent
    for found in _LINE.finditer(prefix, recent, head):
        if not found.group(1) and not _CONTINUES.match(prefix, found.end()):
            start = found.start()
    return start


def _unreadable(before: str, after: str) -> bool:
    return len(before) + len(after) > LONGEST or "\0" in before + after


def _judge(code: str) -> Fit:
    patience.check()
    return _judged(code)


@functools.lru_cache(maxsize=_REMEMBERED)
def _judged(code: str) -> Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(code, "<completion>", "exec", ast.PyCF_ONLY_AST | _ALLOW_INCOMPLETE)
        except SyntaxError as error:
            return Fit.UNFINISHED if error.msg == "incomplete input" else Fit.WRONG
        except (ValueError, RecursionError, MemoryError):
            return Fit.UNKNOWN
    return Fit.WHOLE
