"""Where a model's GGUF is, how it comes to be there, and when it goes."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from codegen_lsp.errors import ConversionError, EngineUnavailableError, ModelError
from codegen_lsp.models.folders import ModelFolder
from codegen_lsp.models.gguf import find_gguf, forget_gguf, gguf_file, kinds_of, prepare
from codegen_lsp.models.manifest import FileEntry, Manifest
from codegen_lsp.models.reporting import Reporter, Silent
from codegen_lsp.models.store import installed


def model_of(weights: str = "a", name: str = "small", folder: Path = Path("m")) -> ModelFolder:
    files = {"model.bin": FileEntry(size=1, sha256=weights * 64)}
    return ModelFolder(folder, Manifest(name="small-6M", context_length=64, files=files), name)


class Writer:
    """Writes a few bytes, or fails half way; counts."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.calls: list[tuple[Path, str]] = []
        self.failure = failure

    def __call__(self, folder: Path, out: Path, kind: str, report: Reporter) -> None:
        self.calls.append((folder, kind))
        assert not out.exists()
        out.write_bytes(b"half")
        if self.failure is not None:
            raise self.failure
        out.write_bytes(b"whole file")


def test_it_is_made_once(tmp_path: Path) -> None:
    """And found from then on, by each kind and by the compute types it does for."""
    model, write = model_of(), Writer()
    assert find_gguf(model, tmp_path) is None
    made = prepare(model, tmp_path, Silent(), write=write)
    assert (
        made
        == prepare(model, tmp_path, Silent(), write=write)
        == gguf_file(model, tmp_path, "q8_0")
    )
    assert write.calls == [(model.path, "q8_0")]
    assert made.read_bytes() == b"whole file"
    other = prepare(model, tmp_path, Silent(), write=write, kind="q4_0")
    for compute_type, expected in (
        ("auto", made),
        ("int8", made),
        ("q8_0", made),
        ("q4_0", other),
        ("float16", None),
    ):
        assert find_gguf(model, tmp_path, compute_type) == expected
        assert bool(kinds_of(compute_type)) is (expected is not None)
    made.unlink()
    assert find_gguf(model, tmp_path) == other
    assert installed(tmp_path)[1:] == []  # what is derived is no model


def test_other_weights_have_another_file(tmp_path: Path) -> None:
    """A model that was replaced is not answered for by its predecessor's file, which goes."""
    before, now = model_of("a"), model_of("b")
    old = prepare(before, tmp_path, Silent(), write=Writer())
    assert find_gguf(now, tmp_path) is None
    new = prepare(now, tmp_path, Silent(), write=Writer())
    assert new.is_file()
    assert not old.exists()


@pytest.mark.parametrize("failure", [ConversionError("differs"), KeyboardInterrupt(), OSError(28)])
def test_a_failure_leaves_nothing(tmp_path: Path, failure: Exception) -> None:
    """Neither the file nor scratch; the next one may make it."""
    model = model_of()
    with pytest.raises((ConversionError, KeyboardInterrupt, ModelError)):
        prepare(model, tmp_path, Silent(), write=Writer(failure))
    assert find_gguf(model, tmp_path) is None
    left = [path for path in (tmp_path / "models").rglob("*") if path.is_file()]
    assert [path for path in left if path.suffix != ".lock"] == []
    assert prepare(model, tmp_path, Silent(), write=Writer()).is_file()


def test_two_at_once_make_it_once(tmp_path: Path) -> None:
    """Who comes second waits for the first, and finds it done."""
    model, write = model_of(), Writer()
    inside, go = threading.Event(), threading.Event()

    def slow(folder: Path, out: Path, kind: str, report: Reporter) -> None:
        inside.set()
        assert go.wait(10)
        write(folder, out, kind, report)

    first = threading.Thread(
        target=lambda: prepare(model, tmp_path, Silent(), write=slow), daemon=True
    )
    first.start()
    assert inside.wait(10)
    waits: list[str] = []

    class Noting(Silent):
        def note(self, text: str) -> None:
            waits.append(text)
            go.set()

    prepare(model, tmp_path, Noting(), write=slow)
    first.join(10)
    assert len(write.calls) == 1
    assert "waiting" in waits[0]


def test_it_goes_with_its_model(tmp_path: Path) -> None:
    """All kinds of it, and nobody else's."""
    mine, other = model_of(), model_of("c", "other")
    for kind in ("q8_0", "q4_0"):
        prepare(mine, tmp_path, Silent(), write=Writer(), kind=kind)
    kept = prepare(other, tmp_path, Silent(), write=Writer())
    assert forget_gguf("small", tmp_path) == 2 * len(b"whole file")
    assert forget_gguf("small", tmp_path) == 0
    assert find_gguf(mine, tmp_path) is None
    assert kept.is_file()


def test_names(tmp_path: Path) -> None:
    """A folder's file is kept under its manifest's name, and never outside the store."""
    here = model_of(name="/some/where/../else", folder=tmp_path)
    path = gguf_file(here, tmp_path, "q8_0")
    assert path.parent.parent == tmp_path / "models" / ".derived" / "small-6M"
    unknown = msgspec.structs.replace(here.manifest, files={})
    assert gguf_file(ModelFolder(tmp_path, unknown, "x"), tmp_path, "q8_0").name == "q8_0.gguf"
    with pytest.raises(EngineUnavailableError, match="no kind 'q5_9'"):
        prepare(here, tmp_path, Silent(), write=Writer(), kind="q5_9")
