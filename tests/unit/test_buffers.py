"""Open documents: which count, in which order, and what a keystroke costs."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.context.buffers import MOST_CLOSED, Buffers
from codegen_lsp.context.uris import name_of, path_of, scheme_of, usable

posix = pytest.mark.skipif(os.name == "nt", reason="paths as POSIX writes them")


class Editor:
    """Documents whose texts are counted as they are asked for."""

    def __init__(self) -> None:
        self.buffers = Buffers()
        self.texts: dict[str, str] = {}
        self.asked: list[str] = []

    def open(self, uri: str, text: str = "x = 1\n", language: str = "python") -> None:
        """Open a document."""
        self.texts[uri] = text
        self.buffers.opened(uri, language, lambda: self._text(uri))

    def type(self, uri: str, text: str) -> None:
        """Edit a document."""
        self.texts[uri] = text
        self.buffers.changed(uri)

    def recent(self, exclude: str = "") -> list[str]:
        """The names of recent documents, once their texts are taken."""
        self.buffers.take(exclude)
        return [name_of(buffer.uri) for buffer in self.buffers.recent(exclude)]

    def _text(self, uri: str) -> str:
        self.asked.append(uri)
        return self.texts[uri]


A, B, C = (f"file:///project/{name}.py" for name in "abc")


@posix
@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///home/u/a%20b.py", "/home/u/a b.py"),
        ("file:///home/u/../u/./a.py", "/home/u/a.py"),
        ("FILE:///a.py", "/a.py"),
        ("file:///%C3%BC.py", "/ü.py"),
        ("file:///a.py?x#y", "/a.py"),
        ("/home/u/a.py", "/home/u/a.py"),
        ("file://", None),
        ("file:///", None),
        ("", None),
        ("untitled:Untitled-1", None),
        ("git:/home/u/a.py?ref", None),
        ("vscode-notebook-cell:/home/u/a.ipynb#W1", "/home/u/a.ipynb"),
    ],
)
def test_path_of(uri: str, path: str | None) -> None:
    """A document is a file where its URI says so."""
    assert path_of(uri) == path


@pytest.mark.parametrize(
    ("uri", "scheme", "shown"),
    [
        ("file:///a.py", "file", True),
        ("a.py", "", True),
        ("C:\\code\\a.py", "", True),
        ("untitled:Untitled-1", "untitled", True),
        ("vscode-notebook-cell:/a.ipynb#W1", "vscode-notebook-cell", True),
        ("git:/a.py", "git", False),
        ("output:extension-output", "output", False),
        ("vscode-userdata:/settings.json", "vscode-userdata", False),
        ("gitlens:/a.py", "gitlens", False),
        ("debug:/a.py", "debug", False),
        ("https://example.org/a.py", "https", False),
    ],
)
def test_schemes(uri: str, scheme: str, shown: bool) -> None:
    """Older revisions, logs and settings are not code that the user is writing."""
    editor = Editor()
    editor.open(uri)
    assert scheme_of(uri) == scheme
    assert usable(uri) is shown
    assert bool(editor.recent()) is shown


@pytest.mark.parametrize("name", [".env", "id_rsa", "server.pem", ".aws/credentials"])
def test_secret_files_are_never_remembered(name: str) -> None:
    """Not even their text is asked for."""
    editor = Editor()
    editor.open(f"file:///project/{name}")
    editor.type(f"file:///project/{name}", "PASSWORD=1")
    assert editor.recent() == []
    assert editor.asked == []
    assert editor.buffers.at(f"/project/{name}") is None


def test_the_most_recently_active_is_first() -> None:
    """To open, to edit and to complete in a document is to be at work in it."""
    editor = Editor()
    for uri in (A, B, C):
        editor.open(uri)
    assert editor.recent() == ["c.py", "b.py", "a.py"]
    editor.type(A, "y = 2\n")
    assert editor.recent() == ["a.py", "c.py", "b.py"]
    editor.buffers.active(B)
    assert editor.recent() == ["b.py", "a.py", "c.py"]
    assert editor.recent(exclude=B) == ["a.py", "c.py"]


def test_a_keystroke_takes_no_text() -> None:
    """Texts are taken when another document is completed in, once per change."""
    editor = Editor()
    editor.open(A)
    editor.open(B)
    editor.recent(exclude=A)
    assert editor.asked == [B]
    for count in range(50):
        editor.type(A, f"x = {count}\n")
        editor.recent(exclude=A)
    assert editor.asked == [B]
    editor.recent(exclude=B)
    editor.recent(exclude=B)
    assert editor.asked == [B, A]


def test_versions_tell_texts_apart() -> None:
    """A new text has a greater version; the same text keeps its version."""
    editor = Editor()
    editor.open(A)
    editor.buffers.take()
    [first] = editor.buffers.recent()
    editor.type(A, "x = 1\n")
    editor.buffers.take()
    assert editor.buffers.recent() == [first]
    editor.type(A, "x = 2\n")
    assert editor.buffers.recent() == [first], "what was taken does not change by itself"
    editor.buffers.take()
    [second] = editor.buffers.recent()
    assert second.text == "x = 2\n"
    assert second.version > first.version
    assert (first.edited, second.edited) == (False, True)


def test_a_document_whose_text_was_never_taken_is_left_out() -> None:
    """Until then there is nothing to show."""
    editor = Editor()
    editor.open(A)
    assert editor.buffers.recent() == []
    buffer = editor.buffers.at("/project/a.py")
    assert buffer is None or buffer.text is None


def test_what_was_edited_stays_after_it_was_closed() -> None:
    """By its path: the disk has its text now. What was only looked at is forgotten."""
    editor = Editor()
    for uri in (A, B, "untitled:Untitled-1"):
        editor.open(uri)
    editor.type(A, "y = 2\n")
    editor.type("untitled:Untitled-1", "z = 3\n")
    editor.recent()
    for uri in (A, B, "untitled:Untitled-1", C):
        editor.buffers.closed(uri)
    [buffer] = editor.buffers.recent()
    assert (buffer.uri, buffer.text) == (A, None)
    assert editor.buffers.at("/project/a.py") is None
    editor.open(A, "w = 4\n")
    assert editor.recent() == ["a.py"]
    assert editor.buffers.recent()[0].text == "w = 4\n"


def test_closed_documents_are_bounded() -> None:
    """The last ones stay."""
    editor = Editor()
    for number in range(MOST_CLOSED + 5):
        uri = f"file:///project/{number}.py"
        editor.open(uri)
        editor.type(uri, "y\n")
        editor.buffers.closed(uri)
    names = editor.recent()
    assert len(names) == MOST_CLOSED
    assert names[0] == f"{MOST_CLOSED + 4}.py"


@posix
def test_an_open_document_is_found_by_its_file() -> None:
    """However its path is written."""
    editor = Editor()
    editor.open("file:///project/src/../a%2Epy", "open\n")
    editor.buffers.take()
    buffer = editor.buffers.at("/project/a.py")
    assert buffer is not None
    assert buffer.text == "open\n"
    editor.buffers.clear()
    assert editor.buffers.at("/project/a.py") is None
    assert editor.recent() == []


def test_edits_elsewhere() -> None:
    """Typing in a document changes nothing for itself, but for all others."""
    editor = Editor()
    editor.open(A)
    editor.open(B)
    here, there = editor.buffers.edits_elsewhere(A), editor.buffers.edits_elsewhere(B)
    editor.type(A, "y\n")
    assert editor.buffers.edits_elsewhere(A) == here
    assert editor.buffers.edits_elsewhere(B) != there


def test_a_cell_is_not_elsewhere() -> None:
    """Typing in a notebook is followed under its own URI, and asked about under its cell's."""
    notebook, cell = "file:///home/a.ipynb", "vscode-notebook-cell:/home/a.ipynb#W0s"
    editor = Editor()
    editor.open(notebook)
    here = editor.buffers.edits_elsewhere(cell)
    editor.type(notebook, "y\n")
    assert editor.buffers.edits_elsewhere(cell) == here
    assert editor.buffers.edits_elsewhere("vscode-notebook-cell:/home/b.ipynb#W0s") != here


@pytest.mark.parametrize("language", ["", "python"])
def test_language_of_a_document(language: str) -> None:
    """The editor's word, else the file's name."""
    editor = Editor()
    editor.open(A, language=language)
    editor.buffers.take()
    assert editor.buffers.recent()[0].language_id == "python"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["open", "type", "close", "active", "take"]),
            st.sampled_from([A, B, C, "untitled:1", "git:/a.py"]),
        ),
        max_size=40,
    )
)
def test_any_order_of_events(events: list[tuple[str, str]]) -> None:
    """What is recent is what is open, and what was edited and closed; texts are the editor's."""
    editor = Editor()
    is_open: set[str] = set()
    edited: set[str] = set()
    for number, (event, uri) in enumerate(events):
        if event == "open":
            editor.open(uri, f"{number}\n")
            is_open.add(uri)
        elif event == "type":
            editor.type(uri, f"{number}\n")
            edited |= {uri} & is_open
        elif event == "close":
            editor.buffers.closed(uri)
            is_open.discard(uri)
        elif event == "active":
            editor.buffers.active(uri)
        else:
            editor.buffers.take(uri)
    editor.buffers.take()
    found = {buffer.uri: buffer.text for buffer in editor.buffers.recent()}
    shown = {uri for uri in is_open if usable(uri)}
    stays = {uri for uri in edited - is_open if uri.startswith("file:")}
    assert {uri for uri, text in found.items() if text is not None} == shown
    assert {uri for uri, text in found.items() if text is None} <= stays
    assert all(found[uri] == editor.texts[uri] for uri in shown)


def test_who_works_in_a_part_works_in_the_whole() -> None:
    """Whatever the URIs of a notebook and of its cells are: its text is not taken, it is no other
    document, and typing in it is no edit elsewhere.
    """
    editor = Editor()
    book, cells = "untitled:Untitled-1.ipynb", ("notebook-cell:one", "notebook-cell:two")
    editor.open(A)
    editor.open(book)
    editor.buffers.joined(book, cells)
    assert editor.recent(cells[0]) == ["a.py"]
    editor.type(book, "y = 2\n")
    assert editor.recent(cells[1]) == ["a.py"]
    assert editor.asked == [A]
    assert editor.buffers.edits_elsewhere(cells[0]) == 0
    assert editor.buffers.edits_elsewhere(A) > 0
    editor.buffers.active(A)
    editor.buffers.active(cells[1])
    assert editor.recent(B) == ["Untitled-1.ipynb", "a.py"]
    editor.buffers.joined(book, cells[:1])
    assert editor.recent(cells[1]) == ["Untitled-1.ipynb", "a.py"]
    editor.buffers.closed(book)
    editor.open(book)
    assert editor.recent(cells[0]) == ["Untitled-1.ipynb", "a.py"]


@pytest.mark.parametrize("uri", ["untitled:.env", "untitled:C:\\x\\id_rsa", "file:///a/%2Eenv"])
def test_documents_with_names_of_secret_files_are_not_remembered(uri: str) -> None:
    """Also those that are not saved yet."""
    editor = Editor()
    editor.open(uri)
    assert editor.recent() == []
