"""Model folders that CTranslate2 cannot load, and machines that lack what one needs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from codegen_lsp.engines.ct2 import Ct2Engine
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.errors import EngineUnavailableError, ModelDamagedError
from tests.support.tiny import Tiny, make_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("engine"))


def spec_of(tiny: Tiny, **changes: object) -> EngineSpec:
    spec = EngineSpec(tiny.ct2, "tiny", 64, device="cpu", compute_type="float32", threads=1)
    return replace(spec, **changes)  # type: ignore[arg-type]


def truncate(folder: Path) -> None:
    content = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(content[: len(content) // 2])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no weights": lambda folder: (folder / "model.bin").unlink(),
    "half the weights": truncate,
    "empty weights": lambda folder: (folder / "model.bin").write_bytes(b""),
    "no vocabulary": lambda folder: (folder / "vocabulary.json").unlink(),
    "vocabulary is no JSON": lambda folder: (folder / "vocabulary.json").write_text("["),
    "vocabulary is no list": lambda folder: (folder / "vocabulary.json").write_text("{}"),
    "vocabulary too short": lambda folder: (folder / "vocabulary.json").write_text(
        '["<|endoftext|>", "a"]'
    ),
    "vocabulary of numbers": lambda folder: (folder / "vocabulary.json").write_text(
        '["<|endoftext|>", 7]'
    ),
    "configuration is no JSON": lambda folder: (folder / "config.json").write_bytes(b"\xff"),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_folder_is_named(tiny: Tiny, tmp_path: Path, damage: str) -> None:
    """What is missing or unreadable is one line with the folder in it."""
    folder = tmp_path / "model"
    shutil.copytree(tiny.ct2, folder)
    DAMAGES[damage](folder)
    engine = Ct2Engine(spec_of(tiny, folder=folder))
    with pytest.raises(ModelDamagedError) as caught:
        await engine.load()
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.mend
    await engine.close()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"device": "tpu"}, "tpu"),
        ({"compute_type": "int3"}, "int3"),
    ],
)
async def test_what_the_machine_lacks_is_named(
    tiny: Tiny, changes: dict[str, object], says: str
) -> None:
    """Device and compute type that are not there."""
    with pytest.raises(EngineUnavailableError, match=says):
        await Ct2Engine(spec_of(tiny, **changes)).load()


async def test_what_does_not_fit_is_not_begun(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and what is kept of a prompt must fit into the memory that is there."""
    size = (tiny.ct2 / "model.bin").stat().st_size + 64 * 2 * 2 * 32 * 4
    with monkeypatch.context() as patch:
        patch.setattr("codegen_lsp.engines.hardware.available_memory", lambda: size - 1)
        with pytest.raises(EngineUnavailableError, match="memory"):
            await Ct2Engine(spec_of(tiny)).load()
        patch.setattr("codegen_lsp.engines.hardware.available_memory", lambda: size)
        fitting = Ct2Engine(spec_of(tiny))
        await fitting.load()
        await fitting.close()
