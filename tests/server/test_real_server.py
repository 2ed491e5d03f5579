"""``codegen-lsp --stdio`` itself: real models, missing ones, damaged ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.raw_client import Json, RawClient, real_command
from tests.support.tiny import tiny_model

URI = "file:///project/example.py"
TEXT = "import os\r\n\r\n\r\ndef size(path):\r\n    return os.path."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete model folder with random weights."""
    return tiny_model(tmp_path_factory)


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RawClient]:
    """The real server, with a home of its own."""
    client = RawClient(real_command(), CODEGEN_LSP_HOME=str(tmp_path / "home"))
    yield client
    client.end()
    assert not any("Traceback" in line for line in client.errors)


def check(result: Json, line: int, character: int, text: str) -> None:
    """An answer that every editor can show: a list, plain text, one line around the cursor."""
    assert isinstance(result["items"], list)
    for item in result["items"]:
        assert isinstance(item["insertText"], str)
        assert item["insertText"].strip()
        start, end = item["range"]["start"], item["range"]["end"]
        assert start["line"] == end["line"] == line
        assert start["character"] <= character <= end["character"]
        assert "\n" not in item["insertText"].replace("\r\n", "") or "\r\n" not in text


def test_a_real_model_answers(real: RawClient, model: Path) -> None:
    """From the first message to ``exit``; random weights may well suggest nothing."""
    real.initialize(initializationOptions={"model": str(model), "logLevel": "debug"})
    real.open(URI, TEXT)
    for kind in (1, 2):
        check(real.complete(URI, 4, 19, kind), 4, 19, TEXT)
    assert not any("ERROR" in line for line in real.errors)
    assert real.request("shutdown")["result"] is None
    real.notify("exit")
    assert real.wait() == 0


@pytest.mark.parametrize("warm", [False, True], ids=["loading", "generating"])
def test_an_editor_that_leaves_while_it_is_served(real: RawClient, model: Path, warm: bool) -> None:
    """End of file while the model is opened or in use: the process ends, quietly."""
    real.initialize(initializationOptions={"model": str(model)})
    real.open(URI, TEXT)
    if warm:
        check(real.complete(URI, 4, 19), 4, 19, TEXT)
    for character in range(10):
        real.post_completion(URI, 3, character)
    real.close_input()
    assert real.wait() == 0


def damaged(model: Path, folder: Path, *, lost: str | None = None, cut: str | None = None) -> Path:
    """A copy of a model in which a file is missing or truncated."""
    shutil.copytree(model, folder)
    if lost is not None:
        (folder / lost).unlink()
    if cut is not None:
        (folder / cut).write_bytes((folder / cut).read_bytes()[:100])
    return folder


@pytest.mark.parametrize("case", ["no such folder", "empty folder", "lost", "cut", "tokenizer"])
def test_a_model_that_cannot_be_used(
    real: RawClient, model: Path, tmp_path: Path, case: str
) -> None:
    """One clear line, empty lists, no pop-up; with a good model the same server answers."""
    folder = tmp_path / "model"
    if case == "empty folder":
        folder.mkdir()
    elif case == "lost":
        damaged(model, folder, lost="model.bin")
    elif case == "cut":
        damaged(model, folder, cut="model.bin")
    elif case == "tokenizer":
        damaged(model, folder, cut="tokenizer.json")
    real.initialize(initializationOptions={"model": str(folder)})
    real.open(URI, TEXT)
    for _ in range(3):
        assert real.complete(URI, 4, 19) == {"items": []}
    line = real.logged("no completions: ")
    assert "ERROR" in line
    assert str(folder) in line or folder.name in line
    assert sum("no completions: " in one for one in real.errors) == 1
    settings = {"codegen": {"model": str(model)}}
    real.notify("workspace/didChangeConfiguration", {"settings": settings})
    del real.errors[:]
    check(real.complete(URI, 4, 19), 4, 19, TEXT)
    assert not any("ERROR" in one for one in real.errors)
    assert not any(one["method"] == "window/showMessage" for one in real.notifications)


BUNDLED = Path(__file__).parents[2] / "codegen_lsp" / "models" / "bundled"


@pytest.mark.skipif(not (BUNDLED / "model.bin").exists(), reason="the bundled model is not there")
def test_the_bundled_model_completes_real_code(real: RawClient) -> None:
    """Non-empty ghost text for plain code, on the line and over several lines."""
    real.initialize()
    real.open(URI, TEXT)
    result = real.complete(URI, 4, 19)
    check(result, 4, 19, TEXT)
    assert result["items"]
