"""Notebooks: the code of all cells is one document, positions are a cell's own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types

from codegen_lsp.server.documents import DocumentStore
from codegen_lsp.server.features import notebooks
from codegen_lsp.server.positions import Encoding
from codegen_lsp.server.server import create_server
from codegen_lsp.server.session import CodegenServer
from tests.server.echo_server import EchoService
from tests.server.raw_client import Json, RawClient

BOOK = "file:///home/me/sales%20figures.ipynb"


def cell_uri(name: str, book: str = BOOK) -> str:
    """As an editor names a cell."""
    return f"vscode-notebook-cell:{book.removeprefix('file://')}#{name}"


@dataclass(frozen=True)
class Cell:
    """What the tests know of a cell."""

    name: str
    text: str
    language: str = "python"
    code: bool = True

    @property
    def uri(self) -> str:
        """Its URI."""
        return cell_uri(self.name)

    @property
    def cell(self) -> Json:
        """As it stands in a notebook."""
        return {"kind": 2 if self.code else 1, "document": self.uri}

    @property
    def item(self) -> Json:
        """As its text is opened."""
        return {
            "uri": self.uri,
            "languageId": self.language,
            "version": 1,
            "text": self.text,
        }


CELLS = (
    Cell("a", "%matplotlib inline\nimport pandas as pd"),
    Cell("b", "# Sales\nSome *words* on them.", "markdown", code=False),
    Cell("c", "!pip install tables\ncafe\u0301 = '😀' + \nx = 1\n"),
    Cell("d", "%%sql\nselect 1", "sql"),
    Cell("e", ""),
    Cell("f", "raw words", "raw"),
    Cell("g", "%%time\nprint(café)\r\ndone"),
)

JOINED = "".join(f"{one.text}\n" for one in CELLS if one.language == "python")


def open_book(client: RawClient, cells: tuple[Cell, ...] = CELLS) -> None:
    """Open the notebook with some cells."""
    book = {
        "uri": BOOK,
        "notebookType": "jupyter-notebook",
        "version": 1,
        "cells": [one.cell for one in cells],
    }
    texts = [one.item for one in cells]
    client.notify(
        "notebookDocument/didOpen", {"notebookDocument": book, "cellTextDocuments": texts}
    )


def change_book(client: RawClient, uri: str = BOOK, **cells: object) -> None:
    """Change the notebook."""
    book = {"uri": uri, "version": 2}
    client.notify(
        "notebookDocument/didChange", {"notebookDocument": book, "change": {"cells": cells}}
    )


def structure(start: int, delete: int, *cells: Cell, opened: bool = True) -> Json:
    """Cells in the place of others."""
    return {
        "array": {"start": start, "deleteCount": delete, "cells": [one.cell for one in cells]},
        "didOpen": [one.item for one in cells] if opened else [],
        "didClose": [],
    }


def check(client: RawClient, name: str, line: int, character: int, joined: str, at: int) -> None:
    """A request in a cell sees *joined*, the cursor at *at*; its answer stays in the cell."""
    (item,) = client.complete(cell_uri(name), line, character)["items"]
    assert item["insertText"] == f"⟨{at} of {len(joined)}: {joined[max(0, at - 10) : at]}⟩"
    place = {"line": line, "character": character}
    assert item["range"] == {"start": place, "end": place}


def test_the_server_says_that_it_follows_notebooks(server: RawClient) -> None:
    """Every notebook, every cell; only to editors that know of them."""
    answer = server.initialize(capabilities={"notebookDocument": {"synchronization": {}}})
    offered = answer["result"]["capabilities"]["notebookDocumentSync"]
    assert offered == {"notebookSelector": [{"notebook": "*"}], "save": False}


def test_other_editors_are_told_nothing_of_notebooks(server: RawClient) -> None:
    """An editor without them could stumble."""
    assert "notebookDocumentSync" not in server.initialize()["result"]["capabilities"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_positions_in_cells(server: RawClient, encoding: str) -> None:
    """Lines are counted in the cell, offsets in the code of the whole notebook."""
    server.initialize(
        capabilities={
            "general": {"positionEncodings": [encoding]},
            "notebookDocument": {"synchronization": {}},
        }
    )
    open_book(server)
    check(server, "a", 0, 3, JOINED, 3)
    check(server, "a", 1, 19, JOINED, len(CELLS[0].text))
    line = "cafe\u0301 = '😀' + "
    begin = JOINED.index(line)
    for column in range(len(line) + 1):
        width = len(line[:column].encode({"utf-8": "utf-8"}.get(encoding, encoding + "-le")))
        character = width // {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
        check(server, "c", 1, character, JOINED, begin + column)
    check(server, "c", 3, 0, JOINED, JOINED.index("x = 1\n") + 6)
    check(server, "e", 0, 0, JOINED, JOINED.index("%%time") - 1)
    check(server, "g", 2, 4, JOINED, len(JOINED) - 1)


def test_an_answer_that_replaces_text_stays_in_its_cell(server: RawClient) -> None:
    """Its range is told in lines of the cell, however many stand before it."""
    server.initialize()
    open_book(server, (Cell("a", "1\n2\n3"), Cell("b", "x\ntail)  \ny"), Cell("c", "z")))
    (item,) = server.complete(cell_uri("b"), 1, 4)["items"]
    assert item["range"] == {
        "start": {"line": 1, "character": 4},
        "end": {"line": 1, "character": 7},
    }


def test_cells_that_are_no_code_of_the_notebook(server: RawClient) -> None:
    """A cell in words or in another language is a document of its own kind."""
    server.initialize()
    open_book(server)
    check(server, "b", 0, 3, CELLS[1].text, 3)
    check(server, "d", 1, 8, "%%sql\nselect 1\n", 14)
    check(server, "f", 0, 3, "raw words\n", 3)


def test_cells_come_go_move_and_change(server: RawClient) -> None:
    """After each of an editor's changes a request sees the notebook as the editor has it."""
    server.initialize()
    one, two, three = (Cell(name, f"{name} = 1\n{name}") for name in ("one", "two", "three"))
    open_book(server, (one, two))
    check(server, "two", 1, 3, "one = 1\none\ntwo = 1\ntwo\n", 23)
    change_book(server, structure=structure(1, 0, three))
    check(server, "two", 1, 3, "one = 1\none\nthree = 1\nthree\ntwo = 1\ntwo\n", 39)
    change_book(server, structure=structure(0, 2, opened=False))
    check(server, "two", 1, 3, "two = 1\ntwo\n", 11)
    change_book(server, structure=structure(1, 0, one, opened=False))
    check(server, "one", 0, 0, "two = 1\ntwo\none = 1\none\n", 12)
    ends = {"start": {"line": 0, "character": 6}, "end": {"line": 1, "character": 3}}
    change = {
        "document": {"uri": two.uri, "version": 3},
        "changes": [{"range": ends, "text": "2"}, {"range": ends, "text": "\n\n"}],
    }
    change_book(server, textContent=[change])
    check(server, "one", 0, 0, "two = \n\n\none = 1\none\n", 9)
    change_book(server, data=[replace(two, code=False).cell])
    check(server, "one", 1, 3, "one = 1\none\n", 11)
    change_book(server, data=[two.cell], metadata={})
    check(server, "one", 0, 0, "two = \n\n\none = 1\none\n", 9)
    left = {**structure(1, 1), "didClose": [{"uri": one.uri}]}
    change_book(server, structure=left)
    assert server.complete(one.uri, 0, 0) == {"items": []}
    check(server, "two", 0, 0, "two = \n\n\n", 0)


def test_what_is_not_open_is_named(server: RawClient) -> None:
    """One line each, and nothing else happens."""
    server.initialize()
    change_book(server, "file:///never.ipynb", structure=structure(0, 0, Cell("x", "x")))
    assert server.complete(cell_uri("x"), 0, 0) == {"items": []}
    open_book(server)
    close = {"notebookDocument": {"uri": BOOK}, "cellTextDocuments": [{"uri": cell_uri("a")}]}
    server.notify("notebookDocument/didSave", {"notebookDocument": {"uri": BOOK}})
    server.notify("notebookDocument/didClose", close)
    change = {"document": {"uri": cell_uri("c"), "version": 3}, "changes": [{"text": "y"}]}
    change_book(server, textContent=[change])
    server.notify("notebookDocument/didClose", close)
    for one in CELLS:
        assert server.complete(one.uri, 0, 0) == {"items": []}
    assert server.logged("a change of a notebook that is not open is ignored: file:///never.ipynb")
    assert server.logged(f"a change of a notebook that is not open is ignored: {BOOK}")
    assert server.logged(f"a notebook that is not open cannot be closed: {BOOK}")
    assert not [line for line in server.errors if "a document that is not open" in line[:60]]
    server.open("file:///still.py", "x")
    assert server.complete("file:///still.py", 0, 1)["items"]


@pytest.mark.parametrize(
    ("start", "delete", "left"),
    [(9, 1, "a = 1\nb = 2\n"), (1, 9, "a = 1\n"), (0, 2, "")],
)
def test_places_outside_a_notebook_are_clamped(start: int, delete: int, left: str) -> None:
    """An editor that counts wrongly still gets completions."""
    ls = create_server(EchoService)
    opened(ls, [Cell("a", "a = 1"), Cell("b", "b = 2")])
    array = types.NotebookCellArrayChange(start, delete)
    changed(ls, structure=types.NotebookDocumentCellChangeStructure(array))
    assert ls.documents.text(BOOK) == left


def opened(ls: CodegenServer, cells: list[Cell]) -> None:
    """The notebook is opened in a server that is connected to nothing."""
    book = types.NotebookDocument(BOOK, "jupyter-notebook", 1, [in_book(one) for one in cells])
    notebooks.did_open(
        ls, types.DidOpenNotebookDocumentParams(book, [as_item(one) for one in cells])
    )


def in_book(one: Cell) -> types.NotebookCell:
    """The cell as it stands in a notebook."""
    kind = types.NotebookCellKind.Code if one.code else types.NotebookCellKind.Markup
    return types.NotebookCell(kind, one.uri)


def as_item(one: Cell) -> types.TextDocumentItem:
    """The cell as its text is opened."""
    return types.TextDocumentItem(one.uri, one.language, 1, one.text)


def changed(
    ls: CodegenServer,
    *,
    structure: types.NotebookDocumentCellChangeStructure | None = None,
    data: list[types.NotebookCell] | None = None,
    text: list[types.NotebookDocumentCellContentChanges] | None = None,
) -> None:
    """The notebook is changed."""
    cells = types.NotebookDocumentCellChanges(structure, data, text)
    book = types.VersionedNotebookDocumentIdentifier(2, BOOK)
    change = types.NotebookDocumentChangeEvent(cells=cells)
    notebooks.did_change(ls, types.DidChangeNotebookDocumentParams(book, change))


TEXTS = st.text("ab%!é😀\n\r ", max_size=12)


@st.composite
def new_cells(draw: st.DrawFn, names: list[str], most: int) -> list[Cell]:
    """Some cells nobody had before."""
    found = []
    for _ in range(draw(st.integers(0, most))):
        names.append(f"cell{len(names)}")
        language = draw(st.sampled_from(["python", "python", "sql"]))
        found.append(Cell(names[-1], draw(TEXTS), language, draw(st.integers(0, 3)) > 0))
    return found


def splice(ls: CodegenServer, model: list[Cell], names: list[str], data: st.DataObject) -> None:
    """Cells come, go, or go and come back elsewhere (they moved)."""
    start = data.draw(st.integers(0, len(model)))
    count = data.draw(st.integers(0, len(model) - start))
    gone = model[start : start + count]
    came = data.draw(new_cells(names, 2))
    moved = [one for one in gone if data.draw(st.booleans())]
    array = types.NotebookCellArrayChange(start, count, [in_book(one) for one in came])
    closed = [types.TextDocumentIdentifier(one.uri) for one in gone if one not in moved]
    changed(
        ls,
        structure=types.NotebookDocumentCellChangeStructure(
            array, [as_item(one) for one in came], closed
        ),
    )
    model[start : start + count] = came
    at = data.draw(st.integers(0, len(model)))
    array = types.NotebookCellArrayChange(at, 0, [in_book(one) for one in moved])
    changed(ls, structure=types.NotebookDocumentCellChangeStructure(array))
    model[at:at] = moved


def edit(ls: CodegenServer, model: list[Cell], data: st.DataObject) -> None:
    """A cell gets another text: whole, or between two places."""
    at = data.draw(st.integers(0, len(model) - 1))
    new = data.draw(TEXTS)
    document = types.VersionedTextDocumentIdentifier(2, model[at].uri)
    if data.draw(st.booleans()):
        change: types.TextDocumentContentChangeEvent = types.TextDocumentContentChangeWholeDocument(
            new
        )
        text = new
    else:
        lines = model[at].text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        line = data.draw(st.integers(0, len(lines) - 1))
        column = data.draw(st.integers(0, len(lines[line])))
        place = types.Position(line, column)
        change = types.TextDocumentContentChangePartial(types.Range(place, place), new)
        lengths = [len(part) for part in split(model[at].text)]
        offset = sum(lengths[:line]) + column
        text = model[at].text[:offset] + new + model[at].text[offset:]
    changed(ls, text=[types.NotebookDocumentCellContentChanges(document, [change])])
    model[at] = replace(model[at], text=text)


def split(text: str) -> list[str]:
    """Lines with their ends, by LSP's rules."""
    marked = text.replace("\r\n", "\0").replace("\n", "\1").replace("\r", "\2")
    lines: list[str] = [""]
    for sign in marked:
        lines[-1] += {"\0": "\r\n", "\1": "\n", "\2": "\r"}.get(sign, sign)
        if sign in "\0\1\2":
            lines.append("")
    return lines


def seen(documents: DocumentStore, model: list[Cell]) -> None:
    """A request at the end of each cell sees what a naive model says."""
    for place, one in enumerate(model):
        spot = documents.spot(one.uri, types.Position(10**6, 0))
        assert spot is not None
        assert spot.snapshot.uri == one.uri
        assert spot.snapshot.language_id == one.language
        alike = [
            (number, cell.text + "\n")
            for number, cell in enumerate(model)
            if cell.code and cell.language == one.language
        ]
        if one.code:
            before = sum(len(text) for number, text in alike if number < place)
            joined = "".join(text for _, text in alike)
        else:
            before, joined = 0, one.text
        assert spot.snapshot.text == joined
        assert spot.offset == before + len(one.text)
        assert spot.line == len(split(one.text)) - 1
        assert joined[spot.line_start : spot.offset] == spot.line_text
        assert spot.range(spot.offset, spot.offset).start.line == spot.line


@settings(deadline=None)
@given(data=st.data())
def test_any_changes(data: st.DataObject) -> None:
    """Whatever is added, removed, moved and typed, all requests see the editor's notebook."""
    ls = create_server(EchoService)
    ls.documents.encoding = Encoding.UTF32
    names: list[str] = []
    model = data.draw(new_cells(names, 4))
    opened(ls, model)
    for _ in range(data.draw(st.integers(0, 6))):
        seen(ls.documents, model)
        if data.draw(st.booleans()) and model:
            edit(ls, model, data)
        else:
            splice(ls, model, names, data)
    seen(ls.documents, model)
    python = [one.text + "\n" for one in model if one.code and one.language == "python"]
    if ls.documents.language(BOOK) == "python":
        assert ls.documents.text(BOOK) == "".join(python)
    book = types.NotebookDocumentIdentifier(BOOK)
    notebooks.did_close(ls, types.DidCloseNotebookDocumentParams(book, []))
    assert not [one for one in model if one.uri in ls.documents]
    assert ls.documents.text(BOOK) == ""


@pytest.mark.parametrize("book", [BOOK, "untitled:Untitled-1.ipynb"])
@pytest.mark.parametrize("scheme", ["vscode-notebook-cell", "notebook-cell", "untitled"])
def test_typing_in_a_cell_is_no_edit_of_another_document(book: str, scheme: str) -> None:
    """However an editor names its cells, also those that came later: snippets stay for an epoch."""
    ls = create_server(EchoService)
    names = [f"{scheme}:/x.ipynb#{number}" for number in range(2)]
    items = [types.TextDocumentItem(uri, "python", 1, "x = 1") for uri in names]
    cells = [types.NotebookCell(types.NotebookCellKind.Code, uri) for uri in names]
    document = types.NotebookDocument(book, "jupyter-notebook", 1, cells[:1])
    notebooks.did_open(ls, types.DidOpenNotebookDocumentParams(document, items[:1]))
    array = types.NotebookCellArrayChange(1, 0, cells[1:])
    identifier = types.VersionedNotebookDocumentIdentifier(2, book)
    new = types.NotebookDocumentCellChanges(
        types.NotebookDocumentCellChangeStructure(array, items[1:])
    )
    for change in (new, types.NotebookDocumentCellChanges(text_content=[])):
        event = types.NotebookDocumentChangeEvent(cells=change)
        notebooks.did_change(ls, types.DidChangeNotebookDocumentParams(identifier, event))
    buffers = ls.surroundings._made()[0]
    assert buffers.edits_elsewhere("file:///other.py") > 0
    assert [buffers.edits_elsewhere(uri) for uri in names] == [0, 0]
