"""Whatever arrives: a clear line, the right error where one is due, and the server serves on."""

from __future__ import annotations

import json

import pytest

from tests.server.raw_client import RawClient, frame, message

URI = "file:///still-serves.py"
DID_CHANGE = "textDocument/didChange"
COMPLETE = "textDocument/inlineCompletion"


def rpc(**content: object) -> bytes:
    """A framed message of any content."""
    return frame(json.dumps({"jsonrpc": "2.0", **content}).encode())


def serves(client: RawClient) -> None:
    """A good request right after gets a good answer."""
    client.open(URI, "x")
    assert client.complete(URI, 0, 1)["items"]
    assert not [one for one in client.notifications if one["method"] == "window/showMessage"]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"no header at all\r\n", "18 bytes that are no message header are ignored"),
        (frame(b"{"), "a message of 1 bytes that is not JSON is ignored"),
        (frame(b""), "a message of 0 bytes that is not JSON is ignored"),
        (frame(b'{"a":"\xff"}'), "a message of 9 bytes that is not JSON is ignored"),
        (frame(b"[" * 99_999), "a message of 99999 bytes that is not JSON is ignored"),
        (frame(b"[1, 2]"), "a message of 6 bytes that is not JSON-RPC 2.0 is ignored"),
        (frame(b'"text"'), "a message of 6 bytes that is not JSON-RPC 2.0 is ignored"),
        (frame(b'{"method": "x"}'), "a message of 15 bytes that is not JSON-RPC 2.0"),
        (rpc(method=7), "that is not JSON-RPC 2.0 is ignored"),
        (rpc(id={}, method="shutdown"), "that is not JSON-RPC 2.0 is ignored"),
        (rpc(id=1), "that is not JSON-RPC 2.0 is ignored"),
        (rpc(method=DID_CHANGE, params={"x": 1}), f"parameters of {DID_CHANGE} make no sense"),
        (rpc(method="textDocument/didOpen"), "parameters of textDocument/didOpen make no sense"),
        (rpc(method="$/cancelRequest", params=[]), "parameters of $/cancelRequest make no sense"),
        (
            rpc(
                method=DID_CHANGE,
                params={
                    "textDocument": {"uri": "file:///unknown.py", "version": 1},
                    "contentChanges": [{"text": ""}],
                },
            ),
            "a change of a document that is not open is ignored: file:///unknown.py",
        ),
        (
            rpc(
                method="textDocument/didClose",
                params={"textDocument": {"uri": "file:///unknown.py"}},
            ),
            "a document that is not open cannot be closed: file:///unknown.py",
        ),
        (rpc(id="nobody", result=1, error={}), "an answer of the editor that makes no sense"),
    ],
)
def test_is_logged_and_ignored(echo: RawClient, data: bytes, line: str) -> None:
    """Nothing is answered, because there is nobody to answer; the log names it."""
    del echo.errors[:]
    echo.send(data)
    serves(echo)
    assert "WARNING" in echo.logged(line)


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("no/such", {}, -32601),
        ("$/no/such", {}, -32601),
        ("textDocument/hover", {}, -32601),
        (COMPLETE, {}, -32602),
        (COMPLETE, None, -32602),
        (COMPLETE, [1], -32602),
        (
            COMPLETE,
            {
                "textDocument": {"uri": URI},
                "position": {"line": -1, "character": 0},
                "context": {"triggerKind": 1},
            },
            -32602,
        ),
        ("initialize", {"capabilities": {}, "processId": None, "rootUri": None}, -32600),
        ("workspace/executeCommand", {"command": "none"}, -32602),
    ],
)
def test_a_wrong_request_is_answered_with_its_error(
    echo: RawClient, method: str, params: object, code: int
) -> None:
    """A request always gets an answer, with the code the specification has for it."""
    assert echo.request(method, params)["error"]["code"] == code
    serves(echo)


def test_unknown_notifications_are_nothing_special(echo: RawClient) -> None:
    """Editors send what they like; it does not fill the log."""
    before = len(echo.errors)
    for method in ("$/setTrace", "$/whatever", "textDocument/didFancy"):
        echo.notify(method, {"value": "off"})
    serves(echo)
    assert len(echo.errors) == before


def test_a_document_whose_change_cannot_be_read_is_not_guessed(echo: RawClient) -> None:
    """Completing a text that is no longer the editor's would be worse than nothing."""
    uri = "file:///lost.py"
    echo.open(uri, "x")
    params = {"textDocument": {"uri": uri, "version": 2}, "contentChanges": [{"range": 1}]}
    echo.send(rpc(method=DID_CHANGE, params=params))
    assert echo.complete(uri, 0, 1) == {"items": []}
    echo.logged(f"the document is no longer followed: {uri}")
    serves(echo)


def test_before_initialize(server: RawClient) -> None:
    """Requests are refused with ServerNotInitialized, notifications ignored; then all is well."""
    assert server.request(COMPLETE, {})["error"]["code"] == -32002
    assert server.request("shutdown")["error"]["code"] == -32002
    server.open(URI, "too early")
    server.logged("textDocument/didOpen before initialize")
    server.initialize()
    assert server.complete(URI, 0, 1) == {"items": []}
    serves(server)


def test_after_shutdown(server: RawClient) -> None:
    """Only ``exit`` is welcome; everything else is an invalid request."""
    server.initialize()
    assert server.request("shutdown")["result"] is None
    assert server.request(COMPLETE, {})["error"]["code"] == -32600
    server.open(URI, "too late")
    server.notify("exit")
    assert server.wait() == 0


def test_capabilities_nobody_knows(server: RawClient) -> None:
    """An editor newer than this server is served all the same, in the encoding it asks for."""
    capabilities = {
        "general": {"positionEncodings": ["utf-8", "utf-64"]},
        "textDocument": {"completion": {"completionItemKind": {"valueSet": ["new"]}}},
        "brandNew": {"x": 1},
    }
    answer = server.initialize(capabilities=capabilities)
    assert answer["result"]["capabilities"]["positionEncoding"] == "utf-8"
    serves(server)


def test_initialize_that_makes_no_sense(server: RawClient) -> None:
    """It is refused, and a better one is accepted afterwards."""
    server.send(message("initialize", [1], "bad"))
    assert server.answer("bad")["error"]["code"] == -32602
    server.initialize()
    serves(server)
