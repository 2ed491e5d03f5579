"""A tiny replay against the real server with the bundled model, over stdio."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from codegen_lsp.config.settings import Settings
from codegen_lsp.errors import CodegenError
from codegen_lsp.evaluation.client import Client
from codegen_lsp.evaluation.replay.bootstrap import compare
from codegen_lsp.evaluation.replay.corpora import own
from codegen_lsp.evaluation.replay.results import Answer, read_run, write_run
from codegen_lsp.evaluation.replay.run import Plan, replay

BUNDLED = Path(__file__).parents[2] / "codegen_lsp" / "models" / "bundled"

pytestmark = pytest.mark.skipif(
    not (BUNDLED / "model.bin").exists(), reason="the bundled model is not there"
)

MODULE = '''\
"""Files of one {what}, and what they take."""

from __future__ import annotations

import os
from pathlib import Path


def {what}_sizes(folder: str) -> dict[str, int]:
    """Size of every file in a folder, by name."""
    sizes = {{}}
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            sizes[name] = os.path.getsize(path)
    return sizes


def {what}_total(folder: str) -> int:
    """All of them together."""
    sizes = {what}_sizes(folder)
    return sum(sizes.values())


class {What}:
    """A folder that is looked at again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.total = 0

    def refresh(self) -> None:
        """Look at it now."""
        self.total = {what}_total(str(self.folder))
'''


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two modules of somebody, one of them twice."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for what in ("album", "archive"):
        text = MODULE.format(what=what, What=what.title())
        (folder / f"{what}.py").write_text(text)
    (folder / "broken.py").write_text("def (\n")
    return folder


def without_times(answers: list[Answer]) -> list[Answer]:
    """What has to be the same every time."""
    return [msgspec.structs.replace(answer, ms=0.0, data=None) for answer in answers]


def test_a_replay_of_two_files(repository: Path, tmp_path: Path) -> None:
    """Points, a block and a typed line are asked; the folder is untouched; again is the same."""
    before = {path: path.read_bytes() for path in repository.iterdir()}
    told: list[tuple[str, int, int]] = []
    plan = Plan(points=4, blocks=1, lines=1)
    settings = Settings(suggestions="eager")
    first = replay([own(repository)], settings, plan, lambda *one: told.append(one))
    assert {path: path.read_bytes() for path in repository.iterdir()} == before
    assert told[-1] == ("shop", 6, 6)
    assert [answer.point.kind for answer in first.points].count("block") == 1
    assert len(first.points) == 5
    assert any(answer.text for answer in first.points)
    for answer in first.points:
        assert answer.ms > 0
        assert answer.text is None or answer.text.strip()
    (line,) = first.typing
    assert line.keys + line.accepts == len(line.asks)
    assert len(line.truth) >= line.keys
    assert first.settings["suggestions"] == "eager"
    write_run(first, tmp_path / "run.json")
    again = replay([own(repository)], settings, Plan(4, 1, 0), lambda *_: None)
    assert without_times(again.points) == without_times(read_run(tmp_path / "run.json").points)
    alone = msgspec.structs.replace(first, typing=[])
    assert compare(alone, again).metrics["exact"].difference == 0


async def test_a_client_that_opens_a_folder(repository: Path) -> None:
    """The server says when it has read it; a request that is given up ends there, too."""
    async with Client({"suggestions": "eager"}, folder=repository) as client:
        await client.ready()
        with pytest.raises(CodegenError, match="-32601"):
            await client.request("codegen/nonsense", {})
        uri = (repository / "album.py").as_uri()
        client.open(uri, "python", "import os\n\n\ndef size(path):\n    return os.path.")
        items = await client.complete(uri, 4, 19)
        assert items
        said = await client.last_completion()
        assert said is None or said["text"] == items[0]["insertText"]
        client.insert(uri, 2, 4, 19, "getsize(")
        again = await client.complete(uri, 4, 27)
        assert all(not item["insertText"].startswith("getsize") for item in again)


async def test_a_server_that_does_not_start_is_ended() -> None:
    """Whoever waited for it in vain leaves no process behind."""
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    client = Client(command=command, timeout=0.5)
    with pytest.raises(CodegenError, match="did not answer initialize"):
        async with client:
            raise AssertionError
    assert client._process is not None
    assert client._process.returncode is not None
