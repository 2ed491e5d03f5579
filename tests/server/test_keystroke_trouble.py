"""The keystroke path where things go wrong: the real server, the bundled model, an editor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from codegen_lsp.evaluation.client import AUTOMATIC, Client

URI = "untitled:a.py"
CODE = (
    "import argparse\n\n\ndef main():\n    parser = argparse.ArgumentParser()\n"
    '    parser.add_argument("--name")\n    args ='
)
LINE, COLUMN = 6, 10
PLAIN = {"suggestions": "eager", "prefetch": False}


async def last_timings(client: Client) -> dict[str, float]:
    found = await client.last_completion()
    assert found is not None
    return dict(found["timings"])


async def test_fifty_requests_at_once() -> None:
    """Every request is answered, the last one with a completion, and few cost a job."""
    async with Client(PLAIN) as client:
        client.open(URI, "python", CODE)
        assert await client.complete(URI, LINE, COLUMN, AUTOMATIC)
        tasks = []
        for count in range(50):
            client.insert(URI, 2 + count, LINE, COLUMN + count, "x")
            place = COLUMN + count + 1
            tasks.append(asyncio.ensure_future(client.complete(URI, LINE, place, AUTOMATIC)))
            await asyncio.sleep(0.002)
        await asyncio.gather(*tasks)
        client.insert(URI, 60, LINE, COLUMN, " parser")  # somewhere else in the line
        counts = await client.request("codegen/statistics", None)
        assert counts["requests"] == 51
        assert counts["asked"] <= 25  # a machine that is busy elsewhere gives time for more
        client.open("untitled:b.py", "python", CODE)
        assert await client.complete("untitled:b.py", LINE, COLUMN, AUTOMATIC)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot stop a process like that")
async def test_a_laptop_that_sleeps_in_the_middle_of_a_request() -> None:
    """The answer comes after waking, and the next one is as long as before it slept."""
    async with Client(PLAIN) as client:
        client.open(URI, "python", "x = 1\n" * 300 + CODE)
        line = LINE + 300
        assert await client.complete(URI, line, COLUMN, AUTOMATIC)
        before = await last_timings(client)
        client.insert(URI, 2, line, COLUMN, " ")
        asked = asyncio.ensure_future(client.complete(URI, line, COLUMN + 1, AUTOMATIC))
        await asyncio.sleep(0.002)
        os.kill(client.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(1.5)
        finally:
            os.kill(client.pid, signal.SIGCONT)
        await asked
        client.open("untitled:b.py", "python", "y = 1\n" * 300 + CODE)
        assert await client.complete("untitled:b.py", line, COLUMN, AUTOMATIC)
        after = await last_timings(client)
        assert after["prompt_tokens"] == before["prompt_tokens"]


async def test_two_editors_on_one_machine(tmp_path: Path) -> None:
    """Each has its server and its answers, the same ones, though both ask at once."""
    home = {"CODEGEN_LSP_HOME": str(tmp_path)}
    async with (
        Client(PLAIN, environment=home) as one,
        Client(PLAIN, environment=home) as other,
    ):
        texts = []
        for client in (one, other):
            client.open(URI, "python", CODE)
        for _ in range(3):
            answers = await asyncio.gather(
                one.complete(URI, LINE, COLUMN), other.complete(URI, LINE, COLUMN)
            )
            texts += [answer[0]["insertText"] for answer in answers]
        assert len(set(texts)) == 1


@pytest.mark.parametrize("deadline", [0, 1, 60_000, -5, 10**9, "soon"])
async def test_any_deadline(deadline: object) -> None:
    """None, an absurdly short or long one, and what is none at all: there is an answer."""
    settings = {**PLAIN, "deadline": deadline, "invokedDeadline": deadline}
    async with Client(settings) as client:
        client.open(URI, "python", CODE)
        assert await client.complete(URI, LINE, COLUMN, AUTOMATIC)
        assert await client.complete(URI, LINE, COLUMN)


async def test_an_editor_that_leaves_in_the_middle_of_a_request() -> None:
    """The server ends with the connection, whatever is being computed."""
    client = Client(PLAIN)
    await client.start()
    client.open(URI, "python", CODE)
    asked = asyncio.ensure_future(client.complete(URI, LINE, COLUMN, AUTOMATIC))
    await asyncio.sleep(0.05)
    assert await client.stop() == 0
    with contextlib.suppress(Exception):
        await asked
