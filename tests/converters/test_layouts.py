"""One tiny model in every layout: the logits are the same, and damage is noticed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from codegen_lsp.converters import to_ct2, verify
from codegen_lsp.converters.checkpoint import open_checkpoint
from codegen_lsp.converters.reference import forward
from codegen_lsp.converters.shape import Shape
from codegen_lsp.converters.to_hf import from_hf_tensors, to_hf_folder, to_hf_tensors
from codegen_lsp.errors import ConversionError
from codegen_lsp.models.manifest import Manifest
from codegen_lsp.models.store import open_folder
from codegen_lsp.models.store import verify as verify_folder
from tests.support.published import publish
from tests.support.tiny import SHAPE, Tiny, make_tiny, random_weights, write_tokenizer

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
    check(tiny, verify.reference_logits(tiny.hf, TOKENS))


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
    "another architecture": (with_config(model_type="bert"), "'bert' cannot be converted"),
    "another architecture's fields": (with_config(model_type="llama"), "hidden_size"),
    "another activation": (with_config(activation_function="relu"), "relu"),
    "more layers than weights": (with_config(n_layer=3), "h.2"),
    "no width": (with_config(n_embd=None), "config.json"),
    "another width": (with_config(n_embd=64), "wte.weight' has the shape .320, 32."),
    "heads that do not fit": (with_config(n_head=5), "5 heads"),
    "more rotation than heads have": (with_config(rotary_dim=10), "rotates 10 of 8"),
    "an inner width of its own": (with_config(n_inner=65), "n_inner of 65"),
    "fewer entries than tokens": (with_config(vocab_size=100), "100"),
    "a tokenizer that is no JSON": (
        lambda folder: (folder / "tokenizer.json").write_text("<html>"),
        "tokenizer.json",
    ),
    "a tokenizer without tokens": (
        lambda folder: (folder / "tokenizer.json").write_text('{"model": {}}'),
        "tokenizer.json",
    ),
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
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


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


def tokenizer_of(tokens: list[str], added: dict[int, str]) -> str:
    vocab = {token: index for index, token in enumerate(tokens)}
    extra = [{"id": index, "content": token} for index, token in added.items()]
    return json.dumps({"model": {"vocab": vocab}, "added_tokens": extra})


@pytest.mark.parametrize(
    ("tokens", "added", "expected"),
    [
        (["a", "b"], {}, ["a", "b", "<extra_id_0>", "<extra_id_1>"]),
        (["a"], {2: "<end>"}, ["a", "<extra_id_0>", "<end>", "<extra_id_1>"]),
        (["a", "<extra_id_0>"], {}, ["a", "<extra_id_0>", "<padding_0>", "<padding_1>"]),
        (["a"], {3: "<extra_id_99>"}, ["a", "<padding_0>", "<padding_1>", "<extra_id_99>"]),
        (["a", "b", "c", "d"], {0: "z"}, ["z", "b", "c", "d"]),
    ],
)
def test_gaps_in_a_vocabulary_get_names(
    tmp_path: Path, tokens: list[str], added: dict[int, str], expected: list[str]
) -> None:
    """Names that mean padding, and never a name that the tokenizer uses itself."""
    (tmp_path / "tokenizer.json").write_text(tokenizer_of(tokens, added))
    assert to_ct2.vocabulary(tmp_path / "tokenizer.json", 4) == expected


def test_a_vocabulary_of_scored_pieces(tmp_path: Path) -> None:
    """Unigram models list tokens with their scores."""
    content = {"model": {"vocab": [["a", -1.5], ["b", 0]]}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert to_ct2.vocabulary(tmp_path / "tokenizer.json", 2) == ["a", "b"]


ENDS = {
    "by its name": ({"eos_token": "b"}, {"eos_token_id": 1}, ["<|endoftext|>", "b"], 0),
    "by the tokenizer": ({"eos_token": "b"}, {"eos_token_id": 0}, ["a", "b"], 1),
    "by the tokenizer, long": ({"eos_token": {"content": "b"}}, {}, ["a", "b"], 1),
    "by the configuration": ({"eos_token": "none"}, {"eos_token_id": 1}, ["a", "b"], 1),
    "by the configuration alone": (None, {"eos_token_id": 1}, ["a", "b"], 1),
}


@pytest.mark.parametrize("case", ENDS)
def test_what_ends_a_text(tiny: Tiny, tmp_path: Path, case: str) -> None:
    """The best word counts: the token's own name, then the tokenizer's, then the id."""
    tokenizer, config, tokens, expected = ENDS[case]
    source = tmp_path / "source"
    shutil.copytree(tiny.hf, source)
    (source / "tokenizer.json").write_text(tokenizer_of(tokens, {}))
    (source / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    with_config(**config)(source)
    to_ct2.convert(source, tmp_path / "out", Manifest(name="m", context_length=2))
    written = msgspec.json.decode((tmp_path / "out" / "config.json").read_bytes())
    ends = {written[f"{name}_token"] for name in ("bos", "eos", "unk")}
    assert ends == {tokens[expected]}


def test_no_end_of_text_is_an_error(tiny: Tiny, tmp_path: Path) -> None:
    """An id beyond the vocabulary cannot be repaired."""
    source = tmp_path / "source"
    shutil.copytree(tiny.hf, source)
    (source / "tokenizer.json").write_text(tokenizer_of(["a"], {}))
    with_config(eos_token_id=320)(source)
    with pytest.raises(ConversionError, match="320 for 'eos_token_id'"):
        to_ct2.convert(source, tmp_path / "out", Manifest(name="m", context_length=2))


FAMILIES = {
    "codegen1": "decoder",
    "codegen2": "decoder",
    "codegen25": "decoder",
    "santacoder": "decoder",
    "starcoder": "decoder",
    "codet5p": "encoder-decoder",
}


@pytest.mark.parametrize("format", ["bin", "safetensors"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_converted(tmp_path: Path, family: str, format: str) -> None:
    """As it is published, in either kind of file, with a vocabulary that fits and whole."""
    source = publish(tmp_path / "hf", family, format=format, shards=2)
    if not (source / "tokenizer.json").is_file():
        write_tokenizer(source / "tokenizer.json")
    manifest = to_ct2.convert(source, tmp_path / "m", Manifest(name="m", context_length=2))
    assert manifest.architecture == FAMILIES[family]
    verify_folder(open_folder(tmp_path / "m"), deep=True)
    assert "README.md" in manifest.files, "what may be a licence goes with the weights"
    names = ("vocabulary.json", "shared_vocabulary.json")
    words = next(tmp_path / "m" / name for name in names if (tmp_path / "m" / name).exists())
    assert len(json.loads(words.read_text())) >= 320
    assert manifest.parameters > 0


def test_an_encoder_decoder_adds_nothing_to_a_prompt(tmp_path: Path) -> None:
    """Prompts come with what the encoder needs; the decoder starts as the configuration says."""
    source = publish(tmp_path / "hf", "codet5p")
    to_ct2.convert(source, tmp_path / "m", Manifest(name="m", context_length=2))
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    words = json.loads((tmp_path / "m" / "shared_vocabulary.json").read_text())
    start = json.loads((source / "config.json").read_text())["decoder_start_token_id"]
    assert config["decoder_start_token"] == words[start]
    assert (config["bos_token"], config["eos_token"]) == ("<s>", "</s>")
    assert not config["add_source_bos"]
    assert not config["add_source_eos"]


def test_eight_parts_are_written_and_read(tmp_path: Path) -> None:
    """A model like CodeGen2-1B, whose configuration names the head size, keeps its logits."""
    shape = replace(SHAPE, n_embd=1024, n_head=8, n_layer=1, rotary_dim=64, parts=8)
    plain = random_weights(shape, scale=0.02)
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json")
    folder = to_hf_folder(plain, shape, tokenizer, tmp_path / "hf")
    assert Shape.from_folder(folder) == shape
    to_ct2.convert(folder, tmp_path / "m", Manifest(name="m", context_length=2), "float32")
    expected = forward(plain, shape, TOKENS[0])
    found = verify.ct2_logits(tmp_path / "m", TOKENS[:1], "float32")
    verify.require("eight", verify.compare(expected, found), verify.EXACT)
    wrong = forward(
        from_hf_tensors(open_checkpoint(folder), replace(shape, parts=4)), shape, TOKENS[0]
    )
    with pytest.raises(ConversionError, match="not the same model"):
        verify.require("four", verify.compare(expected, wrong), verify.EXACT)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_the_reference_computes_in_one_precision(tiny: Tiny, precision: Any) -> None:
    """What it is asked for, without falling into another on the way."""
    logits = forward(tiny.plain, tiny.shape, TOKENS[0], precision)
    assert logits.dtype == precision
    assert np.abs(logits - forward(tiny.plain, tiny.shape, TOKENS[0])).max() < 1e-4


def test_heads_that_no_folder_can_hold(tiny: Tiny) -> None:
    """Hugging Face's class shares the heads out to four parts."""
    with pytest.raises(ConversionError, match="6 heads"):
        to_hf_tensors(tiny.plain, replace(SHAPE, n_head=6))
