"""Opening a model while another process puts a new version of it in its place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from codegen_lsp.completion import model
from codegen_lsp.completion.model import open_model
from codegen_lsp.config.settings import Settings
from codegen_lsp.errors import ModelDamagedError
from codegen_lsp.models.store import ModelFolder, open_folder
from codegen_lsp.types import GenerationRequest, Prompt
from tests.support.tiny import make_tiny
from tests.support.tiny_t5 import make_tiny_t5

SETTINGS = Settings(model="tiny", device="cpu", compute_type="float32")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("open")).ct2


class Replaced:
    """A store whose model loses *lost* each time after it was found, but for the last."""

    def __init__(self, whole: Path, scratch: Path, lost: str, versions: list[str]) -> None:
        self.found: list[str] = []
        self._whole, self._scratch, self._lost = whole, scratch, lost
        self._versions = versions

    def __call__(self, name: str, home: Path) -> ModelFolder:
        """Stands for ``find_model``."""
        version = self._versions[len(self.found)]
        self.found.append(version)
        path = self._scratch / version
        shutil.copytree(self._whole, path, dirs_exist_ok=True)
        folder = open_folder(path)
        if len(self.found) < len(self._versions) or len(set(self._versions)) == 1:
            (path / self._lost).unlink()
        return folder


@pytest.fixture
def replaced(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, list[str]], Replaced]:
    def make(lost: str, versions: list[str]) -> Replaced:
        store = Replaced(whole, tmp_path, lost, versions)
        monkeypatch.setattr(model, "find_model", store)
        return store

    return make


LOST = ["model.bin", "vocabulary.json", "tokenizer.json"]


@pytest.mark.parametrize("lost", LOST)
async def test_a_new_version_is_opened_instead(
    replaced: Callable[[str, list[str]], Replaced], tmp_path: Path, lost: str
) -> None:
    """Whichever file of the old version had gone already."""
    store = replaced(lost, ["one", "two"])
    loaded = await open_model(SETTINGS)
    assert store.found == ["one", "two"]
    request = GenerationRequest(Prompt((), (5, 6)), 4)
    assert [token.id async for token in loaded.engine.generate(request)]
    await loaded.engine.close()


@pytest.mark.parametrize(
    ("versions", "looked"), [(["one", "one", "one"], 2), (["one", "two", "three", "four"], 2)]
)
async def test_a_damaged_model_is_not_tried_for_ever(
    replaced: Callable[[str, list[str]], Replaced], versions: list[str], looked: int
) -> None:
    """The same version again, or a second one that goes: an error that names the file."""
    store = replaced("model.bin", versions)
    with pytest.raises(ModelDamagedError, match=f"{versions[looked - 1]}.*model.bin"):
        await open_model(SETTINGS)
    assert len(store.found) == looked


async def test_the_manifest_says_what_runs_it(tmp_path: Path) -> None:
    """An encoder-decoder is opened as one; a decoder as such, from the same settings."""
    for made in (make_tiny(tmp_path / "a").ct2, make_tiny_t5(tmp_path / "b").ct2):
        loaded = await open_model(Settings(model=str(made), device="cpu", compute_type="float32"))
        request = GenerationRequest(Prompt((), (5, 6)), 4)
        assert [token.id async for token in loaded.engine.generate(request)]
        await loaded.engine.close()
