"""From any folder to any layout: one way through, compared before anything has its name."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from safetensors.numpy import load_file, save_file

from codegen_lsp.converters import pipeline, to_phi, verify
from codegen_lsp.converters.checkpoint import open_checkpoint
from codegen_lsp.converters.hf_folder import write_folder
from codegen_lsp.converters.pipeline import TARGETS, check, convert_to
from codegen_lsp.converters.shape import Shape
from codegen_lsp.errors import (
    CodegenError,
    ConversionError,
    ModelError,
    ModelNotFoundError,
    UsageError,
)
from codegen_lsp.models.manifest import MANIFEST, Check, read_manifest, write_manifest
from codegen_lsp.models.reporting import Silent
from codegen_lsp.models.store import install, open_folder
from codegen_lsp.models.store import verify as verify_folder
from tests.support.data import test_data
from tests.support.jaxformer import write_checkpoint
from tests.support.published import publish
from tests.support.tiny import SHAPE, Tiny, Weights, make_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """One random model in several layouts."""
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def jaxformer(tiny: Tiny, folder: Path) -> Path:
    """The model as its trainer keeps it; no tokenizer."""
    return write_checkpoint(folder, tiny.plain, SHAPE, cores=4)


def parts_of_tokenizer(tiny: Tiny, folder: Path) -> Path:
    """A Hugging Face folder whose ``tokenizer.json`` is to be put together."""
    shutil.copytree(tiny.hf, folder)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    (folder / "tokenizer.json").unlink()
    vocabulary = json.dumps(content["model"]["vocab"])
    (folder / "vocab.json").write_text(vocabulary, encoding="utf-8")
    merges = (" ".join(m) if isinstance(m, list) else m for m in content["model"]["merges"])
    (folder / "merges.txt").write_text("\n".join(merges) + "\n", encoding="utf-8")
    return folder


Source = Callable[[Tiny, Path], Path]

SOURCES: dict[str, Source] = {
    "Hugging Face": lambda tiny, _: tiny.hf,
    "CTranslate2": lambda tiny, _: tiny.ct2,
    "JAXFORMER": jaxformer,
    "a tokenizer in parts": parts_of_tokenizer,
}


def convert(tiny: Tiny, source: str, to: str, out: Path, kind: str = "") -> list[Check]:
    """Run a conversion whose home is empty."""
    folder = SOURCES[source](tiny, out.parent / "source")
    tokenizers = tiny.hf if source == "JAXFORMER" else None
    checks: list[Check] = convert_to(
        str(folder),
        to,
        out,
        quantization=kind,
        home=out.parent / "home",
        report=Silent(),
        tokenizers=tokenizers,
    )
    return checks


def seen(folder: Path) -> dict[str, bytes]:
    """Everything in a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


@pytest.mark.parametrize("to", [name for name in TARGETS if name != "gguf"])
@pytest.mark.parametrize("source", SOURCES)
def test_every_way_is_exact(tiny: Tiny, tmp_path: Path, source: str, to: str) -> None:
    """In float32 the logits agree to 1e-4, everywhere; the source is only read."""
    before = seen(tiny.hf)
    checks = convert(tiny, source, to, tmp_path / "out", "float32")
    assert checks
    for one in checks:
        assert one.max_abs <= 1e-4, one
        assert one.agreement == 1.0, one
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "source"}
    assert seen(tiny.hf) == before
    if source == "a tokenizer in parts":
        assert not (tmp_path / "source" / "tokenizer.json").exists()
    again = check(str(tiny.hf), tmp_path / "out", home=tmp_path / "home", report=Silent())
    assert all(one.max_abs <= 1e-4 for one in again)


def test_a_file_for_llama_cpp(tiny: Tiny, tmp_path: Path) -> None:
    """A GGUF of the trainer's own checkpoint, asked in a real llama.cpp."""
    pytest.importorskip("gguf", reason="gguf is not installed")
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    checks = convert(tiny, "JAXFORMER", "gguf", tmp_path / "a.gguf", "F16")
    assert any("llama.cpp f16" in one.name for one in checks)
    assert (tmp_path / "a.gguf").read_bytes()[:4] == b"GGUF"


def test_an_installed_model_by_its_name(tiny: Tiny, tmp_path: Path) -> None:
    """What its manifest knows goes with it; the new folder is a model of its own."""
    home, out = tmp_path / "home", tmp_path / "a model"
    known = msgspec.structs.replace(read_manifest(tiny.ct2), description="Random.")
    shutil.copytree(tiny.ct2, tmp_path / "ct2")
    write_manifest(tmp_path / "ct2", known)
    install(tmp_path / "ct2", home, name="mine")
    convert_to("mine", "ct2", out, quantization="int8", home=home, report=Silent())
    model = open_folder(out)
    verify_folder(model, deep=True)
    manifest = model.manifest
    assert (manifest.name, manifest.compute_type) == ("a-model", "int8")
    assert (manifest.licence, manifest.description) == ("CC0-1.0", "Random.")
    assert manifest.languages == ("python",)
    assert manifest.checks


def wrong(plain: Weights, shape: Shape) -> tuple[dict[str, Any], Weights]:
    """A converter that swaps two weights of the same shape."""
    config, tensors = to_phi.to_phi(plain, shape)
    names = ["model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight"]
    changed = dict(tensors)
    changed[names[0]], changed[names[1]] = changed[names[1]], changed[names[0]]
    return config, changed


def test_what_differs_gets_no_name(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in a converter is an error, and nothing of it is left."""

    def write(plain: Weights, shape: Shape, tokenizer: Path, out: Path, *, dtype: str) -> None:
        write_folder(*wrong(plain, shape), tokenizer, out, 64)

    monkeypatch.setattr(pipeline.to_phi, "write_phi", write)
    with pytest.raises(ConversionError, match="not the same model"):
        convert(tiny, "Hugging Face", "phi", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def no_tokenizer(tiny: Tiny, folder: Path) -> str:
    shutil.copytree(tiny.hf, folder)
    (folder / "tokenizer.json").unlink()
    return str(folder)


def not_a_number(tiny: Tiny, folder: Path) -> str:
    shutil.copytree(tiny.hf, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.bias"][3] = float("nan")
    save_file(tensors, folder / "model.safetensors")
    return str(folder)


def other_architecture(tiny: Tiny, folder: Path) -> str:
    shutil.copytree(tiny.hf, folder)
    (folder / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    return str(folder)


REFUSED: dict[str, tuple[Callable[[Tiny, Path], str], str, str, type[CodegenError], str]] = {
    "no such model": (lambda t, f: "none", "hf", "", ModelNotFoundError, "no model 'none'"),
    "no such layout": (lambda t, f: str(t.hf), "onnx", "", UsageError, "use one of ct2, hf"),
    "no such kind": (lambda t, f: str(t.hf), "gguf", "q4_k", UsageError, "q4_0"),
    "no tokenizer": (no_tokenizer, "ct2", "", ConversionError, "no tokenizer"),
    "a weight that is no number": (not_a_number, "phi", "", ConversionError, "not finite"),
    "another architecture": (other_architecture, "ct2", "", ConversionError, "'bert'"),
    "an empty folder": (lambda t, f: str(f.parent), "hf", "", CodegenError, "tokenizer"),
}
"""A source, a layout and a way to store; and what is said of them."""


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_converted(tiny: Tiny, tmp_path: Path, case: str) -> None:
    """One line that says what is wrong; nothing appears."""
    make, to, kind, error, says = REFUSED[case]
    (tmp_path / "empty").mkdir()
    source, out = make(tiny, tmp_path / "empty" / "source"), tmp_path / "out"
    with pytest.raises(error, match=says) as caught:
        convert_to(source, to, out, quantization=kind, home=tmp_path / "home", report=Silent())
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"empty"}


def test_codegen25_takes_a_companion(tmp_path: Path) -> None:
    """Its tokenizer is published as a program: it is built on the vocabulary that is named, whose
    own lacks the marks of infilling."""
    source, out = tmp_path / "source", tmp_path / "out"
    publish(source, "codegen25")
    with pytest.raises(ConversionError, match="--tokenizer"):
        convert_to(
            str(source), "ct2", out, quantization="", home=tmp_path / "home", report=Silent()
        )
    assert not out.exists()
    convert_to(
        str(source),
        "ct2",
        out,
        quantization="float32",
        home=tmp_path / "home",
        report=Silent(),
        tokenizers=test_data("codegen_tokenizer"),
    )
    assert open_folder(out).manifest.family == "codegen25"
    vocabulary = json.loads((out / "vocabulary.json").read_text(encoding="utf-8"))
    assert vocabulary[51199] == "<mask_1>"


def test_a_checkpoint_without_a_tokenizer_is_checked(tiny: Tiny, tmp_path: Path) -> None:
    """JAXFORMER saves none: the converted model's tells what to compare on."""
    source, out = jaxformer(tiny, tmp_path / "source"), tmp_path / "out"
    convert_to(
        str(source),
        "hf",
        out,
        quantization="",
        home=tmp_path / "home",
        report=Silent(),
        tokenizers=tiny.hf,
    )
    assert check(str(source), out, home=tmp_path / "home", report=Silent())


@pytest.mark.parametrize("what", ["check", "convert"])
def test_scratch_on_another_file_system_holds_no_second_checkpoint(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Temporary files often lie in memory: weights are not copied for want of a tokenizer."""
    source = parts_of_tokenizer(tiny, tmp_path / "source")
    copied = []

    def other_file_system(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    def copyfile(path: Path, target: Path) -> Path:
        copied.append(Path(path).name)
        Path(target).write_bytes(Path(path).read_bytes())
        return Path(target)

    monkeypatch.setattr(os, "link", other_file_system)
    monkeypatch.setattr(shutil, "copyfile", copyfile)
    if what == "check":
        check(str(source), tiny.ct2, home=tmp_path, report=Silent())
    else:
        out = tmp_path / "out"
        convert_to(str(source), "ct2", out, quantization="", home=tmp_path, report=Silent())
    assert "model.safetensors" not in copied


def unreadable_source(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tiny.hf / "config.json"))

    monkeypatch.setattr(pipeline, "_as_hf_folder", denied)


def no_scratch(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tiny.hf / "config.json"))

    monkeypatch.setattr(pipeline, "_as_hf_folder", full)


WORK: dict[str, Callable[[str, Path, Path], object]] = {
    "check": lambda source, ct2, out: check(source, ct2, home=out.parent, report=Silent()),
    "convert": lambda source, ct2, out: convert_to(
        source, "hf", out, quantization="", home=out.parent, report=Silent()
    ),
}


@pytest.mark.parametrize(
    ("fault", "says"),
    [(unreadable_source, "cannot read .*config.json"), (no_scratch, "cannot write in .*No space")],
)
@pytest.mark.parametrize("what", WORK)
def test_what_the_file_system_refuses(
    tiny: Tiny,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[Tiny, Path, pytest.MonkeyPatch], None],
    says: str,
    what: str,
) -> None:
    """One line that names the right place, whoever asks."""
    fault(tiny, tmp_path, monkeypatch)
    with pytest.raises(ModelError, match=says):
        WORK[what](str(tiny.hf), tiny.ct2, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tiny: Tiny, tmp_path: Path) -> None:
    """What is there stays as it is."""
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="exists"):
        convert(tiny, "Hugging Face", "phi", tmp_path / "out")
    assert (tmp_path / "out").read_text(encoding="utf-8") == "mine"


def test_a_model_that_was_changed_later(tiny: Tiny, tmp_path: Path) -> None:
    """``check`` finds one weight of one layer."""
    out = tmp_path / "out"
    convert(tiny, "Hugging Face", "gptj", out)
    tensors = {name: array.copy() for name, array in open_checkpoint(out).items()}
    tensors["transformer.h.1.mlp.fc_in.weight"][0] += 1
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConversionError, match="not the same model"):
        check(str(tiny.hf), out, home=tmp_path, report=Silent())
    with pytest.raises(ConversionError, match="no converted model"):
        verify.check(tiny.hf, tmp_path / "none")
    assert MANIFEST not in {path.name for path in out.iterdir()}
