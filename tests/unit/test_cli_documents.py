"""``FILE:LINE:COL``, files as text, and positions in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.cli.documents import LINE_END, Document, parse_target, read_document
from codegen_lsp.errors import DocumentError, UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.py:3:4", ("a.py", 3, 4)),
        ("a.py:3", ("a.py", 3, None)),
        ("dir/a b.py:12:1", ("dir/a b.py", 12, 1)),
        (r"C:\code\a.py:3:4", (r"C:\code\a.py", 3, 4)),
        ("C:/code/a.py:7", ("C:/code/a.py", 7, None)),
        ("odd:10:3:4", ("odd:10", 3, 4)),
        ("naïve.py:1:1", ("naïve.py", 1, 1)),
    ],
)
def test_target(text: str, expected: tuple[str, int, int | None]) -> None:
    """The last one or two numbers are the position; the rest is the file, colons and all."""
    target = parse_target(text)
    assert (target.path, target.line, target.column) == (Path(expected[0]), *expected[1:])


@pytest.mark.parametrize("text", ["", "a.py", "a.py:", ":3", "3:x", "a.py:-1", "a.py:٣"])
def test_no_target(text: str) -> None:
    """Without a position in plain digits the call is wrong, and the line shows the form."""
    with pytest.raises(UsageError, match="FILE:LINE:COL"):
        parse_target(text)


@pytest.mark.parametrize(
    ("text", "line", "column", "offset"),
    [
        ("", 1, 1, 0),
        ("", 1, None, 0),
        ("ab\ncd", 1, 3, 2),
        ("ab\ncd", 2, None, 5),
        ("ab\r\ncd\r\n", 1, None, 2),
        ("ab\r\ncd\r\n", 2, None, 6),
        ("ab\r\ncd\r\n", 3, 1, 8),
        ("ab\rcd", 2, 1, 3),
        ("\r\n\n\r", 1, None, 0),
        ("\r\n\n\r", 2, None, 2),
        ("\r\n\n\r", 3, None, 3),
        ("\r\n\n\r", 4, None, 4),
        ("a\x0bb\u2028c", 1, None, 5),
        ("😀é\n", 1, None, 2),
        ("\tx", 1, 2, 1),
    ],
)
def test_offset(text: str, line: int, column: int | None, offset: int) -> None:
    """Lines end at LF, CRLF and CR only; columns are code points; the end has a column."""
    assert check_document(text).offset(line, column) == offset


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("ab\ncd", 3, 1, "no line 3; its lines are 1 to 2"),
        ("ab\ncd", 0, 1, "no line 0"),
        ("ab\r\ncd", 1, 4, "no column 4; its columns are 1 to 3"),
        ("ab", 1, 0, "no column 0"),
        ("", 1, 2, "its columns are 1 to 1"),
        ("", 2, None, "its lines are 1 to 1"),
    ],
)
def test_outside(text: str, line: int, column: int | None, words: str) -> None:
    """A position that does not exist is refused with the positions that do."""
    with pytest.raises(DocumentError, match=words):
        check_document(text).offset(line, column)


@given(st.text(alphabet="ab\r\n\t\u2028😀"), st.data())
def test_positions_are_inverse(text: str, data: st.DataObject) -> None:
    """Every offset has a position, and that position has this offset, except inside CRLF."""
    document = check_document(text)
    offset = data.draw(st.integers(0, len(text)))
    if text[offset - 1 : offset + 1] == "\r\n" and offset:
        return
    assert document.offset(*document.position(offset)) == offset


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("a.py", b"", ""),
        ("a.py", b"x = 1\r\ny", "x = 1\r\ny"),
        ("a.py", b"\xef\xbb\xbfx", "x"),
        ("a.txt", b"\xef\xbb\xbfx", "x"),
        ("a.py", "é😀".encode(), "é😀"),
        ("a.py", b"# -*- coding: latin-1 -*-\n\xe9", "# -*- coding: latin-1 -*-\né"),
        ("a.py", b"#!x\n# coding: cp1252\n\x80", "#!x\n# coding: cp1252\n€"),
    ],
)
def test_read(tmp_path: Path, name: str, data: bytes, text: str) -> None:
    """Text comes back as it stands in the file, line ends included, byte order mark not."""
    path = tmp_path / name
    path.write_bytes(data)
    assert read_document(path).text == text


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.py", b"ab\x00c", "binary file .NUL at byte 2."),
        ("a.bin", b"\x89PNG\r\n\x1a\n\x00", "binary file"),
        ("a.c", b"ok \xe9", "not utf-8.* text .byte 3.; save it as UTF-8"),
        ("a.py", b"ok \xe9", "declare its coding"),
        ("a.py", b"# coding: klingon\n", "unknown encoding"),
        ("a.py", "x".encode("utf-16"), "UTF-16; save it as UTF-8"),
    ],
)
def test_not_text(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    """What is not text says so in one line that names the byte or the encoding."""
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DocumentError, match=words) as caught:
        read_document(path)
    assert "\n" not in str(caught.value)


def test_missing(tmp_path: Path) -> None:
    """A file that is not there, or is a folder, is named."""
    with pytest.raises(DocumentError, match=r"gone\.py does not exist"):
        read_document(tmp_path / "gone.py")
    with pytest.raises(DocumentError, match="is a directory"):
        read_document(tmp_path)
    with pytest.raises(DocumentError, match="cannot be read"):
        read_document(tmp_path / "nul\0.py")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_pipe(tmp_path: Path) -> None:
    """A named pipe would wait for a writer for ever, so it is refused."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DocumentError, match="not a regular file"):
        read_document(tmp_path / "pipe")


def check_document(text: str) -> Document:
    """A document of ``text``, as :func:`read_document` makes it."""
    return Document(Path("a.py"), text, (0, *(match.end() for match in LINE_END.finditer(text))))
