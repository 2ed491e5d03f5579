"""Installing a model: whole or not at all, under a name that every system allows, one at a time."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from codegen_lsp.errors import ModelDamagedError, ModelError, ModelNotFoundError
from codegen_lsp.models.manifest import FILES, MANIFEST, read_manifest, write_manifest
from codegen_lsp.models.store import (
    CURRENT,
    ModelFolder,
    damaged,
    find_model,
    install,
    installed,
    locked,
    remove,
    staging,
    sweep,
    verify,
)
from tests.support.stored import change, cut, left_over, make, tree


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A store with two models that were put there by hand."""
    make(tmp_path / "models" / "small")
    make(tmp_path / "models" / "large", "large")
    return tmp_path


def test_installing_copies_a_whole_model(home: Path, tmp_path: Path) -> None:
    """Under its own or another name, in a folder named after its content; the source stays."""
    source = make(tmp_path / "source", "new")
    model = install(source, home)
    assert model.path.parent == home / "models" / "new"
    assert (model.name, model.version) == ("new", model.path.name)
    assert model.size == sum(len(file) * 10 for file in FILES)
    assert (home / "models" / "new" / CURRENT).read_text().strip() == model.version
    assert install(source, home, name="other").manifest.name == "new"
    verify(find_model("other", home), deep=True)
    verify(ModelFolder(source, read_manifest(source), ""), deep=True)
    assert left_over(home) == []


def test_files_are_on_the_disk_before_they_count(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them, the manifest and the pointer, before the rename that shows them."""
    source = make(tmp_path / "source", "new")
    steps: list[str] = []
    rename = Path.rename
    monkeypatch.setattr(os, "fsync", lambda _: steps.append("fsync"))

    def noted(path: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", noted)
    install(source, home)
    assert steps == ["fsync"] * (len(FILES) + 2) + ["rename"]


def test_a_version_says_how_weights_are_stored(home: Path, tmp_path: Path) -> None:
    """Compute type and twelve digits of a digest of everything that the manifest says."""
    first = install(make(tmp_path / "a", "new", compute_type="int8_float16"), home)
    second = install(make(tmp_path / "b", "new", compute_type="int8", licence="MIT"), home)
    assert first.version.startswith("int8_float16-")
    assert second.version.startswith("int8-")
    assert len(second.version) == len("int8-") + 12


def test_installing_the_same_again_changes_nothing(home: Path, tmp_path: Path) -> None:
    """Not even a date."""
    source = make(tmp_path / "source", "new")
    path = install(source, home).path
    before = {file.name: file.stat() for file in path.iterdir()}
    assert install(source, home).path == path
    assert {file.name: file.stat() for file in path.iterdir()} == before


def test_another_content_replaces_a_model(home: Path, tmp_path: Path) -> None:
    """The old version goes; so does the model that somebody had put there by hand."""
    by_hand = home / "models" / "small"
    (by_hand / "notes.txt").write_text("mine")
    first = install(make(tmp_path / "a", content="a"), home)
    assert {path.name for path in by_hand.iterdir()} == {"notes.txt", CURRENT, first.version}
    second = install(make(tmp_path / "b", content="b"), home)
    assert {path.name for path in by_hand.iterdir()} == {"notes.txt", CURRENT, second.version}
    assert find_model("small", home).path == second.path
    assert [m.name for m in installed(home)].count("small") == 1


@pytest.mark.parametrize("hurt", [cut, change])
def test_installing_again_mends_a_model(
    home: Path, tmp_path: Path, hurt: Callable[[Path], object]
) -> None:
    """Of the same content, too: what is damaged is not taken for what it should be."""
    source = make(tmp_path / "source", "new")
    broken = install(source, home).path
    hurt(broken)
    mended = install(source, home)
    assert mended.path != broken
    assert not broken.exists()
    verify(find_model("new", home), deep=True)
    assert install(source, home).path == mended.path


def test_a_model_can_be_moved_in(home: Path, tmp_path: Path) -> None:
    """What was converted beside the store need not be copied; a link is not what it points to."""
    source = make(tmp_path / "source", "new")
    shutil.copyfile(source / "model.bin", tmp_path / "elsewhere")
    (source / "model.bin").unlink()
    (source / "model.bin").symlink_to(tmp_path / "elsewhere")
    model = install(source, home, move=True)
    verify(find_model("new", home), deep=True)
    assert not (model.path / "model.bin").is_symlink()
    assert not (source / "config.json").exists()


def test_licence_and_card_stay_with_a_model(home: Path, tmp_path: Path) -> None:
    """Known companions are described and installed; stray files are not."""
    source = make(tmp_path / "source", "new")
    for name in ("LICENSE", "MODEL_CARD.md", "stray.txt"):
        (source / name).write_text(name)
    write_manifest(source, read_manifest(source))
    path = install(source, home).path
    assert (path / "LICENSE").read_text() == "LICENSE"
    assert (path / "MODEL_CARD.md").is_file()
    assert not (path / "stray.txt").exists()


def test_an_encoder_decoder_has_other_files(home: Path, tmp_path: Path) -> None:
    """One vocabulary for both halves; without it nothing is a model."""
    source = make(tmp_path / "source", "t5", architecture="encoder-decoder")
    assert "shared_vocabulary.json" in read_manifest(source).files
    assert "vocabulary.json" not in read_manifest(source).files
    verify(install(source, home), deep=True)
    (source / "shared_vocabulary.json").unlink()
    with pytest.raises(ModelDamagedError, match=r"shared_vocabulary\.json"):
        install(source, home)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/b", "a\\b", "..", "", ".hidden", "x\n", "x" * 200]
)
def test_a_manifest_cannot_lead_out_of_its_folder(home: Path, tmp_path: Path, name: str) -> None:
    """Names of files that are paths make a manifest damaged; nothing is read or copied."""
    source = make(tmp_path / "source", "new")
    content = json.loads((source / MANIFEST).read_text())
    content["files"][name] = content["files"]["model.bin"]
    (source / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ModelDamagedError, match="damaged"):
        install(source, home)
    assert not (home / "models" / "new").exists()


NAMES = ["bundled", "Bundled", "../up", ".hidden", "a/b", "a..b", "con", "NUL.txt", "com1", "x."]
NAMES += ["", "x" * 101, "ä", "a b", "x\n", "Small"]


@pytest.mark.parametrize("name", [name for name in NAMES if name])
def test_names_that_no_model_can_have(home: Path, tmp_path: Path, name: str) -> None:
    """Those that some operating system has another use for, or takes for a name that is there."""
    source = make(tmp_path / "source")
    before = tree(home)
    with pytest.raises(ModelError) as caught:
        install(source, home, name=name)
    assert "\n" not in str(caught.value)
    assert tree(home) == before


@pytest.mark.parametrize("prepare", [cut, change])
def test_a_failed_installation_leaves_the_old_model(
    home: Path, tmp_path: Path, prepare: Callable[[Path], object]
) -> None:
    """Whole or not at all."""
    install(make(tmp_path / "old", content="old"), home)
    source = make(tmp_path / "source", content="new")
    prepare(source)
    before = tree(home)
    with pytest.raises(ModelDamagedError):
        install(source, home)
    verify(find_model("small", home), deep=True)
    assert tree(home) == before


def test_a_link_is_not_installed_over(home: Path, tmp_path: Path) -> None:
    """What it points to belongs to somebody else; removing it removes the link."""
    theirs = make(tmp_path / "theirs", "linked")
    (home / "models" / "linked").symlink_to(theirs, target_is_directory=True)
    with pytest.raises(ModelError, match="no folder of the store"):
        install(make(tmp_path / "new", "linked", content="new"), home)
    assert find_model("linked", home).name == "linked"
    assert remove("linked", home) == 0
    verify(ModelFolder(theirs, read_manifest(theirs), ""), deep=True)


def fail_with(code: int) -> Callable[..., Any]:
    def fail(source: object, target: object) -> None:
        Path(str(target)).write_bytes(b"half")
        raise OSError(code, os.strerror(code), str(target))

    return fail


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (errno.ENOSPC, "no space left for .*; free some"),
        (errno.EACCES, "cannot be written .*CODEGEN_LSP_HOME"),
        (errno.EROFS, "cannot be written .*CODEGEN_LSP_HOME"),
        (errno.EIO, "cannot change .*: Input/output error"),
    ],
)
def test_a_disk_that_refuses(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, says: str
) -> None:
    """One line that says what to do, and nothing half-written."""
    before = tree(home)
    monkeypatch.setattr(shutil, "copyfile", fail_with(code))
    with pytest.raises(ModelError, match=says) as caught:
        install(make(tmp_path / "source", content="new"), home)
    assert "\n" not in str(caught.value)
    assert tree(home) == before


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    """Installing and removing say so; listing finds what ships with the package."""
    (tmp_path / "home").write_text("")
    source = make(tmp_path / "source")
    for change_it in (lambda home: install(source, home), lambda home: staging(home).__enter__()):
        with pytest.raises(ModelError, match="cannot change"):
            change_it(tmp_path / "home")
    with pytest.raises(ModelNotFoundError):
        remove("small", tmp_path / "home")
    assert all(model.name == "bundled" for model in installed(tmp_path / "home"))


# --- Locks and rubbish ---------------------------------------------------------------------------


def test_a_lock_is_waited_for(home: Path) -> None:
    """Who waits is told so once; on one thread locks may be nested."""
    waits: list[str] = []
    done: list[str] = []
    waiting = threading.Event()

    def wait() -> None:
        def told() -> None:
            waits.append("told")
            waiting.set()

        with locked("Small", home, on_wait=told):
            done.append("second")

    with locked("small", home), locked("small", home, on_wait=lambda: waits.append("nested")):
        other = threading.Thread(target=wait)
        other.start()
        assert waiting.wait(10)
        done.append("first")
    other.join(10)
    assert (waits, done) == (["told"], ["first", "second"])


def test_scratch_in_use_is_no_rubbish(home: Path) -> None:
    """Sweeping removes what dead processes left, and only that."""
    dead = home / "models" / ".staging-dead"
    trash = home / "models" / ".trash-1"
    for folder in (dead, trash):
        (folder / "deep").mkdir(parents=True)
    with staging(home) as scratch:
        (scratch / "work").write_text("x")
        sweep(home)
        assert (scratch / "work").is_file()
        assert not dead.exists()
        assert not trash.exists()
    assert not scratch.exists()
    assert left_over(home) == []
    assert not list((home / "models" / ".locks").glob(".staging-*"))


# --- All orders ----------------------------------------------------------------------------------


class Changes(RuleBasedStateMachine):
    """Installing and removing in any order, and damage in between."""

    names = st.sampled_from(["one", "two"])
    contents = st.sampled_from(["a", "b"])
    folder: Path  # given by the test
    made: dict[str, Path]

    def __init__(self) -> None:
        super().__init__()
        self.home = self.folder / "home"
        shutil.rmtree(self.home, ignore_errors=True)
        self.known: dict[str, str] = {}
        self.hurt: set[str] = set()

    @rule(name=names, content=contents)
    def install(self, name: str, content: str) -> None:
        """Whatever was there is replaced."""
        install(self.made[content], self.home, name=name)
        self.known[name] = content
        self.hurt.discard(name)

    @rule(name=names)
    def remove(self, name: str) -> None:
        """What is there goes, whatever state it is in; what is not is unknown."""
        if name in self.known:
            assert remove(name, self.home) > 0
            del self.known[name]
            self.hurt.discard(name)
        else:
            with pytest.raises(ModelNotFoundError):
                remove(name, self.home)

    @rule(name=names)
    def damage(self, name: str) -> None:
        """A file is cut short behind the store's back."""
        if name in self.known and name not in self.hurt:
            cut(find_model(name, self.home).path)
            self.hurt.add(name)

    @invariant()
    def the_store_holds_what_was_installed(self) -> None:
        """Neither more nor less, each whole, and no rubbish."""
        found = {m.name: m for m in installed(self.home) if m.name != "bundled"}
        assert found.keys() == self.known.keys()
        for name, model in found.items():
            if name not in self.hurt:
                verify(model, deep=True)
                assert (model.path / "model.bin").read_text().startswith(self.known[name])
        assert len(damaged(self.home)) == len(self.hurt)
        if self.known:
            assert left_over(self.home) == []


def test_any_order_of_changes(tmp_path: Path) -> None:
    """The store holds what was installed last and not removed since."""
    made = {content: make(tmp_path / content, content=content) for content in "ab"}
    machine = type("Machine", (Changes,), {"folder": tmp_path, "made": made})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=15, stateful_step_count=10, deadline=None)
    )
