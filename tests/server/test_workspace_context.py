"""The real server in a folder: what it knows of the folder's files, and what it says of answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codegen_lsp.evaluation.client import Client

pytestmark = pytest.mark.timeout(120)

HELPER = "def rectangle_area(width, height):\n    return width * height\n"


async def context(client: Client) -> dict[str, Any]:
    """What the server knows of its folders."""
    answer = await client.request("codegen/context", None)
    assert isinstance(answer, dict)
    return answer


async def eventually(client: Client, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask until it holds; the server looks at the disk some time after an event."""
    end = time.monotonic() + 60
    while not holds(found := await context(client)):
        assert time.monotonic() < end, found
        await asyncio.sleep(0.1)
    return found


async def test_files_come_and_go(tmp_path: Path) -> None:
    """Also those that an ignore file takes away."""
    (tmp_path / "shapes.py").write_text(HELPER)
    (tmp_path / ".env").write_text("KEY=1\n")
    async with Client({"suggestions": "eager"}, folder=tmp_path) as client:
        found = await eventually(client, lambda known: bool(known["ready"]))
        assert [(one["root"], one["state"]) for one in found["folders"]] == [
            (str(tmp_path), "ready")
        ]
        assert found["files"] == 1
        (tmp_path / "more.py").write_text(HELPER)
        await eventually(client, lambda known: known["files"] == 2)
        (tmp_path / ".gitignore").write_text("shapes.py\n")
        await eventually(client, lambda known: known["files"] == 1)
        (tmp_path / "more.py").unlink()
        await eventually(client, lambda known: known["files"] == 0)


async def test_nothing_is_read_that_nobody_wants(tmp_path: Path) -> None:
    """Without sources that need files, no folder is read."""
    (tmp_path / "shapes.py").write_text(HELPER)
    async with Client({"contextSources": ["open", "header"]}, folder=tmp_path) as client:
        found = await eventually(client, lambda known: bool(known["ready"]))
        assert (found["files"], found["folders"]) == (0, [])


async def test_the_home_folder_is_no_workspace(tmp_path: Path) -> None:
    """It is refused, and open files are completed as ever."""
    (tmp_path / "shapes.py").write_text(HELPER)
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    async with Client({"suggestions": "eager"}, folder=tmp_path, environment=home) as client:
        found = await eventually(client, lambda known: bool(known["folders"]))
        assert [one["state"] for one in found["folders"]] == ["refused"]
        client.open("untitled:a.py", "python", HELPER + "\n\ndef square(side):\n    return ")
        assert await client.complete("untitled:a.py", 5, 11)


async def test_what_is_known_of_the_last_completion(tmp_path: Path) -> None:
    """Its text, how likely it is, and what it was made of; nothing before there was one."""
    async with Client({"suggestions": "eager"}, folder=tmp_path) as client:
        assert await client.request("codegen/lastCompletion", None) is None
        client.open("untitled:a.py", "python", HELPER + "\n\ndef square(side):\n    return ")
        [item] = await client.complete("untitled:a.py", 5, 11)
        found = await client.request("codegen/lastCompletion", None)
        assert found["text"] == item["insertText"]
        assert found["source"] == "cold"
        assert 0 <= found["confidence"] <= 1
        assert "".join(text for text, _ in found["pieces"]) == found["text"]
        assert all(log_prob <= 0 for _, log_prob in found["pieces"])


async def test_who_answered_how_many_requests(tmp_path: Path) -> None:
    """The engine, or what was there already; counted since the start of the connection."""
    async with Client({"suggestions": "eager", "prefetch": False}, folder=tmp_path) as client:
        client.open("untitled:a.py", "python", HELPER + "\n\ndef square(side):\n    return ")
        for _ in range(2):
            assert await client.complete("untitled:a.py", 5, 11)
        found = await client.request("codegen/statistics", None)
        assert (found["requests"], found["asked"], found["cached"]) == (2, 1, 1)
        assert found["tokens_written"] > 0
