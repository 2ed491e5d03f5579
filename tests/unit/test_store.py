"""The model store: finding, checking and installing folders. No engine, made-up weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from codegen_lsp.errors import CodegenError, ModelDamagedError, ModelError, ModelNotFoundError
from codegen_lsp.models import store
from codegen_lsp.models.manifest import FILES, MANIFEST, Manifest, read_manifest, write_manifest
from codegen_lsp.models.store import ModelFolder, find_model, install, installed, verify


def make(folder: Path, name: str = "small") -> Path:
    """A folder with all files of a model and nonsense in them."""
    folder.mkdir(parents=True)
    for file in FILES:
        (folder / file).write_bytes(file.encode() * 10)
    write_manifest(folder, Manifest(name=name, context_length=64, languages=("python",)))
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make(tmp_path / "models" / "small")
    make(tmp_path / "models" / "large", "large")
    return tmp_path


def test_a_manifest_comes_back_as_written(tmp_path: Path) -> None:
    """Fields, sizes and digests survive; nothing else is left in the folder."""
    folder = make(tmp_path / "m")
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


def cut(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"cut")


def change(folder: Path) -> None:
    content = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(b"X" + content[1:])


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


def test_installing_copies_a_whole_model(home: Path, tmp_path: Path) -> None:
    """Under its own or another name; a model of that name is replaced."""
    source = make(tmp_path / "source", "new")
    assert install(source, home).path == home / "models" / "new"
    assert install(source, home, name="small").manifest.name == "new"
    verify(find_model("small", home), deep=True)
    assert not list((home / "models").glob(".install-*"))


@pytest.mark.parametrize(
    ("prepare", "name", "error"),
    [
        (cut, None, ModelDamagedError),
        (change, None, ModelDamagedError),
        (lambda folder: None, "bundled", ModelError),
        (lambda folder: None, "../up", ModelError),
        (lambda folder: None, ".hidden", ModelError),
    ],
)
def test_a_failed_installation_leaves_the_old_model(
    home: Path,
    tmp_path: Path,
    prepare: Callable[[Path], object],
    name: str | None,
    error: type[CodegenError],
) -> None:
    """Whole or not at all."""
    source = make(tmp_path / "source", "small")
    prepare(source)
    before = sorted(p.name for p in (home / "models").iterdir())
    with pytest.raises(error):
        install(source, home, name=name)
    verify(ModelFolder(home / "models" / "small", read_manifest(home / "models" / "small")))
    assert sorted(p.name for p in (home / "models").iterdir()) == before
