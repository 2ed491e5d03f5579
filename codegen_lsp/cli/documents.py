"""Files as the command line meets them: ``FILE:LINE:COL``, encodings, positions.

Knows how a file becomes text and how a 1-based position becomes a code-point offset. Unlike
``server`` it never clamps: a position that does not exist is an error, because someone typed it.
"""

from __future__ import annotations

import bisect
import io
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path

from codegen_lsp.errors import DocumentError, UsageError

__all__ = ["Document", "Target", "parse_target", "read_document"]

LINE_END = re.compile(r"\r\n|\n|\r")
TARGET = re.compile(r"(?P<file>.+?):(?P<line>\d+)(?::(?P<column>\d+))?", re.DOTALL | re.ASCII)
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Target:
    """A place in a file, 1-based."""

    path: Path
    line: int
    column: int | None
    """In code points; ``None`` is the end of the line."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file's text and where its lines begin."""

    path: Path
    text: str
    starts: tuple[int, ...]
    """Offset of each line's first character; at least one."""

    def offset(self, line: int, column: int | None) -> int:
        """The code-point offset of a 1-based position.

        :raises DocumentError: the file has no such line, or the line no such column.
        """
        if not 1 <= line <= len(self.starts):
            raise DocumentError(
                f"{self.path} has no line {line}", mend=f"its lines are 1 to {len(self.starts)}"
            )
        start = self.starts[line - 1]
        end = self._end(line)
        if column is None:
            return end
        if not 1 <= column <= end - start + 1:
            raise DocumentError(
                f"line {line} of {self.path} has no column {column}",
                mend=f"its columns are 1 to {end - start + 1}, the last one being its end",
            )
        return start + column - 1

    def position(self, offset: int) -> tuple[int, int]:
        """The 1-based line and column of an offset."""
        line = bisect.bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1

    def _end(self, line: int) -> int:
        if line == len(self.starts):
            return len(self.text)
        end = self.starts[line] - 1
        if self.text[end] == "\n" and end > self.starts[line - 1] and self.text[end - 1] == "\r":
            end -= 1
        return end


def parse_target(text: str) -> Target:
    """``FILE:LINE`` or ``FILE:LINE:COL``; FILE may hold colons, as ``C:/a.py`` does.

    :raises UsageError: there is no position.
    """
    match = TARGET.fullmatch(text)
    if match is None:
        raise UsageError(f"no position in {text!r}", mend="write FILE:LINE:COL, counted from 1")
    column = match["column"]
    return Target(Path(match["file"]), int(match["line"]), None if column is None else int(column))


def read_document(path: Path) -> Document:
    """Read a text file, line ends untouched.

    :raises DocumentError: it is missing, not a file, not readable, or not text.
    """
    text = _decode(path, _bytes(path))
    starts = (0, *(match.end() for match in LINE_END.finditer(text)))
    return Document(path, text, starts)


def _bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise DocumentError(f"{path} is a directory", mend="name a file in it")
        if path.exists() and not path.is_file():
            raise DocumentError(f"{path} is not a regular file", mend="save it to a file first")
        return path.read_bytes()
    except FileNotFoundError:
        raise DocumentError(f"{path} does not exist", mend="check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DocumentError(f"{path} cannot be read: {reason}") from error


def _decode(path: Path, data: bytes) -> str:
    if data.startswith(UTF_16_MARKS):
        raise DocumentError(f"{path} is encoded in UTF-16", mend="save it as UTF-8")
    nul = data.find(b"\0")
    if nul >= 0:
        raise DocumentError(f"{path} is a binary file (NUL at byte {nul})", mend="name a text file")
    encoding = _encoding(path, data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DocumentError(
            f"{path} is not {encoding} text (byte {error.start})",
            mend="save it as UTF-8" + (" or declare its coding" if _is_python(path) else ""),
        ) from error


def _encoding(path: Path, data: bytes) -> str:
    """UTF-8 with or without a mark; Python files may say otherwise in their first two lines."""
    if not _is_python(path):
        return "utf-8-sig"
    try:
        return tokenize.detect_encoding(io.BytesIO(data).readline)[0]
    except SyntaxError as error:
        if "unknown encoding" not in str(error) and "encoding problem" not in str(error):
            return "utf-8-sig"  # not UTF-8: decoding says where
        raise DocumentError(f"{path} declares an {error.msg}", mend="correct its coding") from error


def _is_python(path: Path) -> bool:
    return path.suffix.lower() in {".py", ".pyi", ".pyw"}
