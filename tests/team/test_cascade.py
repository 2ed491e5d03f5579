"""The real language server and the real team server: together, and when the server dies."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from codegen_lsp.evaluation.client import AUTOMATIC, Client
from tests.support.team import TeamServer

URI = "untitled:a.py"
CODE = "import argparse\n\nparser = argparse.ArgumentParser()\nargs = "
LINE, COLUMN = 3, 7


@pytest.fixture
def team(tmp_path: Path) -> Iterator[TeamServer]:
    """One machine that serves the bundled model."""
    server = TeamServer(tmp_path)
    yield server
    server.end()


def settings(team: TeamServer, answers: str) -> dict[str, object]:
    return {"server": team.url, "answers": answers, "suggestions": "eager", "prefetch": False}


@pytest.fixture
async def both(team: TeamServer) -> AsyncIterator[Client]:
    """An editor that asks both."""
    async with Client(settings(team, "both")) as client:
        client.open(URI, "python", CODE)
        yield client


async def counted(client: Client, name: str, least: int) -> int:
    """What was counted, once it is at least so much."""
    for _ in range(200):
        found = (await client.statistics() or {}).get(name, 0)
        if found >= least:
            return int(found)
        await asyncio.sleep(0.05)
    raise AssertionError(f"{name} is {found}, not {least}")


async def ask(client: Client, number: int) -> list[dict[str, object]]:
    """A completion at a place that is new each time."""
    uri = f"untitled:{number}.py"
    client.open(uri, "python", CODE.replace("parser", f"parser{number}"))
    return await client.complete(uri, LINE, COLUMN, AUTOMATIC)


async def test_both_are_asked(team: TeamServer, both: Client) -> None:
    """This machine's answer is there at once, the server's comes as well, and is kept."""
    assert await both.complete(URI, LINE, COLUMN, AUTOMATIC)
    assert await counted(both, "server_answered", 1) == 1


async def test_the_server_alone(team: TeamServer) -> None:
    """What is shown is what the server said; this machine's engine is asked for nothing."""
    async with Client(settings(team, "remote")) as client:
        client.open(URI, "python", CODE)
        assert await client.complete(URI, LINE, COLUMN, AUTOMATIC)
        known = await client.last_completion()
        assert known is not None
        assert known["source"] == "remote"
        counts = await client.statistics() or {}
        assert (counts["server_asked"], counts["asked"]) == (1, 0)


async def test_a_server_that_is_killed(team: TeamServer, both: Client, tmp_path: Path) -> None:
    """The editor has suggestions all the same, and the server's again when that is back."""
    assert await ask(both, 0)
    asked = await counted(both, "server_answered", 1)
    team.process.kill()
    team.process.wait(10)
    for number in range(1, 6):
        assert await ask(both, number)
    again = TeamServer(tmp_path, "--port", str(team.port))
    try:
        number, until = 6, time.monotonic() + 30
        while time.monotonic() < until:
            assert await ask(both, number)
            await asyncio.sleep(0.4)
            if ((await both.statistics()) or {})["server_answered"] > asked:
                return
            number += 1
        raise AssertionError("the server was not asked again")
    finally:
        again.end()


def test_doctor_looks_at_the_server(team: TeamServer, tmp_path: Path) -> None:
    """What it serves, and whose tokenizer; what to do where nobody is there, or it is no server."""
    rows = [
        (team.url, "ok", "serves codegen-6M-mono, its own tokenizer is here"),
        ("http://127.0.0.1:9", "warn", "this machine answers meanwhile"),
        ("nonsense", "fail", "is no URL"),
    ]
    for url, status, words in rows:
        environment = {
            **os.environ,
            "CODEGEN_LSP_HOME": str(tmp_path / "home"),
            "CODEGEN_LSP_SERVER": url,
        }
        ran = subprocess.run(
            [sys.executable, "-m", "codegen_lsp", "doctor", "--json"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        checks = json.loads(ran.stdout.splitlines()[-1])["checks"]
        row = next(one for one in checks if one["name"] == "server")
        assert row["status"] == status, row
        assert words in row["detail"], row
        assert status == "ok" or row["mend"], row
