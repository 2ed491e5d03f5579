"""``serve --tcp``: several editors, each with a server of its own, one process."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.raw_client import PATIENCE, RawClient, completion_params, echo_command, message


class Connection:
    """A minimal editor on a socket."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.stream = self.socket.makefile("rb")

    def request(self, method: str, params: object = None) -> dict[str, Any]:
        """Send a request and wait for its answer, passing over notifications."""
        self.socket.sendall(message(method, params, "q"))
        while True:
            length = int(self.stream.readline().partition(b":")[2])
            while self.stream.readline().strip():
                pass
            content: dict[str, Any] = json.loads(self.stream.read(length))
            if content.get("id") == "q" and "method" not in content:
                return content

    def begin(self, text: str, **options: object) -> None:
        """The handshake and one open document."""
        self.request("initialize", {"capabilities": {}, "initializationOptions": options})
        item = {"uri": "file:///a.py", "languageId": "python", "version": 1, "text": text}
        self.socket.sendall(message("initialized", {}))
        self.socket.sendall(message("textDocument/didOpen", {"textDocument": item}))

    def complete(self, character: int) -> list[str]:
        """The texts that are suggested."""
        params = completion_params("file:///a.py", 0, character)
        answer = self.request("textDocument/inlineCompletion", params)
        return [item["insertText"] for item in answer["result"]["items"]]

    def close(self) -> None:
        """Hang up."""
        self.stream.close()
        self.socket.close()


@pytest.fixture
def listening() -> Iterator[tuple[RawClient, int]]:
    """A server process and its port."""
    process = RawClient([*echo_command(), "--tcp", "127.0.0.1:0"])
    found = re.search(r"listening on 127\.0\.0\.1:(\d+)", process.logged("listening on"))
    assert found
    yield process, int(found[1])
    process.process.kill()
    process.process.wait()


def test_editors_do_not_meet(listening: tuple[RawClient, int]) -> None:
    """Documents and ends of one connection are nothing to another."""
    process, port = listening
    one, two = Connection(port), Connection(port)
    one.begin("one")
    two.begin("two!")
    assert one.complete(3) == ["⟨3 of 3: one⟩"]
    assert two.complete(4) == ["⟨4 of 4: two!⟩"]
    assert one.request("shutdown")["result"] is None
    one.socket.sendall(message("exit"))
    assert one.stream.read() == b""
    one.close()
    assert two.complete(4) == ["⟨4 of 4: two!⟩"]
    two.close()
    three = Connection(port)
    three.begin("")
    assert three.complete(0) == ["⟨0 of 0: ⟩"]
    process.process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    three.close()
    assert not any("Traceback" in line for line in process.errors)


def test_an_address_in_use(listening: tuple[RawClient, int]) -> None:
    """One line that says what to do."""
    _, port = listening
    second = RawClient([*echo_command(), "--tcp", f"127.0.0.1:{port}"])
    second.logged(f"cannot listen on 127.0.0.1:{port}")
    assert second.wait() != 0
