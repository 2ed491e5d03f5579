"""A cursor that rests: the real server, the bundled model, and a notification of our own."""

from __future__ import annotations

import asyncio

import pytest

from codegen_lsp.completion.rest import REST_SECONDS
from codegen_lsp.evaluation.client import AUTOMATIC, Client
from tests.server.raw_client import Json, RawClient

ELSEWHERE, URI = "untitled:b.py", "untitled:a.py"
CODE = "import argparse\n\n\n" + "".join(
    f"def add_{name}(parser):\n"
    f'    parser.add_argument("--{name}", default="{name}", help="the {name} of what is read")\n'
    f"    return parser\n\n\n"
    for name in ("path", "size", "limit", "offset", "color", "width", "height", "title", "author")
)
LINE = CODE.count("\n")
TAIL = "def main():\n    parser = argparse.ArgumentParser()\n    args ="
SETTINGS = {"suggestions": "eager"}


def move(client: Client, uri: str, line: int, character: int) -> None:
    place = {"line": line, "character": character}
    client.notify("codegen/didMoveCursor", {"textDocument": {"uri": uri}, "position": place})


async def counted(client: Client) -> dict[str, int]:
    found = await client.statistics()
    assert found is not None
    return dict(found)


async def rested(client: Client) -> int:
    """How much was read ahead once the cursor has rested, and the machine has had time to."""
    await asyncio.sleep(REST_SECONDS + 0.3)
    for _ in range(20):
        if found := (await counted(client))["prewarmed"]:
            return found
        await asyncio.sleep(0.1)
    return 0


@pytest.mark.parametrize("told", [True, False])
async def test_a_jump_to_another_file(told: bool) -> None:
    """Where the cursor rested, the first request has hardly anything to read."""
    async with Client(SETTINGS) as client:
        client.open(URI, "python", CODE + TAIL)
        client.open(ELSEWHERE, "python", "import os\n\n\ndef size(path):\n    return os.path.")
        assert await client.complete(ELSEWHERE, 4, 19)
        if told:
            move(client, URI, LINE + 2, 10)
        assert await rested(client) == told
        before = await counted(client)
        assert await client.complete(URI, LINE + 2, 10, AUTOMATIC)
        after = await counted(client)
        assert after["asked"] == before["asked"] + 1
        read = after["tokens_read"] - before["tokens_read"]
        assert read <= 64 if told else read > 200


async def test_a_key_is_no_rest() -> None:
    """Who types is not at rest, though his editor asks for nothing."""
    async with Client(SETTINGS) as client:
        client.open(URI, "python", CODE + TAIL)
        client.open(ELSEWHERE, "python", "import os\n\n\ndef size(path):\n    return os.path.")
        assert await client.complete(ELSEWHERE, 4, 19)
        move(client, URI, LINE + 2, 10)
        client.insert(URI, 2, LINE + 2, 10, " ")
        assert await rested(client) == 0


async def test_before_the_first_completion() -> None:
    """Looking at files opens no model."""
    async with Client(SETTINGS) as client:
        client.open(URI, "python", CODE + TAIL)
        move(client, URI, LINE + 2, 10)
        assert await rested(client) == 0
        assert await client.last_completion() is None


@pytest.mark.parametrize(
    ("params", "line"),
    [
        (None, "make no sense"),
        ([], "make no sense"),
        ({}, "make no sense"),
        ({"textDocument": {"uri": URI}}, "make no sense"),
        ({"textDocument": {"uri": URI}, "position": {"line": 1}}, "make no sense"),
        ({"textDocument": URI, "position": {"line": 1, "character": 1}}, "make no sense"),
        (
            {"textDocument": {"uri": "file:///no.py"}, "position": {"line": 1, "character": 1}},
            "not open",
        ),
    ],
)
def test_parameters_that_make_no_sense(echo: RawClient, params: Json | None, line: str) -> None:
    """They cost a line in the log, and nothing else."""
    echo.open(URI, "x")
    assert echo.complete(URI, 0, 1)["items"]
    del echo.errors[:]
    echo.notify("codegen/didMoveCursor", params)
    assert echo.complete(URI, 0, 1)["items"]
    assert "WARNING" in echo.logged(line)


def test_any_place_of_a_document(echo: RawClient) -> None:
    """A place outside the text is one at its end, as everywhere."""
    echo.open(URI, "x")
    assert echo.complete(URI, 0, 1)["items"]
    del echo.errors[:]
    for line, character in ((0, 0), (0, 99), (99, 0)):
        place = {"line": line, "character": character}
        echo.notify("codegen/didMoveCursor", {"textDocument": {"uri": URI}, "position": place})
    assert echo.complete(URI, 0, 1)["items"]
    assert echo.errors == []
