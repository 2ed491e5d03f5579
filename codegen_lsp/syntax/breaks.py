"""Whether a text that is inserted breaks the code around it.

Knows the errors in syntax trees with and without the text. What only lacks its end breaks nothing
by itself: it is told from what is wrong by trying ends. Does not know which text would be better,
nor what the code means.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from codegen_lsp.syntax.brackets import (
    Bracket,
    brackets,
    closer_of,
    closers,
    open_at,
    opens_nothing,
)
from codegen_lsp.syntax.expecting import BLOCKS
from codegen_lsp.syntax.lines import indent_of, line_end, line_start
from codegen_lsp.syntax.near import inside, near, trimmed
from codegen_lsp.syntax.queries import FAULTS

if TYPE_CHECKING:
    from codegen_lsp.syntax.grammars import Parsed

__all__ = ["breaks"]

AFTER: Final = 2_000
"""Characters behind the cursor that are parsed."""

_Span = tuple[int, int]

_ENDS: Final = (
    ("", ""),
    ("", ";"),
    ("x", ";"),
    ("", " {}"),
    ("x", ""),
    ("x", " {}"),
    (";", ";"),
    (" x() {}", ""),
)
_PYTHON_ENDS: Final = (
    ("", ""),
    ("x", ""),
    ("", ": x"),
    ("x", ": x"),
    (" x", ""),
    (": x", ""),
    ("", "x"),
    (" in x", ": x"),
    (" x = x", ""),
    (" if x else x", ""),
    (" import x", ""),
)
_TYPED_ENDS: Final = (("x>", ";"), ("x>", " {}"), ("x>() {}", ""), (" : x", ";"))
_FOR_ENDS: Final = (("; ;", ";"), ("x; ;", ";"), (" x; ;", ";"))
_TYPESCRIPT_ENDS: Final = (*_ENDS, *_TYPED_ENDS[:3], (" of x", ";"))
_MARKUP_ENDS: Final = (("/>", ";"), ("></x>", ";"), ("</x>", ";"))
_ENDS_OF: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "c": (*_ENDS, *_FOR_ENDS),
    "cpp": (*_ENDS, *_TYPED_ENDS, *_FOR_ENDS),
    "go": _ENDS,
    "java": (*_ENDS, *_TYPED_ENDS, *_FOR_ENDS),
    "javascript": (*_ENDS, (" of x", ";"), *_MARKUP_ENDS),
    "javascriptreact": (*_ENDS, (" of x", ";"), *_MARKUP_ENDS),
    "python": _PYTHON_ENDS,
    "rust": (*_ENDS, *_TYPED_ENDS, (" in x", " {}"), ("a> () {}", "")),
    "typescript": _TYPESCRIPT_ENDS,
    "typescriptreact": (*_TYPESCRIPT_ENDS, *_MARKUP_ENDS),
}
"""What may be lacking at the end of code that is right so far: before and behind the round and
square brackets that are to be closed first. The likeliest come first."""

_DECORATED: Final[Mapping[str, str]] = {
    "cpp": " class x {};",
    "java": " class x {}",
    "javascript": " class x {}",
    "javascriptreact": " class x {}",
    "python": "\ndef x(): pass",
    "rust": " fn x() {}",
    "typescript": " class x {}",
    "typescriptreact": " class x {}",
}
"""What follows a decorator, an annotation, an attribute or the parameters of a template."""

_CONDITIONAL: Final = frozenset({"c", "cpp"})
_CONDITION: Final = re.compile(r"^[ \t]*#[ \t]*(if|ifdef|ifndef|endif)\b", re.MULTILINE)

_DIRECTED: Final = re.compile(r"(?:^[ \t]*#[^\n]*|\\\n[^\n]*)\Z", re.MULTILINE)
"""A text that ends in a line of the preprocessor, or in one that goes on with the line above."""

_NAME: Final = r"\b(?:[A-Z][A-Z\d_]{2,}|__\w+__)\b(?:[ \t]*\([^()\n]*\))?"
_MACRO: Final = re.compile(
    r"\b(?!(?:return|case|goto|else|new|throw|sizeof)\b)[^\W\d]\w*[*&]*[ \t]+"
    rf"{_NAME}[ \t]*(?:[,)]|\{{?$)"
    rf"|{_NAME}\s+[A-Za-z_]",
    re.MULTILINE,
)
"""What may be a macro where the grammar takes no name: beside a name, as a qualifier is."""


class _Last(threading.local):
    """What was found out last."""

    after = ""
    """What followed the cursor."""

    lacked = ""
    """What the code lacked behind that."""


_LAST: Final = _Last()

_VISIBLE: Final = re.compile(r"\S")

_SAYS: Final = re.compile(
    r"[ \t]*(?!//|/\*|\*|#|(?:case|default)\b|\w+(?:[ \t]+\w+)?[ \t]*:[ \t]*$)\S"
)
"""A line that is not blank, no comment and no label."""

_FLAT: Final = re.compile(r"[ \t]*(?:#|(?:inline[ \t]+)?namespace\b|extern\b)")
"""A line that opens what need not be deeper."""


def breaks(before: str, text: str, after: str, language_id: str) -> bool | None:
    """Whether *text* between *before* and *after* makes the code around it wrong.

    It does if nothing that could follow makes it right, and if what does follow fitted before
    and fits no more: brackets that it leaves open must be closed below, where the line of the
    closer is as deep as that of the opener, and it must close none that is closed below. A text
    that is open at its end is not blamed for that where only closers follow. Code that is wrong
    already is not judged; ``None`` where there is no grammar.
    """
    from codegen_lsp.syntax import grammars

    if not grammars.has_grammar(language_id):
        return None
    piece = near(before, language_id).text
    if language_id in _CONDITIONAL and "\n" not in text and _DIRECTED.search(piece + text):
        return False
    after = trimmed(after, AFTER)
    if _fits(piece, text, after, language_id):
        return False
    tail, _, below = after.partition("\n")
    start = line_start(piece, len(piece))
    lines = piece + text + tail
    ends = _may_end(lines, start, language_id)
    if ends is None and not inside(lines, language_id):
        if _has_macro(lines, start, language_id):
            return False
        above = _may_end(piece[:start], max(0, start - 1), language_id)
        return above is not None and not _goes_on(piece, text, after, language_id)
    if not below.strip() or inside(piece + tail, language_id):
        return False
    if ends and after.lstrip()[:1] in ("", ")", "]", "}"):
        return False
    return _unfit(piece, text, after, language_id)


def _fits(piece: str, text: str, after: str, language_id: str) -> bool:
    """Whether all is well with *text*, which leaves nothing open.

    What the code around lacks at its end is guessed to be what it lacked last: from one key to the
    next it is the same. A tree without errors says that the guess was right.
    """
    from codegen_lsp.syntax import grammars

    code = f"{piece}{text}{after}"
    parsed = grammars.parse(f"{code}{_LAST.lacked if _LAST.after == after else ''}", language_id)
    if parsed is not None and parsed.root.has_error:
        parsed = _completed(grammars.parse(code, language_id) or parsed)
        _LAST.after, _LAST.lacked = after, parsed.text[len(code) :]
    if parsed is None or parsed.root.has_error:
        return False
    return opens_nothing(parsed, len(piece), len(piece) + len(text))


def _has_macro(code: str, start: int, language_id: str) -> bool:
    """Whether there may be a macro from *start* on, or on the line above what it belongs to."""
    least = line_start(code, max(0, start - 1))
    return language_id in _CONDITIONAL and _MACRO.search(code, least) is not None


def _goes_on(piece: str, text: str, after: str, language_id: str) -> bool:
    """Whether what follows goes on with the line of *text*, and makes it right."""
    from codegen_lsp.syntax import grammars

    parsed = grammars.parse(piece + text + after, language_id)
    if parsed is None:
        return False
    start, end = line_start(piece, len(piece)), len(piece) + len(text)
    below = _VISIBLE.search(parsed.text, line_end(parsed.text, end))
    end = line_end(parsed.text, below.start() if below else end)
    if any(first < end for first, _ in _faults(_completed(parsed), start)):
        return False
    return not _unfit(piece, text, after, language_id)


def _may_end(code: str, start: int, language_id: str) -> bool | None:
    """Whether code must go on to be right from *start* on; ``None`` if it is wrong already."""
    from codegen_lsp.syntax import grammars

    parsed = grammars.parse(code, language_id)
    if parsed is None:
        return False
    missing = closers(parsed)
    rest = missing.lstrip(")]")
    rounds = missing[: len(missing) - len(rest)]
    blanks = code[start:][: len(code) - start - len(code[start:].lstrip(" \t"))]
    decorated = _DECORATED.get(parsed.grammar, "").replace("\n", f"\n{blanks}")
    conditions = "\n#endif" * _conditions(code) if parsed.grammar in _CONDITIONAL else ""
    for inner, outer in (*_ENDS_OF[parsed.grammar], ("", decorated)):
        end = f"{inner}{rounds}{outer}{rest}{conditions}"
        ended = grammars.parse(f"{code}{end}\n", language_id)
        if ended is None or not _faults(ended, start):
            return bool(inner or missing or outer)
    return None


def _conditions(code: str) -> int:
    """How many conditions of the preprocessor are open at the end of *code*."""
    depth = 0
    for found in _CONDITION.finditer(code):
        depth = max(0, depth - 1) if found.group(1) == "endif" else depth + 1
    return depth


def _unfit(piece: str, text: str, after: str, language_id: str) -> bool:
    """Whether what follows fits without *text*, and not with it."""
    from codegen_lsp.syntax import grammars

    without = grammars.parse(piece + after, language_id)
    inserted = grammars.parse(piece + text + after, language_id)
    if without is None or inserted is None:
        return False
    cursor, end = len(piece), len(piece) + len(text)
    outer, _ = open_at(brackets(without), cursor)
    stack, _ = open_at(brackets(inserted), end)
    left = [one for one in stack if one.at >= cursor]
    taken = outer[len(stack) - len(left) :]
    if not left and not taken:
        line = piece + text + after.partition("\n")[0]
        macro = _has_macro(line, line_start(piece, cursor), language_id)
        return not macro and _worse(without, inserted, cursor, after)
    if not all(_is_closed(inserted, one, end) for one in left):
        return True
    swapped = [one.sign for one in left[-len(taken) :]] == [one.sign for one in taken]
    return not swapped and any(_is_closed(without, one, cursor, seen=True) for one in taken)


def _is_closed(parsed: Parsed, opener: Bracket, end: int, *, seen: bool = False) -> bool:
    """Whether a bracket is closed behind *end*, where deeper lines stand between.

    So is one that nothing closes in the part of the text that is there, unless it must be *seen*.
    """
    text, closer = parsed.text, closer_of(brackets(parsed), opener)
    if closer < 0 and seen:
        return False
    if _FLAT.match(text, line_start(text, opener.at)):
        return True
    stop = line_start(text, closer) if closer >= 0 else len(text)
    depths = _depths(parsed, opener)
    for line in text[line_end(text, max(end, opener.at)) : stop].split("\n"):
        if indent_of(line) <= min(depths) and _SAYS.match(line):
            return False
    own_line = closer >= 0 and stop > opener.at and not text[stop:closer].strip()
    return not own_line or indent_of(text[stop:]) in depths


def _depths(parsed: Parsed, opener: Bracket) -> set[int]:
    """In which columns a bracket's partner may stand: those its line or its statement begins in."""
    text = parsed.text
    starts = {line_start(text, opener.at)}
    node = parsed.root.descendant_for_byte_range(opener.at, opener.at + 1)
    block = None if node is None else node.parent
    if block is not None and block.type in BLOCKS and block.parent is not None:
        starts.add(line_start(text, block.parent.start_byte))
    return {indent_of(text[start:]) for start in starts}


def _worse(without: Parsed, inserted: Parsed, cursor: int, after: str) -> bool:
    """Whether the tree with the text has faults which that without it has not."""
    more = len(inserted.text) - len(without.text)
    old = _faults(_completed(without))
    near_by = (line_start(without.text, cursor), cursor + len(after.partition("\n")[0]) + 1)
    if any(start <= near_by[1] and stop >= near_by[0] for start, stop in old):
        return False
    moved = {_moved(span, cursor, more) for span in old}
    return any(span not in moved for span in _faults(_completed(inserted)))


def _completed(parsed: Parsed) -> Parsed:
    """The tree of the same code with the brackets that it lacks at its end."""
    from codegen_lsp.syntax import grammars

    missing = closers(parsed)
    if not missing:
        return parsed
    return grammars.parse(f"{parsed.text}\n{missing}\n", parsed.grammar) or parsed


def _moved(span: _Span, cursor: int, more: int) -> _Span:
    start, stop = span
    return start + more * (start >= cursor), stop + more * (stop > cursor)


def _faults(parsed: Parsed, start: int = 0) -> list[_Span]:
    """Where the parser skipped something or made something up, as far as that ends behind *start*.

    What is looked for alone costs less.
    """
    from codegen_lsp.syntax import grammars

    if not parsed.root.has_error:
        return []
    found = grammars.captures(parsed, FAULTS, start=max(0, start - 1))  # may have no length
    spans = [(node.start_byte, node.end_byte) for nodes in found.values() for node in nodes]
    widened = ((begin, max(stop, begin + 1)) for begin, stop in spans)
    return sorted(span for span in widened if span[1] > start)
