"""Documents follow the editor, and what a request has seen never changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lsprotocol import types

from codegen_lsp.context.surroundings import Surroundings
from codegen_lsp.server.documents import DocumentStore
from codegen_lsp.server.features import sync
from codegen_lsp.server.positions import Encoding
from codegen_lsp.server.server import create_server
from tests.server.echo_server import EchoService

URI = "file:///a.py"


def store(text: str, encoding: Encoding = Encoding.UTF16) -> DocumentStore:
    """One open document."""
    documents = DocumentStore()
    documents.encoding = encoding
    documents.open(types.TextDocumentItem(URI, "python", 1, text))
    return documents


def partial(line: int, start: int, end: int, text: str) -> types.TextDocumentContentChangePartial:
    """A change within one line."""
    ends = (types.Position(line, start), types.Position(line, end))
    return types.TextDocumentContentChangePartial(types.Range(*ends), text)


def test_a_spot_stays_what_it_was() -> None:
    """Changes after the request was dispatched do not reach its snapshot."""
    documents = store("a = 1\nb\n")
    spot = documents.spot(URI, types.Position(1, 1))
    documents.change(URI, 2, [partial(0, 0, 5, "")])
    assert spot is not None
    assert (spot.snapshot.text, spot.snapshot.version) == ("a = 1\nb\n", 1)
    assert (spot.offset, spot.line_start, spot.line_text) == (7, 6, "b")
    newer = documents.spot(URI, types.Position(1, 1))
    assert newer is not None
    assert (newer.snapshot.text, newer.snapshot.version, newer.offset) == ("\nb\n", 2, 2)


def test_changes_apply_in_order_partial_and_whole() -> None:
    """Each change sees the text that the one before it left."""
    documents = store("one\n")
    whole = types.TextDocumentContentChangeWholeDocument("x😀y\n")
    documents.change(URI, 2, [partial(0, 0, 3, "two"), whole, partial(0, 3, 4, "!")])
    spot = documents.spot(URI, types.Position(9, 0))
    assert spot is not None
    assert spot.snapshot.text == "x😀!\n"


def test_ranges_are_in_the_editors_code_units() -> None:
    """The same offsets, in three encodings."""
    for encoding in Encoding:
        documents = store("\u0301😀xy", encoding)
        columns = {Encoding.UTF8: 7, Encoding.UTF16: 4, Encoding.UTF32: 3}
        spot = documents.spot(URI, types.Position(0, columns[encoding]))
        assert spot is not None
        assert spot.offset == 3
        end = types.Position(0, columns[encoding] + 1)
        assert spot.range(spot.offset, spot.offset + 1) == types.Range(
            types.Position(0, columns[encoding]), end
        )


def test_a_range_stays_on_the_line_and_holds_the_cursor() -> None:
    """Whatever a service answers, editors get a range that they accept."""
    spot = store("ab\ncd\nef").spot(URI, types.Position(1, 1))
    assert spot is not None
    for start, end in ((0, 8), (5, 5), (4, 4), (3, 2)):
        found = spot.range(start, end)
        assert found.start.line == found.end.line == 1
        assert found.start.character <= 1 <= found.end.character


@pytest.mark.parametrize(
    ("text", "stored"),
    [("a\ud83dz", "a\ufffdz"), ("\ud83d\ude00", "\ufffd\ufffd"), ("😀", "😀")],
)
def test_lone_surrogates_are_replaced(text: str, stored: str) -> None:
    """JSON can carry them; tokenizers cannot."""
    spot = store(text).spot(URI, types.Position(0, 0))
    assert spot is not None
    assert spot.snapshot.text == stored


def test_what_nobody_opened_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line for the first request, not one for every key."""
    documents = DocumentStore()
    for _ in range(3):
        assert documents.spot(URI, types.Position(0, 0)) is None
    documents.change(URI, 1, [])
    assert not documents.close(URI)
    assert [record.getMessage() for record in caplog.records] == [
        f"nothing to complete in a document that is not open: {URI}",
        f"a change of a document that is not open is ignored: {URI}",
    ]


def test_texts_of_open_documents() -> None:
    """What another document may show of this one is what it is now; nothing once it is closed."""
    documents = store("a = 1\n")
    assert URI in documents
    assert documents.change(URI, 2, [partial(0, 4, 5, "2")])
    assert (documents.text(URI), documents.language(URI)) == ("a = 2\n", "python")
    documents.close(URI)
    assert URI not in documents
    assert not documents.change(URI, 3, [])
    assert (documents.text(URI), documents.language(URI)) == ("", "")


class Told(Surroundings):
    """Surroundings that only note what they are told."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[tuple[str, ...]] = []

    def opened(self, uri: str, language_id: str, text: Callable[[], str]) -> None:
        """The text is what it is when it is taken."""
        self.notes.append(("opened", uri, language_id))
        self.text = text

    def changed(self, uri: str) -> None:
        """With the text as it is now."""
        self.notes.append(("changed", uri, self.text()))

    def closed(self, uri: str) -> None:
        """With what is left of the text."""
        self.notes.append(("closed", uri, self.text()))


def test_other_documents_hear_of_what_is_edited() -> None:
    """Documents and notebooks are announced as they are opened, edited and closed."""
    ls = create_server(EchoService)
    told = ls.surroundings = Told()
    item = types.TextDocumentItem(URI, "python", 1, "a")
    sync.did_open(ls, types.DidOpenTextDocumentParams(item))
    whole = types.TextDocumentContentChangeWholeDocument("b")
    for uri in (URI, "file:///stranger.py"):
        version = types.VersionedTextDocumentIdentifier(2, uri)
        sync.did_change(ls, types.DidChangeTextDocumentParams(version, [whole]))
    sync.did_close(ls, types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(URI)))
    assert told.notes[:3] == [("opened", URI, "python"), ("changed", URI, "b"), ("closed", URI, "")]
    assert set(told.notes[3:]) <= {("closed", URI, "")}
