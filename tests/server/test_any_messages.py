"""Whatever is sent, every request gets one answer and the next good request a good one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from codegen_lsp.server.server import create_server
from tests.server.echo_server import EchoService
from tests.server.raw_client import completion_params

URI = "file:///a.py"

GOOD: dict[str, Any] = {
    "initialize": {"capabilities": {"general": {"positionEncodings": ["utf-8"]}}},
    "initialized": {},
    "textDocument/didOpen": {
        "textDocument": {"uri": URI, "languageId": "python", "version": 1, "text": "x = é\n"}
    },
    "textDocument/didChange": {
        "textDocument": {"uri": URI, "version": 2},
        "contentChanges": [
            {
                "range": {
                    "start": {"line": 0, "character": 3},
                    "end": {"line": 9, "character": 0},
                },
                "text": "nothing",
            }
        ],
    },
    "textDocument/didClose": {"textDocument": {"uri": URI}},
    "textDocument/inlineCompletion": completion_params(URI, 0, 3),
    "textDocument/completion": {"textDocument": {"uri": URI}, "position": {"line": 0}},
    "workspace/didChangeConfiguration": {"settings": {"codegen": {"completionItems": True}}},
    "workspace/didChangeWorkspaceFolders": {"event": {"added": [], "removed": []}},
    "codegen/didMoveCursor": {
        "textDocument": {"uri": URI},
        "position": {"line": 0, "character": 1},
    },
    "$/setTrace": {"value": "verbose"},
    "workspace/executeCommand": {"command": "x", "arguments": [1]},
    "window/workDoneProgress/cancel": {"token": 1},
    "nonsense": {},
}

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner)
)


@st.composite
def mutated(draw: st.DrawFn, content: Any) -> Any:
    """``content`` with something in it replaced, dropped or added."""
    if isinstance(content, dict) and content and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(content)))
        return {**content, key: draw(mutated(content[key]))}
    if isinstance(content, dict) and content and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(content)))
        return {name: value for name, value in content.items() if name != key}
    return draw(values)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A message that is good, nearly good or any JSON."""
    if draw(st.integers(0, 9)) == 0:
        return json.dumps(draw(values)).encode()
    method = draw(st.sampled_from(sorted(GOOD)))
    params = draw(mutated(GOOD[method])) if draw(st.booleans()) else GOOD[method]
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    if draw(st.booleans()):
        message["id"] = draw(st.integers(0, 99))
    return json.dumps(message).encode()


class Sink:
    """A writer that keeps the answers."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []

    def write(self, data: bytes) -> None:
        """One message with its header."""
        content = json.loads(data.partition(b"\r\n\r\n")[2])
        if "method" not in content:
            self.answers.append(content)

    def close(self) -> None:
        """Nothing."""


def send(server: Any, id: object, method: str, params: object) -> None:
    """One message that is as it should be."""
    content = {"jsonrpc": "2.0", "method": method, "params": params}
    if id is not None:
        content["id"] = id
    server.protocol.receive(json.dumps(content).encode())


@settings(deadline=None, max_examples=60)
@given(st.lists(messages(), max_size=8))
def test_any_messages(sent: list[bytes]) -> None:
    """Nothing raises, and a good session after it is a good session."""

    async def check() -> None:
        server, sink = create_server(EchoService), Sink()
        server.protocol.set_writer(sink)
        for body in sent:
            server.protocol.receive(body)
        send(server, "first", "initialize", GOOD["initialize"])
        send(server, None, "textDocument/didOpen", GOOD["textDocument/didOpen"])
        send(server, "last", "textDocument/inlineCompletion", completion_params(URI, 0, 3))
        for _ in range(20):
            await asyncio.sleep(0)
        last = [one for one in sink.answers if one["id"] == "last"]
        assert [item["insertText"] for item in last[0]["result"]["items"]] == ["⟨3 of 6: x =⟩"]
        await server.aclose()

    asyncio.run(check())
