"""The model store: finding, checking, replacing and removing. No engine, made-up weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from codegen_lsp.completion import model as completion_model
from codegen_lsp.config.settings import Settings
from codegen_lsp.errors import ModelDamagedError, ModelError, ModelNotFoundError
from codegen_lsp.models import store
from codegen_lsp.models.folders import resolve
from codegen_lsp.models.manifest import FILES, MANIFEST, Manifest, read_manifest, write_manifest
from codegen_lsp.models.store import (
    CURRENT,
    ModelFolder,
    damaged,
    find_model,
    install,
    installed,
    remove,
    verify,
)
from tests.support.stored import change, cut, left_over, make, tree


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make(tmp_path / "models" / "small")
    make(tmp_path / "models" / "large", "large")
    return tmp_path


def test_a_manifest_comes_back_as_written(tmp_path: Path) -> None:
    """Fields, sizes and digests survive; nothing else is left in the folder."""
    folder = make(tmp_path / "m", languages=("python",))
    manifest = read_manifest(folder)
    assert (manifest.name, manifest.context_length, manifest.languages) == (
        "small",
        64,
        ("python",),
    )
    assert manifest.files["model.bin"].size == 90
    assert {path.name for path in folder.iterdir()} == {*FILES, MANIFEST}


def test_a_manifest_needs_all_files(tmp_path: Path) -> None:
    """No manifest is written for half a model."""
    folder = make(tmp_path / "m")
    (folder / MANIFEST).unlink()
    (folder / "model.bin").unlink()
    with pytest.raises(ModelDamagedError, match=r"model\.bin"):
        write_manifest(folder, Manifest(name="m", context_length=64))
    assert not (folder / MANIFEST).exists()


def test_models_are_found_by_name_and_by_folder(home: Path, tmp_path: Path) -> None:
    """An installed name, a folder anywhere, and the folder of an installed model."""
    elsewhere = make(tmp_path / "elsewhere", "other")
    assert find_model("small", home).path == home / "models" / "small"
    assert find_model(str(elsewhere), home).manifest.name == "other"


def test_the_bundled_model_has_an_alias(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``bundled`` is the folder beside the package; its own name finds it, too."""
    beside = make(tmp_path / "beside", "codegen-nano")
    monkeypatch.setattr(store, "bundled_folder", lambda: beside)
    assert find_model("bundled", home).path == beside
    assert find_model("codegen-nano", home).path == beside
    assert [m.manifest.name for m in installed(home)] == ["codegen-nano", "large", "small"]


@pytest.mark.parametrize(
    ("name", "says"),
    [("smal", "small"), ("", "bundled"), ("no/such/folder", "no folder")],
)
def test_an_unknown_model_names_the_nearest(home: Path, name: str, says: str) -> None:
    """The error says what there is."""
    with pytest.raises(ModelNotFoundError, match=says):
        find_model(name, home)


def test_each_model_is_offered_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled model's folder is called as its alias is: one name, not two."""
    beside = make(home / "bundled", "codegen-nano")
    monkeypatch.setattr(store, "bundled_folder", lambda: beside)
    with pytest.raises(ModelNotFoundError) as caught:
        find_model("unheard-of", home)
    assert str(caught.value).count("bundled") == 1


def test_a_folder_that_is_no_model(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a manifest is named, and so is a package without its model."""
    with pytest.raises(ModelDamagedError, match="no model folder"):
        find_model("..", home)
    monkeypatch.setattr(store, "bundled_folder", lambda: home / "bundled")
    with pytest.raises(ModelDamagedError, match="reinstall codegen-lsp"):
        find_model("bundled", home)


def test_what_is_no_model_is_not_listed(home: Path) -> None:
    """Stray files, hidden folders and folders without a manifest."""
    (home / "models" / "stray.txt").write_text("x")
    (home / "models" / "empty").mkdir()
    (home / "models" / ".install-x").mkdir()
    names = {m.manifest.name for m in installed(home)}
    assert {"small", "large"} <= names
    assert "empty" not in names


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda folder: (folder / "model.bin").unlink(), "model.bin is missing"),
    "truncated": (cut, "model.bin has 3 bytes instead of 90"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json"),
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), "no model folder"),
    "manifest is no JSON": (lambda folder: (folder / MANIFEST).write_text("{"), "damaged"),
    "manifest of the future": (
        lambda folder: (folder / MANIFEST).write_text('{"format": 2, "name": "x"}'),
        "damaged",
    ),
    "manifest is binary": (lambda folder: (folder / MANIFEST).write_bytes(b"\xff\x00"), "damaged"),
    "manifest lists nothing": (
        lambda folder: (folder / MANIFEST).write_text('{"name": "x", "context_length": 9}'),
        "does not list",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_when_a_model_is_opened(home: Path, damage: str) -> None:
    """The first wrong file is named, on one line, with a way out."""
    folder = home / "models" / "small"
    hurt, says = DAMAGES[damage]
    hurt(folder)
    with pytest.raises(ModelDamagedError, match=says) as caught:
        find_model("small", home)
    assert "\n" not in str(caught.value)
    assert caught.value.mend


def test_changed_content_is_found_by_a_deep_check_only(home: Path) -> None:
    """A file of the right size with other bytes."""
    change(home / "models" / "small")
    model = find_model("small", home)
    with pytest.raises(ModelDamagedError, match="changed"):
        verify(model, deep=True)


# --- Pointers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"../small", b"\xff", b"int8-0123456789ab/../..", b"int8"]
)
def test_a_damaged_pointer(home: Path, tmp_path: Path, content: bytes) -> None:
    """It leads nowhere else; one line says how to mend it, and both ways work."""
    source = make(tmp_path / "source", "new")
    install(source, home)
    (home / "models" / "new" / CURRENT).write_bytes(content)
    with pytest.raises(ModelDamagedError, match="models remove new"):
        find_model("new", home)
    assert [str(error) for error in damaged(home)]
    assert "new" not in [model.name for model in installed(home)]
    install(source, home)
    verify(find_model("new", home), deep=True)
    assert damaged(home) == []
    (home / "models" / "new" / CURRENT).write_bytes(content)
    remove("new", home)
    assert not (home / "models" / "new").exists()


def test_a_version_that_is_gone(home: Path, tmp_path: Path) -> None:
    """A model whose folder was deleted by hand is damaged, not unknown; installing mends it."""
    source = make(tmp_path / "source", "new")
    shutil.rmtree(install(source, home).path)
    with pytest.raises(ModelDamagedError, match="models remove new"):
        find_model("new", home)
    verify(install(source, home), deep=True)


def test_a_version_replaced_while_it_is_read(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever knew the old version finds the new one."""
    old = install(make(tmp_path / "a", "new", content="a"), home)
    second = make(tmp_path / "b", "new", content="b")
    calls = iter([old.path])

    def slow(folder: Path) -> Path:
        if (stale := next(calls, None)) is not None:
            install(second, home)
            return stale
        return resolve(folder)

    monkeypatch.setattr(store, "resolve", slow)
    assert find_model("new", home).path != old.path


# --- Removing ------------------------------------------------------------------------------------


def test_a_model_is_removed(home: Path, tmp_path: Path) -> None:
    """Versioned or put there by hand; the bytes that are free now are told."""
    path = install(make(tmp_path / "source", "new"), home).path
    size = sum(file.stat().st_size for file in path.parent.rglob("*") if file.is_file())
    (home / "models" / ".trash-0" / "deep").mkdir(parents=True)
    assert remove("new", home) == size
    assert remove("small", home) > 0
    assert left_over(home) == []
    with pytest.raises(ModelNotFoundError):
        find_model("new", home)
    assert {m.name for m in installed(home)} - {"bundled"} == {"large"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("bundled", "bundled model cannot be removed"),
        ("codegen-nano", "bundled model cannot be removed"),
        ("smal", "no installed model 'smal'; installed: small"),
        ("xyz", "installed: large, small"),
        (".locks", "no installed model"),
        ("..", "no installed model"),
        ("../models/small", "no installed model"),
        ("", "no installed model"),
        ("x" * 300, "no installed model"),
    ],
)
def test_what_cannot_be_removed(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    """The error says what there is, and nothing is removed."""
    beside = make(home / "bundled", "codegen-nano")
    monkeypatch.setattr(store, "bundled_folder", lambda: beside)
    before = tree(home)
    with pytest.raises(ModelError, match=says):
        remove(name, home)
    assert tree(home) == before
    assert (beside / MANIFEST).is_file()


def test_a_name_of_the_catalog_says_how_to_get_it(home: Path) -> None:
    """A published model that is not installed is not unknown."""
    with pytest.raises(ModelNotFoundError, match="models pull codegen-350M-mono"):
        find_model("codegen-350M-mono", home)
    with pytest.raises(ModelNotFoundError, match="models pull codegen2-3_7B"):
        find_model("codegen2-3.7B", home)
    with pytest.raises(ModelNotFoundError, match="team's server"):
        find_model("codegeex2-6b", home)


# --- Loading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("replaced", [True, False])
async def test_a_version_replaced_while_it_is_loaded(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    """An engine that finds half of it gone is started again on the new one; once."""
    install(make(tmp_path / "a", "new", content="a"), home)
    second = make(tmp_path / "b", "new", content="b")
    seen: list[Path] = []

    async def load(folder: ModelFolder, _: Settings) -> ModelFolder:
        seen.append(folder.path)
        if len(seen) == 1:
            if replaced:
                install(second, home)
            raise ModelDamagedError("model.bin is missing")
        return folder

    monkeypatch.setenv("CODEGEN_LSP_HOME", str(home))
    monkeypatch.setattr(completion_model, "_load", load)
    opening = completion_model.open_model(Settings(model="new"))
    if replaced:
        loaded: object = await opening
        assert loaded == find_model("new", home)
        assert len(set(seen)) == 2
    else:
        with pytest.raises(ModelDamagedError):
            await opening
        assert len(seen) == 1
