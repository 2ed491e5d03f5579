"""The window around the cursor, line ends, and languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.context.collect import collect
from codegen_lsp.context.window import SUFFIX_CHARACTERS, cut_window, to_line_end
from codegen_lsp.syntax.languages import SYNTAXES, language_of, syntax_of
from codegen_lsp.types import Snapshot
from tests.support.cursor import CURSOR


@pytest.mark.parametrize(
    ("code", "prefix", "suffix", "line_end"),
    [
        ("", "", "", "\n"),
        ("a\nb", "a\nb", "", "\n"),
        ("a\r\nb¦\r\nc\r\n", "a\nb", "\nc\n", "\r\n"),
        ("a\rb¦\rc", "a\nb", "\nc", "\r"),
        ("a\r\nb\r\nc\nd¦", "a\nb\nc\nd", "", "\r\n"),
        ("a\nb\nc\r\nd¦", "a\nb\nc\nd", "", "\n"),
        ("a\r¦\nb", "a", "\nb", "\r\n"),
    ],
)
def test_line_ends(code: str, prefix: str, suffix: str, line_end: str) -> None:
    r"""The model reads ``\n`` alone; what the document mostly has is remembered."""
    before, _, after = code.partition(CURSOR)
    window = cut_window(before + after, len(before), 1000)
    assert (window.prefix, window.suffix, window.line_end) == (prefix, suffix, line_end)


@given(st.text("ab \r\n", max_size=200), st.data(), st.integers(0, 60))
def test_window_is_what_stands_around_the_cursor(text: str, data: st.DataObject, size: int) -> None:
    """The prefix ends at the cursor and is never longer than asked; the suffix begins there."""
    offset = data.draw(st.integers(0, len(text)))
    window = cut_window(text, offset, size)
    plain = [
        part.replace("\r\n", "\n").replace("\r", "\n") for part in (text[:offset], text[offset:])
    ]
    inside = text[:offset].endswith("\r") and text[offset:].startswith("\n")
    assert (plain[0][:-1] if inside else plain[0]).endswith(window.prefix)
    assert plain[1].startswith(window.suffix)
    assert len(window.prefix) <= size
    assert window.starts_document or offset > size


def test_left_edge_moves_in_coarse_steps() -> None:
    """While 300 characters are typed at the end, the window begins in two places at most."""
    text = "".join(f"def function_{i}():\n    return {i}\n\n\n" for i in range(200))
    starts = {
        len(text) + typed - len(cut_window(text + "x" * typed, len(text) + typed, 2000).prefix)
        for typed in range(300)
    }
    assert len(starts) <= 2
    assert all(text.startswith("def", start) for start in starts)


def test_left_edge_without_any_line_start() -> None:
    """A line longer than the window is cut where it must be."""
    window = cut_window("x" * 10_000, 10_000, 100)
    assert 0 < len(window.prefix) <= 100
    assert not window.starts_document


def test_suffix_is_bounded() -> None:
    """Of a long document only the next few pages are looked at."""
    assert len(cut_window("a\n" * 100_000, 1, 100).suffix) == SUFFIX_CHARACTERS
    assert len(cut_window("a" * 100_000, 0, 100).suffix) == SUFFIX_CHARACTERS


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_the_suffix_ends_with_a_whole_line(line_end: str) -> None:
    """Half a line would be read as a whole one, wherever the window would end."""
    for length in range(90, 110):
        text = ("b" * length + line_end) * 99
        for typed in ("", line_end):
            suffix = cut_window(typed + text, 0, 100).suffix
            lines = suffix.removeprefix("\n" if typed else "").split("\n")
            assert set(lines) == {"b" * length}
            assert len(suffix) <= SUFFIX_CHARACTERS < len(suffix) + length + 2 + len(lines)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_answers_get_the_documents_line_end(line_end: str) -> None:
    """The way back."""
    assert to_line_end("a\nb", line_end) == f"a{line_end}b"


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a.py", "python"),
        ("file:///home/u/A.PY", "python"),
        ("C:\\x\\main.rs", "rust"),
        ("Makefile", "makefile"),
        ("a.tar.ts", "typescript"),
        ("README", ""),
        ("", ""),
        (".py", ""),
    ],
)
def test_language_of(path: str, language: str) -> None:
    """A file's language is told by its name, or not at all."""
    assert language_of(path) == language


def test_context_takes_the_language_of_the_file_where_the_editor_gives_none() -> None:
    """An editor's word counts more than a file's name."""
    assert collect(Snapshot("a.py", "", "x"), 1, 10).language_id == "python"
    assert collect(Snapshot("a.py", "ruby", "x"), 1, 10).language_id == "ruby"


def test_every_language_has_a_plain_fallback() -> None:
    """An unknown language has no strings that could be mistaken."""
    assert not syntax_of("klingon").strings
    assert all(syntax_of(name) is syntax for name, syntax in SYNTAXES.items())
