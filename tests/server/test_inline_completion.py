"""``textDocument/inlineCompletion`` over stdio: positions, snapshots, and every way to end."""

from __future__ import annotations

import json

import pytest

from tests.server.raw_client import (
    PATIENCE,
    Json,
    RawClient,
    completion_params,
    echo_command,
    message,
)

EMPTY: Json = {"items": []}
LONG = "".join(f"line {number} é\n" for number in range(50_000))


def said(result: Json) -> str:
    """The text of the only item."""
    (item,) = result["items"]
    assert set(item) == {"insertText", "range"}
    text: str = item["insertText"]
    return text


def check(client: RawClient, uri: str, at: tuple[int, int], text: str, offset: int) -> None:
    """A request at ``at`` means ``offset``, and its range is an insertion just there."""
    result = client.complete(uri, *at)
    assert said(result) == f"⟨{offset} of {len(text)}: {text[max(0, offset - 10) : offset]}⟩"
    ends = result["items"][0]["range"]
    assert ends["start"] == ends["end"]
    assert ends["start"]["line"] <= at[0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_positions_in_every_encoding(server: RawClient, encoding: str) -> None:
    """The encoding agreed on holds for requests, changes and answers alike."""
    answer = server.initialize(capabilities={"general": {"positionEncodings": [encoding]}})
    assert answer["result"]["capabilities"]["positionEncoding"] == encoding
    text = "a\r\ncafe\u0301 = '😀'  \x0c# \u2028\rx\n"
    server.open("file:///e.py", text)
    line = text[3 : text.index("\rx")]
    for column in range(len(line) + 1):
        width = len(line[:column].encode({"utf-8": "utf-8"}.get(encoding, encoding + "-le")))
        character = width // {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
        check(server, "file:///e.py", (1, character), text, 3 + column)
        result = server.complete("file:///e.py", 1, character)
        assert result["items"][0]["range"]["end"] == {"line": 1, "character": character}
    change = {"start": {"line": 2, "character": 0}, "end": {"line": 2, "character": 1}}
    server.change("file:///e.py", {"range": change, "text": "yz"})
    check(server, "file:///e.py", (2, 2), text.replace("x", "yz"), len(text) - 1 + 1)


@pytest.mark.parametrize(
    ("text", "at", "offset"),
    [
        ("", (0, 0), 0),
        ("", (7, 7), 0),
        ("a\r\nb\rc\nd", (3, 1), 8),
        ("a\r\nb\rc\nd", (0, 99), 1),
        ("\tif x:\r\n\t\t", (1, 2), 10),
        ("x\n", (99, 0), 2),
        (LONG, (49_999, 3), len(LONG) - len("line 49999 é\n") + 3),
    ],
    ids=["empty", "outside empty", "mixed ends", "past line", "tabs", "past end", "50000 lines"],
)
def test_odd_documents(echo: RawClient, text: str, at: tuple[int, int], offset: int) -> None:
    """Empty, mixed line ends, tabs, huge; positions outside are clamped."""
    uri = f"file:///odd{len(text)}{at}.py"
    echo.open(uri, text)
    check(echo, uri, at, text, offset)


def test_changes_of_a_huge_document(echo: RawClient) -> None:
    """Typing in the middle of 50,000 lines ends in the right text."""
    uri = "file:///huge.py"
    echo.open(uri, LONG)
    for number in range(20):
        at = {"line": 25_000, "character": number}
        echo.change(uri, {"range": {"start": at, "end": at}, "text": "x"}, version=number + 2)
    offset = LONG.index("line 25000 ") + 20
    text = LONG.replace("line 25000 ", "x" * 20 + "line 25000 ")
    check(echo, uri, (25_000, 20), text, offset)


def test_replacing_the_rest_of_the_line(echo: RawClient) -> None:
    """A completion that takes text after the cursor says so by its range."""
    echo.open("file:///t.py", "tail)  \nx")
    (item,) = echo.complete("file:///t.py", 0, 4)["items"]
    assert item["range"] == {
        "start": {"line": 0, "character": 4},
        "end": {"line": 0, "character": 7},
    }


def test_nothing_is_an_empty_list(echo: RawClient) -> None:
    """Nothing to suggest is a list without items, never null."""
    echo.open("file:///n.py", "nothing")
    assert echo.complete("file:///n.py", 0, 7) == EMPTY


def test_a_newer_request_takes_over(echo: RawClient) -> None:
    """The older request of the document is answered with null, others are not touched."""
    echo.open("file:///s.py", "wait\nx")
    echo.open("file:///other.py", "wait")
    other = echo.post_completion("file:///other.py", 0, 4)
    older = echo.post_completion("file:///s.py", 0, 4)
    assert said(echo.complete("file:///s.py", 1, 1)) == "⟨6 of 6: wait\nx⟩"
    assert echo.answer(older)["result"] is None
    assert other not in echo.answers
    echo.notify("$/cancelRequest", {"id": other})
    echo.answer(other)


def test_cancel(echo: RawClient) -> None:
    """A request that the client cancels is answered with RequestCancelled."""
    echo.open("file:///c.py", "wait")
    request = echo.post_completion("file:///c.py", 0, 4)
    echo.notify("$/cancelRequest", {"id": request})
    assert echo.answer(request)["error"]["code"] == -32800
    echo.notify("$/cancelRequest", {"id": request})
    echo.notify("$/cancelRequest", {"id": 4711})


def test_the_document_is_seen_at_dispatch(echo: RawClient) -> None:
    """A change in the same packet, after the request, does not reach the request."""
    uri = "file:///d.py"
    echo.open(uri, "old")
    change = {"textDocument": {"uri": uri, "version": 2}, "contentChanges": [{"text": "newer"}]}
    echo.send(
        message("textDocument/inlineCompletion", completion_params(uri, 0, 3), "a")
        + message("textDocument/didChange", change)
        + message("textDocument/inlineCompletion", completion_params(uri, 0, 5), "b")
    )
    assert said(echo.answer("a")["result"]) == "⟨3 of 3: old⟩"
    assert said(echo.answer("b")["result"]) == "⟨5 of 5: newer⟩"


def test_closing_and_saving(echo: RawClient) -> None:
    """A closed document has no completions; opened again it has."""
    uri = "file:///close.py"
    for text in ("one", "three"):
        echo.open(uri, text)
        echo.notify("textDocument/didSave", {"textDocument": {"uri": uri}})
        check(echo, uri, (0, 99), text, len(text))
        echo.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
        assert echo.complete(uri, 0, 0) == EMPTY


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("broken", "no completions: no model 'bundled'; pull one"),
        ("crash", "no completion: ValueError in EchoService.complete"),
    ],
)
def test_failures_are_logged_not_answered(server: RawClient, word: str, line: str) -> None:
    """An empty list for the editor, one line in both logs, and nothing of the user's code."""
    server.initialize()
    server.open("file:///f.py", f"secret {word}\nok")
    for _ in range(2):
        assert server.complete("file:///f.py", 0, 50) == EMPTY
    assert "ERROR" in server.logged(line)
    assert said(server.complete("file:///f.py", 1, 2))
    if word == "broken":
        assert sum(line in error for error in server.errors) == 1
    popups = [one for one in server.notifications if one["method"] == "window/showMessage"]
    logged = [one["params"] for one in server.notifications if one not in popups]
    assert not popups
    assert any(one["type"] == 1 and line in one["message"] for one in logged)
    assert "secret" not in json.dumps(server.notifications) + "".join(server.errors)


def test_prints_of_libraries_stay_off_the_wire(echo: RawClient) -> None:
    """What Python or C code writes to stdout goes to stderr."""
    echo.open("file:///p.py", "print")
    assert said(echo.complete("file:///p.py", 0, 5))
    assert echo.logged("from Python")
    assert echo.logged("from C")


def test_a_burst_of_requests_is_answered_whole() -> None:
    """Hundreds of requests and changes at once: each request gets its one answer, in its state."""
    client = RawClient(echo_command())
    try:
        client.initialize()
        client.open("file:///b.py", "")
        end = {"line": 0, "character": 0}
        packet = b""
        for number in range(300):
            packet += message(
                "textDocument/didChange",
                {
                    "textDocument": {"uri": "file:///b.py", "version": number},
                    "contentChanges": [{"range": {"start": end, "end": end}, "text": "x"}],
                },
            )
            params = completion_params("file:///b.py", 0, number)
            packet += message("textDocument/inlineCompletion", params, f"r{number}")
        client.send(packet)
        for number in range(300):
            result = client.answer(f"r{number}")["result"]
            assert said(result).startswith(f"⟨{number} of {number + 1}:")
    finally:
        client.end()
    assert client.process.wait(PATIENCE) == 0
