"""One line of an ignore file: what it means to git, as a regular expression over bytes.

Knows git's pattern language as git itself reads it (``dir.c`` and ``wildmatch.c``), down to what
its manual does not say: names are bytes, so ``?`` is not ``é``; a broken class matches nothing;
what stands before the first wildcard is compared and cut off first, so that in ``a**/b`` the
stars stand at the beginning of what is left and cross folders. pathspec reads classes, ends of
lines and these cases differently, and nothing of it would be left once that is worked round.

A name that an attacker chose cannot make a pattern slow: every star but the last of a segment is
atomic, and so is every ``**`` but the last. Knows no files and no folders.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["Pattern", "parse", "patterns"]

_SPECIAL: Final = re.compile(rb"[*?\[\\]")
_BOM: Final = b"\xef\xbb\xbf"
_SLASH: Final = ord("/")


def _members(test: Callable[[str], bool]) -> frozenset[int]:
    return frozenset(code for code in range(128) if test(chr(code)))


_CLASSES: Final[dict[bytes, frozenset[int]]] = {
    b"alnum": _members(str.isalnum),
    b"alpha": _members(str.isalpha),
    b"blank": frozenset(b" \t"),
    b"cntrl": frozenset({*range(32), 127}),
    b"digit": frozenset(string.digits.encode()),
    b"graph": frozenset(range(33, 127)),
    b"lower": frozenset(string.ascii_lowercase.encode()),
    b"print": frozenset(range(32, 127)),
    b"punct": frozenset(string.punctuation.encode()),
    b"space": frozenset(b" \t\n\r\v\f"),
    b"upper": frozenset(string.ascii_uppercase.encode()),
    b"xdigit": frozenset(string.hexdigits.encode()),
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """What one line matches, and what that means."""

    negated: bool
    """Whether a match means "not ignored"."""

    folder_only: bool
    whole: bool
    """Whether the path relative to the ignore file's folder is matched; else the name alone."""

    literal: bytes | None
    """What is matched, where there is no wildcard."""

    regex: bytes
    """To be matched in full, with ``re.DOTALL``; ``b""`` where ``literal`` is given."""

    extension: bytes | None = None
    """``.x`` where the pattern is ``*.x`` and nothing more."""


class _Unmatchable(Exception):  # noqa: N818 - not an error: git accepts the line
    """The pattern matches nothing, whatever the path."""


def patterns(data: bytes) -> list[Pattern]:
    """What the lines of an ignore file mean, in order. Lines that match nothing are left out."""
    lines = data.removeprefix(_BOM).split(b"\n")
    found = (parse(line.removesuffix(b"\r")) for line in lines if not line.startswith(b"#"))
    return [pattern for pattern in found if pattern]


def parse(line: bytes) -> Pattern | None:
    """What *line* (without its end, not a comment) means; ``None`` if it matches nothing."""
    text = _trim(line.split(b"\0", 1)[0])
    negated = text.startswith(b"!")
    text = text[negated:]
    folder_only = text.endswith(b"/")
    text = text[: len(text) - folder_only]
    whole = b"/" in text
    text = text.removeprefix(b"/")
    if not text:
        return None
    special = _SPECIAL.search(text)
    if special is None:
        return Pattern(negated, folder_only, whole, text, b"")
    start = special.start()
    try:
        rest = _Translator(text[start:], whole).regex()
    except _Unmatchable:
        return None
    extension = None
    if text.startswith(b"*.") and not whole and not re.search(rb"[*?\[\\.]", text[2:]):
        extension = text[1:]
    return Pattern(negated, folder_only, whole, None, re.escape(text[:start]) + rest, extension)


def _trim(line: bytes) -> bytes:
    """*line* without the spaces at its end, except those behind a backslash."""
    end = len(line.rstrip(b" "))
    if end == len(line):
        return line
    backslashes = end - len(line[:end].rstrip(b"\\"))
    return line[: end + backslashes % 2]


class _Translator:
    """One pattern, from its first wildcard on, read from left to right."""

    def __init__(self, text: bytes, whole: bool) -> None:
        self._text = text
        self._at = 0
        self._whole = whole
        self._any = rb"[^/]" if whole else rb"."

    def regex(self) -> bytes:
        """The regular expression. :raises _Unmatchable: if nothing matches."""
        blocks = [b""]
        """What stands between two ``**``, the first of which may be empty."""
        gaps: list[bytes] = []
        segment = _Segment(self._any)
        while self._at < len(self._text):
            gap = self._folders()
            if gap:
                blocks[-1] += segment.close()
                gaps.append(gap)
                blocks.append(b"")
            else:
                self._element(segment)
        blocks[-1] += segment.close()
        return _join(blocks, gaps)

    def _folders(self) -> bytes | None:
        """A ``**`` that stands for folders, or for everything below one, if here is one."""
        text, start = self._text, self._at
        if not self._whole or (start and text[start - 1] != _SLASH):
            return None
        end = start
        while text[end : end + 1] == b"*":
            end += 1
        if end - start < 2:
            return None
        for follows, gap in ((b"/", rb"(?:[^/]*/)*"), (b"\\/", rb"(?:[^/]*/)+")):
            if text.startswith(follows, end):
                self._at = end + len(follows)
                return gap
        if end == len(text):
            self._at = end
            return rb".*"
        return None

    def _element(self, segment: _Segment) -> None:
        """The next character, wildcard or class."""
        byte = self._next()
        if byte == b"*":
            while self._text.startswith(b"*", self._at):
                self._at += 1
            segment.star()
        elif byte == b"?":
            segment.add(self._any)
        elif byte == b"[":
            segment.add(self._class())
        elif byte == b"/":
            segment.slash()
        else:
            literal = self._next() if byte == b"\\" else byte
            segment.slash() if literal == b"/" else segment.add(re.escape(literal))

    def _next(self) -> bytes:
        """The next byte. :raises _Unmatchable: at the end."""
        byte = self._text[self._at : self._at + 1]
        if not byte:
            raise _Unmatchable
        self._at += 1
        return byte

    def _class(self) -> bytes:
        """A bracket expression, the opening bracket being read."""
        byte = self._next()
        negated = byte in b"!^"
        if negated:
            byte = self._next()
        members: set[int] = set()
        previous = 0
        while True:
            previous = self._member(byte, previous, members)
            byte = self._next()
            if byte == b"]":
                break
        if negated:
            members = set(range(256)) - members
        members -= {_SLASH, 0}
        if not members:
            raise _Unmatchable
        return b"[%s]" % b"".join(b"\\x%02x" % member for member in sorted(members))

    def _member(self, byte: bytes, previous: int, members: set[int]) -> int:
        """Add what begins with *byte*; the number a following ``-`` may begin a range with."""
        follows = self._text[self._at : self._at + 1]
        if byte == b"\\":
            byte = self._next()
        elif byte == b"-" and previous and follows not in (b"", b"]"):
            last = self._next()
            last = self._next() if last == b"\\" else last
            members.update(range(previous, last[0] + 1))
            return 0
        elif byte == b"[" and follows == b":":
            end = self._text.find(b"]", self._at + 1)
            if end < 0:
                raise _Unmatchable
            if end > self._at + 1 and self._text[end - 1 : end] == b":":
                name = self._text[self._at + 1 : end - 1]
                self._at = end + 1
                if name not in _CLASSES:
                    raise _Unmatchable
                members.update(_CLASSES[name])
                return 0
        members.add(byte[0])
        return byte[0]


class _Segment:
    """The regular expression of what stands between two ``**``, star by star.

    After a star the leftmost place where what follows it fits is the best one, so a star that
    another star follows in the same segment need never be tried again: it is made atomic.
    """

    def __init__(self, any_byte: bytes) -> None:
        self._any = any_byte
        self._done = b""
        self._chunk = b""
        self._starred = False

    def add(self, element: bytes) -> None:
        self._chunk += element

    def star(self) -> None:
        if self._starred:
            self._done += b"(?>%s*?%s)" % (self._any, self._chunk)
        else:
            self._done += self._chunk
        self._chunk = b""
        self._starred = True

    def slash(self) -> None:
        self._done = self.close() + b"/"

    def close(self) -> bytes:
        """What was added since the last call."""
        star = self._any + b"*" if self._starred else b""
        whole = self._done + star + self._chunk
        self._done = self._chunk = b""
        self._starred = False
        return whole


def _join(blocks: list[bytes], gaps: list[bytes]) -> bytes:
    """Blocks with the ``**`` between them; every gap but the last is atomic, as stars are."""
    regex = blocks[0]
    for number, (gap, block) in enumerate(zip(gaps, blocks[1:], strict=True), start=1):
        last = number == len(gaps)
        regex += gap + block if last else b"(?>%s?%s)" % (gap, block)
    return regex
