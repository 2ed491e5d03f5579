"""Pulling from a hub on loopback, and from folders: what is fetched, what is installed, what not.

The converters are the real ones; the checkpoints are tiny and made without torch, but for one of
each family in the layout it is published in.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from codegen_lsp.cli.convert import LAYOUTS
from codegen_lsp.cli.pull import COMPUTE_TYPES
from codegen_lsp.cli.reporting import Lines
from codegen_lsp.converters.architectures import ARCHITECTURES as CONVERTED
from codegen_lsp.converters.pipeline import TARGETS
from codegen_lsp.converters.to_ct2 import QUANTIZATIONS
from codegen_lsp.errors import ConversionError, HubError
from codegen_lsp.models import preflight
from codegen_lsp.models.downloads import downloads
from codegen_lsp.models.manifest import MANIFEST, Check, Manifest, digest
from codegen_lsp.models.selection import select, select_adapter
from codegen_lsp.models.store import find_model, verify
from tests.support.data import test_data
from tests.support.hub import Hub
from tests.support.published import FAMILIES, publish
from tests.support.pulling import (
    CLUTTER,
    MONO,
    Recorder,
    fetched,
    files_of,
    hub,
    install,
    left,
    names,
    tiny,
    write_adapter,
)

__all__ = ["hub", "tiny"]
"""Fixtures that are imported."""


def test_a_name_becomes_an_installed_model(hub: Hub, tmp_path: Path) -> None:
    """Checked and converted, with its origin; of the download nothing is left."""
    report = Recorder()
    model = install(tmp_path, report=report)
    manifest, origin = model.manifest, model.manifest.origin
    verify(model, deep=True)
    assert origin is not None
    assert (model.name, names(tmp_path)) == ("codegen-350M-mono", ["codegen-350M-mono"])
    assert (origin.repo, origin.revision) == (MONO, hub.repositories[MONO].commit)
    assert (manifest.family, manifest.licence) == ("causal", "BSD-3-Clause")
    assert (manifest.languages, manifest.compute_type) == (("python",), "int8")
    assert manifest.checks
    assert left(tmp_path) == ["codegen-350M-mono"]
    assert any("licence of Salesforce/codegen-350M-mono: BSD-3-Clause" in s for s in report.said)
    assert report.parts == {"download", "convert"}


def test_only_what_is_needed_is_fetched(hub: Hub, tmp_path: Path) -> None:
    """One form of the weights, the tokenizer, the configuration; the digests are kept."""
    others = {"pytorch_model.bin": b"x" * 100, "vocab.json.bak": b"x", "LICENSE": b"as is"}
    hub.add(MONO, {**hub.repositories[MONO].files, **others})
    model = install(tmp_path)
    wanted = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert fetched(hub) == ["LICENSE", *wanted]
    assert (model.path / "LICENSE").read_bytes() == b"as is"
    assert model.manifest.origin is not None
    files = hub.repositories[MONO].files
    assert sorted(model.manifest.origin.files) == fetched(hub)
    (tmp_path / "x").write_bytes(files["model.safetensors"])
    assert model.manifest.origin.files["model.safetensors"] == digest(tmp_path / "x")


def test_shards_are_put_together(hub: Hub, tmp_path: Path, tiny: Mapping[str, Path]) -> None:
    """All shards and their index."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(tiny["hf"] / "model.safetensors")
    folder = tmp_path / "sharded"
    shutil.copytree(tiny["hf"], folder)
    (folder / "model.safetensors").unlink()
    where: dict[str, str] = {}
    for number, part in enumerate((list(tensors)[::2], list(tensors)[1::2]), start=1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file)
        where |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    hub.add("org/sharded", folder)
    one, two = install(tmp_path), install(tmp_path, "org/sharded")
    assert two.manifest.files["model.bin"] == one.manifest.files["model.bin"]


def test_keep_source(hub: Hub, tmp_path: Path) -> None:
    """The download stays and a second conversion fetches nothing."""
    install(tmp_path, keep_source=True)
    folder = downloads(tmp_path, MONO) / hub.repositories[MONO].commit
    assert (folder / "model.safetensors").is_file()
    hub.seen.clear()
    install(tmp_path, compute_type="float32")
    assert not fetched(hub)
    assert not folder.exists()


def test_what_is_installed_is_not_pulled_again(hub: Hub, tmp_path: Path) -> None:
    """The same revision and compute type: one question, no file."""
    first = install(tmp_path)
    hub.seen.clear()
    report = Recorder()
    assert install(tmp_path, report=report) == first
    assert (len(hub.seen), fetched(hub)) == (1, [])
    assert "installed already" in report.said[-1]


def test_a_newer_revision_replaces_it(hub: Hub, tmp_path: Path) -> None:
    """Another commit is another model; the revision that was pinned comes back when asked for."""
    old = hub.repositories[MONO]
    install(tmp_path)
    new = hub.add(MONO, {**old.files, "tokenizer_config.json": b"{}"})
    second = install(tmp_path)
    assert second.manifest.origin is not None
    assert second.manifest.origin.revision == new.commit != old.commit
    assert names(tmp_path) == ["codegen-350M-mono"]


def test_another_compute_type_replaces_it(hub: Hub, tmp_path: Path) -> None:
    """What is asked for is what is installed."""
    install(tmp_path)
    assert install(tmp_path, compute_type="float32").manifest.compute_type == "float32"


def test_a_damaged_model_is_pulled_anew(hub: Hub, tmp_path: Path) -> None:
    """What does not verify does not count as installed."""
    model = install(tmp_path)
    (model.path / "model.bin").write_bytes(b"short")
    verify(install(tmp_path), deep=True)


@pytest.mark.parametrize("pinned", [False, True])
def test_without_a_network_the_installed_model_is_enough(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pinned: bool
) -> None:
    """What cannot be asked for is kept; what is not there is an error."""
    first = install(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    report = Recorder()
    revision = hub.repositories[MONO].commit if pinned else None
    assert install(tmp_path, revision=revision, report=report) == first
    assert "cannot look for a newer one" in report.said[-1]
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        install(tmp_path, revision="v2")
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        install(tmp_path, "codegen-2B-mono")


def test_an_old_name_is_followed(hub: Hub, tmp_path: Path) -> None:
    """A repository that was renamed is recorded as what it is called now."""
    hub.renamed["org/codegen2-1B"] = MONO
    model = install(tmp_path, "org/codegen2-1B")
    assert model.name == "codegen2-1B"
    assert model.manifest.origin is not None
    assert model.manifest.origin.repo == MONO
    hub.seen.clear()
    assert install(tmp_path, "org/codegen2-1B") == model
    assert not fetched(hub)


def test_what_was_pulled_is_found_by_its_id(hub: Hub, tmp_path: Path) -> None:
    """By the id it was asked for and by the catalog's, in any spelling; an adapter's model not."""
    model = install(tmp_path, MONO)
    for name in (MONO, MONO.upper(), "CodeGen-350m-mono"):
        assert find_model(name, tmp_path) == model
    hub.add("org/new", hub.repositories[MONO].files)
    mine = install(tmp_path, "org/new", name="mine")
    assert find_model("org/new", tmp_path) == mine


@pytest.mark.parametrize(
    ("repo", "name", "expected"),
    [
        ("org/my-model", None, "my-model"),
        ("org/my-model", "other", "other"),
        ("org/my-model", "a.b_c-1", "a.b_c-1"),
        ("org/con", None, "model"),  # a device of Windows
        ("org/bundled", None, "model"),
        ("org/_mine_", None, "mine_"),
    ],
)
def test_names(hub: Hub, tmp_path: Path, repo: str, name: str | None, expected: str) -> None:
    """By default the repository's, or what can be made of it."""
    hub.add(repo, hub.repositories[MONO].files)
    assert install(tmp_path, repo, name=name).name == expected


def test_a_folder(tmp_path: Path, tiny: Mapping[str, Path]) -> None:
    """Converted under its own name; the folder is only read."""
    folder = tmp_path / "my model"
    shutil.copytree(tiny["hf"], folder)
    before = files_of(folder)
    model = install(tmp_path, str(folder))
    assert model.name == "my-model"
    assert model.manifest.origin is not None
    assert (model.manifest.origin.folder, model.manifest.origin.repo) == (str(folder), "")
    assert files_of(folder) == before


def test_a_model_folder_is_copied(tmp_path: Path, tiny: Mapping[str, Path]) -> None:
    """A folder with a manifest needs no conversion."""
    model = install(tmp_path, str(tiny["ct2"]), name="copy")
    assert files_of(model.path) == files_of(tiny["ct2"])


@pytest.mark.parametrize("vocabulary", ["vocabulary.json", "vocabulary.txt"])
def test_a_converted_repository_is_taken_as_it_is(
    hub: Hub, tmp_path: Path, tiny: Mapping[str, Path], vocabulary: str
) -> None:
    """CTranslate2's files, with the vocabulary of today's or of yesterday's form."""
    files = {n: c for n, c in files_of(tiny["ct2"]).items() if n != MANIFEST}
    tokens = json.loads(files.pop("vocabulary.json"))
    text = json.dumps(tokens) if vocabulary.endswith("json") else "\n".join(tokens) + "\n"
    hub.add("org/ready-ct2", {**files, **CLUTTER, vocabulary: text.encode()})
    model = install(tmp_path, "org/ready-ct2")
    assert (model.path / "model.bin").read_bytes() == files["model.bin"]
    assert json.loads((model.path / "vocabulary.json").read_text(encoding="utf-8")) == tokens
    hub.seen.clear()
    install(tmp_path, "org/ready-ct2", compute_type="float32")
    assert not fetched(hub)


def test_a_converted_repository_keeps_what_it_says(
    hub: Hub, tmp_path: Path, tiny: Mapping[str, Path]
) -> None:
    """Its manifest knows what its weights do not; licences stay; its word on checks is no check."""
    files = files_of(tiny["ct2"])
    said = msgspec.json.decode(files[MANIFEST], type=Manifest)
    check = Check(name="believe me", max_abs=0.0, agreement=1.0, divergence=0.0)
    said = msgspec.structs.replace(said, context_length=77, parameters=123, checks=(check,))
    hub.add("org/ours", {**files, MANIFEST: msgspec.json.encode(said), "LICENSE": b"as is"})
    model = install(tmp_path, "org/ours")
    manifest = model.manifest
    assert (manifest.name, manifest.context_length, manifest.parameters) == ("ours", 77, 123)
    assert (manifest.licence, manifest.checks) == ("bsd-3-clause", ())
    assert (model.path / "LICENSE").read_bytes() == b"as is"
    verify(model, deep=True)
    for damaged in (b"{", b"{}", msgspec.json.encode(said).replace(b'"format":1', b'"format":9')):
        hub.add("org/ours", {**files, MANIFEST: damaged})
        assert install(tmp_path, "org/ours").manifest.context_length == 2048


@pytest.mark.parametrize("place", ["hub", "folder"])
def test_an_adapter_is_merged(
    hub: Hub, tmp_path: Path, tiny: Mapping[str, Path], place: str
) -> None:
    """It changes the weights, names the model, and is recorded."""
    plain = install(tmp_path)
    files = write_adapter(tiny["hf"])
    adapter = "org/mine"
    if place == "hub":
        hub.add(adapter, files)
    else:
        adapter = str(tmp_path / "mine")
        (tmp_path / "mine").mkdir()
        for name, content in files.items():
            (tmp_path / "mine" / name).write_bytes(content)
    model = install(tmp_path, adapter=adapter)
    assert model.name == "mine"
    assert model.manifest.origin is not None
    assert model.manifest.origin.adapter == adapter
    assert model.manifest.files["model.bin"] != plain.manifest.files["model.bin"]
    assert left(tmp_path) == ["codegen-350M-mono", "mine"]


def test_a_failed_update_leaves_the_old_model(hub: Hub, tmp_path: Path) -> None:
    """The store is as before."""
    first = install(tmp_path)
    files = dict(hub.repositories[MONO].files)
    hub.add(MONO, {**files, "model.safetensors": b"\xff" * 64})
    with pytest.raises(ConversionError):
        install(tmp_path)
    verify(first, deep=True)
    assert names(tmp_path) == ["codegen-350M-mono"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("format", "shards"), [("safetensors", 1), ("bin", 2)])
def test_every_family_as_it_is_published(
    hub: Hub, tmp_path: Path, family: str, format: str, shards: int
) -> None:
    """Pulled, converted, compared: float32 gives the same tokens everywhere."""
    if family == "codegen25":
        hub.add(
            MONO, publish(tmp_path / "base", "codegen1", tokenizer=test_data("codegen_tokenizer"))
        )
    folder = publish(tmp_path / family, family, format=format, shards=shards)
    hub.add("org/model", folder)
    model = install(tmp_path / "home", "org/model", compute_type="float32")
    expected = {"codegen1": "causal"}.get(family, family)
    assert model.manifest.family == expected
    assert all(check.agreement == 1 and check.max_abs <= 1e-4 for check in model.manifest.checks)
    assert model.manifest.checks
    assert left(tmp_path / "home") == ["model"]


def test_the_tables_agree() -> None:
    """What a pull lets through is what the converters take."""
    assert set(preflight.ARCHITECTURES) == set(CONVERTED)
    assert set(preflight.WEIGHT_BYTES) == set(QUANTIZATIONS) == set(COMPUTE_TYPES)
    assert set(LAYOUTS) == set(TARGETS)


def test_plain_lines_of_progress(capsys: pytest.CaptureFixture[str]) -> None:
    """Tenths of what takes long; of what is over in a moment, nothing; again in the next step."""
    lines = Lines()
    for step in ("first", "second"):
        lines.step(step)
        for done in range(0, 100_000_001, 1_000_000):
            lines.progress("download", done, 100_000_000)
            lines.progress("convert", done // 100, 1_000_000)
    tenths = [f"download: {percent} %" for percent in range(10, 101, 10)]
    assert capsys.readouterr().err.splitlines() == ["first", *tenths, "second", *tenths]


ONE = ["model.safetensors"]
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
BIN, BINS = ["pytorch_model.bin"], ["pytorch_model-00001-of-00001.bin"]
INDEX, BIN_INDEX = ["model.safetensors.index.json"], ["pytorch_model.bin.index.json"]


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        (ONE + BIN + SHARDS + INDEX, ONE),
        (SHARDS + INDEX + BIN, SHARDS + INDEX),
        (SHARDS + BIN, BIN),
        (BIN + BINS + BIN_INDEX, BIN),
        (BINS + BIN_INDEX, BINS + BIN_INDEX),
        (["model.bin", "vocabulary.txt", *ONE], ["model.bin", "vocabulary.txt"]),
        (["model.bin", *ONE], ONE),
    ],
)
def test_one_form_of_weights(there: list[str], chosen: list[str]) -> None:
    """The preferred one, and never two."""
    assert list(select(["config.json", "a.py", *there], "x").weights) == chosen


def test_an_adapter_is_two_files() -> None:
    """safetensors wins over a pickle."""
    both = ["adapter_model.bin", "adapter_config.json", "adapter_model.safetensors", "README.md"]
    assert select_adapter(both, "x") == ("adapter_config.json", "adapter_model.safetensors")
