"""What a pull refuses: before the first byte of weights where that can be, and whole.

The converters are the real ones, the hub is on loopback.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from codegen_lsp.errors import CodegenError, ConversionError, HubError
from codegen_lsp.models.jobs import ConversionJob, PullRequest
from codegen_lsp.models.manifest import Manifest
from codegen_lsp.models.pull import pull
from codegen_lsp.models.reporting import Silent
from codegen_lsp.models.store import verify
from tests.support.hub import Hub
from tests.support.pulling import (
    MONO,
    Recorder,
    fetched,
    hub,
    install,
    left,
    names,
    tiny,
)

__all__ = ["hub", "tiny"]
"""Fixtures that are imported."""


Change = Callable[[dict[str, bytes]], object]


def without(*gone: str, **added: bytes) -> Change:
    """Files that are not there, and files that are."""

    def change(files: dict[str, bytes]) -> None:
        for name in gone:
            files.pop(name, None)
        files.update({name.replace("__", "."): content for name, content in added.items()})

    return change


WEIGHTS = "model.safetensors"


def of_type(kind: object) -> bytes:
    """A configuration of another architecture."""
    return json.dumps({"model_type": kind, "n_embd": 8}).encode()


@pytest.mark.parametrize(
    ("change", "words", "asked"),
    [
        (without(config__json=of_type("bloom")), "architecture 'bloom', which cannot.*codegen", 0),
        (without(config__json=of_type(None)), "architecture None", 0),
        (without(config__json=b"{"), "config.json of Salesforce/codegen-350M-mono is damaged", 0),
        (without(config__json=b"[]"), "architecture None", 0),
        (without("config.json"), "has weights and no config.json", 0),
        (without(WEIGHTS), r"no weights that can be converted \(found flax_model.msgpack", 0),
        (without(WEIGHTS, **{"model-00001-of-00002__safetensors": b"x"}), "1 of the 2 shards", 0),
        (without(WEIGHTS, adapter_config__json=b"{}"), "is a LoRA adapter, not a model; .*--ad", 0),
        (without("config.json", WEIGHTS), "no weights that can be converted", 0),
        (without(WEIGHTS, model__bin=b"x"), "has model.bin and no vocabulary", 0),
        (
            without(WEIGHTS, **{"fp16/model__safetensors": b"x"}),
            r"\(found .*fp16/model.saf",
            0,
        ),
        (without("tokenizer.json"), "has no tokenizer that can be read; .*tokenizer.json", 0),
        (without("tokenizer.json", vocab__json=b"{}"), "has no tokenizer that can be read", 0),
        (
            without("tokenizer.json", config__json=of_type("llama"), tokenizer__model=b"x"),
            r"no tokenizer that can be read \(found tokenizer.model\)",
            0,
        ),
        (without(WEIGHTS, pytorch_model__bin=b"no pickle"), "pytorch_model.bin", 1),
        (without(WEIGHTS, pytorch_model__bin=b"\x80\x04cos\nsystem\n."), "pytorch_model.bin", 1),
        (without(model__safetensors=b"\xff" * 64), "model.safetensors", 1),
        (without(config__json=of_type("codegen")), "config", 1),
    ],
)
def test_what_cannot_be_used_is_refused(
    hub: Hub, tmp_path: Path, change: Change, words: str, asked: int
) -> None:
    """In one line; no weights are fetched if that could be seen before; nothing is installed."""
    files = dict(hub.repositories[MONO].files)
    change(files)
    hub.add(MONO, files)
    with pytest.raises(CodegenError, match=words) as caught:
        install(tmp_path)
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)  # torch advises to run the pickle
    assert len(hub.asked("/cdn/")) == asked
    assert not names(tmp_path)
    assert set(left(tmp_path)) <= {".downloads"}


@pytest.mark.parametrize(
    ("what", "more", "words"),
    [
        ("codegen-350M-momo", {}, "no model, repository or folder.*codegen-350M-mono"),
        ("", {}, "no model"),
        ("~nobody-of-that-name/x", {}, "no model"),
        ("x" * 300, {}, "no model"),
        ("x\0", {}, "no model"),
        ("codegen-350M-mono", {"adapter": "~nobody-of-that-name"}, "is no repository id"),
        ("./gone", {}, "no model, repository or folder './gone'"),
        ("Salesforce/codegen-350M-momo", {}, "no repository.*codegen-350M-mono"),
        ("codegeex2-6b", {}, "does not run here.*server"),
        ("codegen-350M-mono", {"compute_type": "int3"}, "unknown compute type.*int8"),
        ("codegen-350M-mono", {"name": "../evil"}, "cannot be the name"),
        ("codegen-350M-mono", {"name": "bundled"}, "is the name of the bundled model"),
        ("codegen-350M-mono", {"revision": "v9"}, "has no revision 'v9'"),
        ("codegen-350M-mono", {"adapter": MONO}, "is no LoRA adapter"),
        ("codegen-350M-mono", {"adapter": "."}, "is no LoRA adapter"),
    ],
)
def test_what_makes_no_sense(
    hub: Hub, tmp_path: Path, what: str, more: dict[str, object], words: str
) -> None:
    """One line, before any weights are fetched."""
    with pytest.raises(CodegenError, match=words) as caught:
        install(tmp_path, what, **more)
    assert "\n" not in str(caught.value)
    assert not hub.asked("/cdn/")
    assert not names(tmp_path)


def test_a_full_disk_is_seen_before_the_first_byte(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both numbers are named, and where to go."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000_000))
    with pytest.raises(HubError, match=r"needs 67\.\d MB \(.* to fetch, .* converted\)") as caught:
        install(tmp_path)
    assert "has 10.0 MB free; make room, or set CODEGEN_LSP_HOME" in str(caught.value)
    assert not hub.asked("/cdn/")


def test_a_disk_that_fills_while_converting(hub: Hub, tmp_path: Path) -> None:
    """The system's refusal is one line; the store is as before, the download is kept."""

    def full(job: ConversionJob) -> Manifest:
        job.out.mkdir()
        (job.out / "model.bin").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    request = PullRequest(what="codegen-350M-mono")
    with pytest.raises(HubError, match="the disk is full"):
        pull(request, tmp_path, convert=full, report=Silent())
    assert left(tmp_path) == [".downloads"]
    hub.seen.clear()
    install(tmp_path)
    assert not fetched(hub)


def test_a_missing_library_is_named(hub: Hub, tmp_path: Path) -> None:
    """One line with the command that adds it."""

    def lacking(_: ConversionJob) -> Manifest:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    with pytest.raises(ConversionError, match=r"needs torch; run: pip install 'codegen-lsp\[con"):
        pull(PullRequest(what="codegen-350M-mono"), tmp_path, convert=lacking, report=Silent())


# --- Names that are taken ------------------------------------------------------------------------


def test_nobody_elses_model_is_replaced_by_a_name(
    hub: Hub, tmp_path: Path, tiny: Mapping[str, Path]
) -> None:
    """Of two that are called alike the second needs ``--name``; whoever gives one means it."""
    first = install(tmp_path)
    hub.add("other/codegen-350M-mono", hub.repositories[MONO].files)
    folder = tmp_path / "codegen-350M-mono"
    shutil.copytree(tiny["hf"], folder)
    for what in ("other/codegen-350M-mono", str(folder)):
        hub.seen.clear()
        with pytest.raises(HubError, match=f"installed already, from {MONO}; give --name to"):
            install(tmp_path, what)
        assert not fetched(hub)
        verify(first, deep=True)
    assert install(tmp_path, "other/codegen-350M-mono", name="other").name == "other"
    report = Recorder()
    install(tmp_path, "other/codegen-350M-mono", name="codegen-350M-mono", report=report)
    assert f"replacing codegen-350M-mono, which came from {MONO}" in report.said


def test_ones_own_folder_can_be_pulled_again(tmp_path: Path, tiny: Mapping[str, Path]) -> None:
    """As after each training; from another place it is told what goes."""
    said = []
    for place in ("one", "one", "two"):
        folder = tmp_path / place / "final"
        shutil.copytree(tiny["hf"], folder, dirs_exist_ok=True)
        report = Recorder()
        install(tmp_path, str(folder), report=report)
        said.append([line for line in report.said if "replacing" in line])
    gone = f"replacing final, which came from {tmp_path / 'one' / 'final'}"
    assert said == [[], [], [gone]]
