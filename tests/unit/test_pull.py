"""Pulling from a hub on loopback, and from folders: what is fetched, what is installed, what not.

The converters are the real ones; the checkpoints are tiny and made without torch, but for one of
each family in the layout it is published in.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from codegen_lsp.cli.convert import LAYOUTS
from codegen_lsp.cli.pull import COMPUTE_TYPES
from codegen_lsp.cli.reporting import Lines
from codegen_lsp.converters.architectures import ARCHITECTURES as CONVERTED
from codegen_lsp.converters.pipeline import TARGETS, run_job
from codegen_lsp.converters.to_ct2 import QUANTIZATIONS
from codegen_lsp.errors import CodegenError, ConversionError, HubError
from codegen_lsp.models import hub as client
from codegen_lsp.models import preflight
from codegen_lsp.models.jobs import ConversionJob, PullRequest
from codegen_lsp.models.manifest import MANIFEST, Manifest, digest
from codegen_lsp.models.pull import downloads, pull
from codegen_lsp.models.reporting import Silent
from codegen_lsp.models.selection import select, select_adapter
from codegen_lsp.models.store import ModelFolder, installed, verify
from tests.support.data import test_data
from tests.support.hub import Hub, connect, running
from tests.support.published import FAMILIES, publish
from tests.support.tiny import make_tiny

MONO = "Salesforce/codegen-350M-mono"

CLUTTER = {
    ".gitattributes": b"* text",
    "README.md": b"# card",
    "flax_model.msgpack": b"flax",
    "tf_model.h5": b"tf",
    "modeling_codegen.py": b"import os",
    "onnx/model.onnx": b"onnx",
    "model.gguf": b"gguf",
}
"""What a repository holds that nobody needs to complete code."""


class Recorder(Silent):
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.parts: set[str] = set()

    def step(self, text: str) -> None:
        self.said.append(text)

    def note(self, text: str) -> None:
        self.said.append(text)

    def progress(self, what: str, done: int, total: int) -> None:
        assert 0 <= done <= total
        self.parts.add(what)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A tiny CodeGen: ``hf`` and ``ct2`` folders."""
    made = make_tiny(tmp_path_factory.mktemp("tiny"), quantization="int8")
    return {"hf": made.hf, "ct2": made.ct2}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tiny: Mapping[str, Path]) -> Iterator[Hub]:
    """A hub with the tiny CodeGen as the 350M, with everything that repositories hold."""
    with running() as server:
        connect(server, monkeypatch)
        monkeypatch.setattr(client, "_WAITS", (0.0,))
        server.add(MONO, files_of(tiny["hf"]) | CLUTTER)
        yield server


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of *folder*."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def install(home: Path, what: str = "codegen-350M-mono", **more: object) -> ModelFolder:
    """Pull into *home* with the real converters."""
    report = more.pop("report", None) or Recorder()
    request = PullRequest(what=what, **more)  # type: ignore[arg-type]
    return pull(request, home, convert=run_job, report=report)  # type: ignore[arg-type]


def fetched(hub: Hub) -> list[str]:
    """Names of the files that were asked for, by commit or from the store of large files."""
    return sorted(
        {
            seen.path.partition("?")[0].rpartition("/")[2]
            for seen in hub.seen
            if "/resolve/" in seen.path
        }
    )


def left(home: Path) -> list[str]:
    """Everything in the store but locks."""
    return sorted(p.name for p in (home / "models").glob("*") if p.name != ".locks")


def names(home: Path) -> list[str]:
    """Installed models."""
    return [model.name for model in installed(home) if model.name != "bundled"]


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


@pytest.mark.parametrize(
    ("name", "expected"), [(None, "my-model"), ("other", "other"), ("a.b_c-1", "a.b_c-1")]
)
def test_names(hub: Hub, tmp_path: Path, name: str | None, expected: str) -> None:
    """By default the repository's."""
    hub.add("org/my-model", hub.repositories[MONO].files)
    assert install(tmp_path, "org/my-model", name=name).name == expected


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


def write_adapter(tiny: Path) -> dict[str, bytes]:
    """A LoRA adapter of rank 2 for the attention of the tiny model."""
    from safetensors.numpy import save

    config = json.loads((tiny / "config.json").read_text())
    width, rng = config["n_embd"], np.random.default_rng(1)
    tensors = {}
    for layer in range(config["n_layer"]):
        at = f"base_model.model.transformer.h.{layer}.attn.qkv_proj.lora_"
        tensors[at + "A.weight"] = rng.standard_normal((2, width)).astype(np.float32)
        tensors[at + "B.weight"] = rng.standard_normal((3 * width, 2)).astype(np.float32)
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["qkv_proj"],
                "bias": "none", "fan_in_fan_out": False}  # fmt: skip
    return {
        "adapter_config.json": json.dumps(settings).encode(),
        "adapter_model.safetensors": save(tensors),
        "README.md": b"card",
    }


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
        (without("tokenizer.json"), "tokenizer", 1),
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
    assert len(hub.asked("/cdn/")) == asked
    assert not names(tmp_path)
    assert set(left(tmp_path)) <= {".downloads"}


@pytest.mark.parametrize(
    ("what", "more", "words"),
    [
        ("codegen-350M-momo", {}, "no model, repository or folder.*codegen-350M-mono"),
        ("", {}, "no model"),
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
