"""One tiny model in every layout: the logits are the same, and damage is noticed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from codegen_lsp.converters import to_ct2, verify
from codegen_lsp.converters.reference import forward
from codegen_lsp.converters.shape import Shape
from codegen_lsp.converters.to_hf import from_hf_tensors, to_hf_tensors
from codegen_lsp.errors import ConversionError
from codegen_lsp.models.manifest import MANIFEST, Manifest
from codegen_lsp.models.store import open_folder
from codegen_lsp.models.store import verify as verify_folder
from tests.support.tiny import SHAPE, Tiny, make_tiny, random_weights

TOKENS = np.random.default_rng(1).integers(0, 280, (3, 24)).tolist()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("layouts"))


def reference(tiny: Tiny) -> verify.Logits:
    return np.concatenate([forward(tiny.plain, tiny.shape, tokens) for tokens in TOKENS])


def check(tiny: Tiny, other: verify.Logits | None) -> None:
    assert other is not None
    verify.require("test", verify.compare(reference(tiny), other), verify.EXACT)


def test_hugging_face_layout_in_numpy(tiny: Tiny) -> None:
    """The folder read back computes what was written."""
    check(tiny, verify.hf_logits(tiny.hf, TOKENS))


def test_hugging_face_layout_in_transformers(tiny: Tiny) -> None:
    """transformers' own CodeGen agrees, logit by logit."""
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    check(tiny, verify.transformers_logits(tiny.hf, TOKENS))


def test_jax_model(tiny: Tiny) -> None:
    """The JAX model agrees on the plain weights."""
    pytest.importorskip("flax", reason="flax is not installed")
    check(tiny, verify.jax_logits(tiny.plain, tiny.shape, TOKENS))


def test_ctranslate2_in_float32(tiny: Tiny) -> None:
    """CTranslate2 agrees in float32."""
    check(tiny, verify.ct2_logits(tiny.ct2, TOKENS, "float32"))


@pytest.mark.parametrize("quantization", ["int8", "float16", "float32"])
def test_quantizations(tiny: Tiny, tmp_path: Path, quantization: str) -> None:
    """Every way of storing weights is near the source, and the manifest names it."""
    manifest = to_ct2.convert(
        tiny.hf, tmp_path / "m", Manifest(name="m", context_length=2), quantization
    )
    assert manifest.compute_type == quantization
    assert manifest.context_length == SHAPE.n_positions
    difference = verify.compare(
        reference(tiny), verify.ct2_logits(tmp_path / "m", TOKENS, "default")
    )
    verify.require(quantization, difference, verify.QUANTIZED)
    verify_folder(open_folder(tmp_path / "m"), deep=True)


def test_plain_weights_there_and_back(tiny: Tiny) -> None:
    """Names and orientations of the two layouts are inverse to each other."""
    back = from_hf_tensors(to_hf_tensors(tiny.plain, SHAPE), SHAPE)
    assert back.keys() == tiny.plain.keys()
    assert all(np.array_equal(back[name], tiny.plain[name]) for name in back)


def test_shape_there_and_back() -> None:
    """``config.json`` says everything the shape knows."""
    assert Shape.from_config(SHAPE.to_config()) == SHAPE


@pytest.mark.parametrize(("head_dim", "parts"), [(None, 4), (128, 8), (256, 8), (64, 4)])
def test_parts_of_published_configurations(head_dim: int | None, parts: int) -> None:
    """Only CodeGen2-1B and -3.7B, which name their head size, are cut in eight."""
    assert Shape.from_config({**SHAPE.to_config(), "head_dim": head_dim}).parts == parts


def test_the_parameters_are_counted(tiny: Tiny) -> None:
    """The manifest counts every weight once."""
    counted = open_folder(tiny.ct2).manifest.parameters
    assert counted == sum(weight.size for weight in tiny.plain.values())


def test_the_vocabulary_is_padded(tiny: Tiny) -> None:
    """Rows without a token get names that the engine suppresses."""
    words = json.loads((tiny.ct2 / "vocabulary.json").read_text())
    assert len(words) == 320
    assert (words[0], words[280], words[319]) == ("<|endoftext|>", "<extra_id_0>", "<extra_id_39>")


def test_a_difference_is_refused(tiny: Tiny) -> None:
    """Another model of the same shape does not pass, and the line says by how much."""
    other = random_weights(SHAPE, seed=9)
    wrong = np.concatenate([forward(other, SHAPE, tokens) for tokens in TOKENS])
    with pytest.raises(ConversionError, match="step one: not the same model: logit difference"):
        verify.require("step one", verify.compare(reference(tiny), wrong), verify.EXACT)
    with pytest.raises(ConversionError, match="shape"):
        verify.compare(wrong, wrong[:1])
    with pytest.raises(ConversionError, match="finite"):
        verify.compare(wrong, wrong * np.nan)


def without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def with_config(**changes: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))

    return change


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (without("model.safetensors"), "safetensors"),
    "no configuration": (without("config.json"), "config.json"),
    "no tokenizer": (without("tokenizer.json"), "tokenizer.json"),
    "another family": (with_config(model_type="llama"), "llama"),
    "another activation": (with_config(activation_function="relu"), "relu"),
    "more layers than weights": (with_config(n_layer=3), "h.2"),
    "no width": (with_config(n_embd=None), "config.json"),
    "fewer entries than tokens": (with_config(vocab_size=100), "100"),
    "weights cut off": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"abc"),
        "safetensors",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_converted_is_named(tiny: Tiny, tmp_path: Path, case: str) -> None:
    """The error names the cause on one line, and nothing is left behind."""
    damage, says = BAD[case]
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(tiny.hf, source)
    damage(source)
    with pytest.raises(ConversionError, match=says) as caught:
        to_ct2.convert(source, out, Manifest(name="m", context_length=2))
    assert "\n" not in str(caught.value)
    assert not (out / MANIFEST).exists()
    assert not list(tmp_path.glob(".convert-*"))


def test_an_unknown_quantization_is_named(tiny: Tiny, tmp_path: Path) -> None:
    """The error lists what there is."""
    with pytest.raises(ConversionError, match="int8"):
        to_ct2.convert(tiny.hf, tmp_path, Manifest(name="m", context_length=2), "int3")


def test_converting_again_replaces_the_model_and_keeps_other_files(
    tiny: Tiny, tmp_path: Path
) -> None:
    """A model card beside the weights survives."""
    (tmp_path / "MODEL_CARD.md").write_text("card")
    for quantization in ("float32", "int8"):
        to_ct2.convert(tiny.hf, tmp_path, Manifest(name="m", context_length=2), quantization)
    assert open_folder(tmp_path).manifest.compute_type == "int8"
    assert (tmp_path / "MODEL_CARD.md").read_text() == "card"


def test_a_missing_parameter_is_named(tiny: Tiny) -> None:
    """The checkpoint's gap is in the message."""
    plain = {name: weight for name, weight in tiny.plain.items() if name != "h.1.out"}
    with pytest.raises(ConversionError, match=r"h\.1\.out"):
        to_hf_tensors(plain, SHAPE)


def test_the_configured_end_of_text_yields_to_the_tokenizer(tiny: Tiny, tmp_path: Path) -> None:
    """Published configurations claim ids 1 and 2; the token's own name decides."""
    source = tmp_path / "source"
    shutil.copytree(tiny.hf, source)
    with_config(eos_token_id=2)(source)
    to_ct2.convert(source, tmp_path / "out", Manifest(name="m", context_length=2))
    config = msgspec.json.decode((tmp_path / "out" / "config.json").read_bytes())
    assert config["eos_token"] == "<|endoftext|>"


def test_heads_that_no_folder_can_hold(tiny: Tiny) -> None:
    """Hugging Face's class shares the heads out to four parts."""
    with pytest.raises(ConversionError, match="6 heads"):
        to_hf_tensors(tiny.plain, replace(SHAPE, n_head=6))
