"""Lines and positions agree with a naive model, whatever the text and the encoding."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.server.positions import Encoding, LineIndex, Place, split_lines

SIGNS = "a é\t\u0301\u4e2d\U0001f600\U00010348\u200d\x0b\x0c\x1c\x85\u2028\u2029\n\n\r\r"
"""One of each kind: ASCII, two to four bytes, combining, joiner, what is no line end, line ends."""

texts = st.text(st.sampled_from(SIGNS), max_size=24) | st.text(max_size=24).map(
    lambda text: text.encode("utf-8", "replace").decode()
)
encodings = st.sampled_from(Encoding)
places = st.builds(Place, st.integers(0, 8), st.integers(0, 12))

WIDTH = {Encoding.UTF8: 1, Encoding.UTF16: 2, Encoding.UTF32: 4}
CODEC = {Encoding.UTF8: "utf-8", Encoding.UTF16: "utf-16-le", Encoding.UTF32: "utf-32-le"}


def naive_offset(text: str, place: Place, encoding: Encoding) -> int:
    """Every code point counted one by one, through Python's own codecs."""
    ends = [match.end() for match in re.finditer("\r\n|\r|\n", text)]
    starts = [0, *ends]
    if place.line >= len(starts):
        return len(text)
    start = starts[place.line]
    line = re.split("\r|\n", text[start:], maxsplit=1)[0]
    left = place.character * WIDTH[encoding]
    for column, sign in enumerate(line):
        left -= len(sign.encode(CODEC[encoding]))
        if left < 0:
            return start + column
    return start + len(line)


@given(texts)
def test_lines_joined_are_the_text(text: str) -> None:
    """Splitting loses nothing, and only LF, CRLF and CR end a line."""
    lines = split_lines(text)
    assert "".join(lines) == text
    assert len(lines) == len(re.findall("\r\n|\r|\n", text)) + 1
    assert all(re.fullmatch("[^\r\n]*(\r\n|\r|\n)", line) for line in lines[:-1])


@given(texts, places, encodings)
def test_a_position_becomes_the_offset_a_naive_count_gives(
    text: str, place: Place, encoding: Encoding
) -> None:
    """Also past the end of a line, past the last line and inside a code point."""
    index = LineIndex(text, encoding)
    assert index.offset_at(place) == naive_offset(text, place, encoding)


@given(texts, encodings, st.data())
def test_offset_and_position_are_inverse(
    text: str, encoding: Encoding, data: st.DataObject
) -> None:
    """An offset survives the way to a position and back, except inside a CRLF."""
    offset = data.draw(st.integers(0, len(text)))
    index = LineIndex(text, encoding)
    back = index.offset_at(index.place_at(offset))
    inside_line_end = text[offset - 1 : offset + 1] == "\r\n" if offset else False
    assert back == (offset - 1 if inside_line_end else offset)


@given(texts, st.lists(st.tuples(places, places, texts), max_size=5), encodings)
def test_edits_agree_with_string_splicing(
    text: str, edits: list[tuple[Place, Place, str]], encoding: Encoding
) -> None:
    """After any edits the index is that of the new text, also where CR and LF meet or part."""
    index = LineIndex(text, encoding)
    for start, end, new in edits:
        left, right = sorted(naive_offset(text, place, encoding) for place in (start, end))
        text = text[:left] + new + text[right:]
        index.replace(start, end, new)
        assert index.text == text
        fresh = LineIndex(text, encoding)
        assert [index.line(n) for n in range(len(index))] == [
            fresh.line(n) for n in range(len(fresh))
        ]
        assert index.line_start(len(index)) == fresh.line_start(len(fresh))


@pytest.mark.parametrize(
    ("text", "encoding", "place", "offset"),
    [
        ("", Encoding.UTF16, Place(0, 0), 0),
        ("", Encoding.UTF16, Place(5, 5), 0),
        ("ab", Encoding.UTF16, Place(0, 9), 2),
        ("ab\ncd", Encoding.UTF16, Place(0, 9), 2),
        ("ab\r\ncd", Encoding.UTF16, Place(0, 3), 2),
        ("ab\r\ncd", Encoding.UTF16, Place(1, 1), 5),
        ("ab\rcd", Encoding.UTF16, Place(1, 1), 4),
        ("ab\n", Encoding.UTF16, Place(1, 0), 3),
        ("a\x0cb\x85c\u2028d\n", Encoding.UTF16, Place(0, 7), 7),
        ("\U0001f600x", Encoding.UTF8, Place(0, 4), 1),
        ("\U0001f600x", Encoding.UTF16, Place(0, 2), 1),
        ("\U0001f600x", Encoding.UTF16, Place(0, 1), 0),
        ("\U0001f600x", Encoding.UTF32, Place(0, 1), 1),
        ("e\u0301x", Encoding.UTF8, Place(0, 3), 2),
        ("e\u0301x", Encoding.UTF16, Place(0, 2), 2),
        ("ab", Encoding.UTF16, Place(-1, 3), 0),
        ("ab", Encoding.UTF16, Place(0, -3), 0),
    ],
)
def test_examples(text: str, encoding: Encoding, place: Place, offset: int) -> None:
    """What an editor may ask for, and the code-point offset it means."""
    assert LineIndex(text, encoding).offset_at(place) == offset
