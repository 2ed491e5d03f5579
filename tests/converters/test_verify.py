"""A conversion that changed the model is refused, whatever the layout and however it is stored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codegen_lsp.converters import logits, qkv, verify
from codegen_lsp.converters.checkpoint import open_checkpoint, read_config, write_safetensors
from codegen_lsp.converters.from_ct2 import read_ct2
from codegen_lsp.converters.to_ct2 import QUANTIZATIONS, convert
from codegen_lsp.converters.to_gguf import TYPES, write_gguf
from codegen_lsp.converters.to_gptj import write_gptj
from codegen_lsp.converters.to_hf import to_hf_folder
from codegen_lsp.converters.to_phi import DTYPES, write_phi
from codegen_lsp.errors import ConversionError
from codegen_lsp.models.manifest import MANIFEST, Manifest
from tests.support.architectures import make_checkpoint
from tests.support.tiny import SHAPE, Tiny, Weights, make_tiny, random_weights, write_tokenizer

BUNDLED = Path(__file__).resolve().parents[2] / "codegen_lsp" / "models" / "bundled"

LAYOUTS = [
    *(("ct2", kind) for kind in QUANTIZATIONS),
    *(("phi", kind) for kind in DTYPES),
    *(("gptj", kind) for kind in DTYPES),
    *(("gguf", kind) for kind in TYPES),
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("verify"))


def write(plain: Weights, layout: str, kind: str, folder: Path) -> Path:
    """*plain* in any layout."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = write_tokenizer(folder / "tokenizer.json")
    if layout == "ct2":
        hf = to_hf_folder(plain, SHAPE, tokenizer, folder / "hf")
        convert(hf, folder / "ct2", Manifest(name="m", context_length=2), kind)
        return folder / "ct2"
    if layout == "gguf":
        pytest.importorskip("gguf", reason="gguf is not installed")
        pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
        write_gguf(plain, SHAPE, tokenizer, folder / "m.gguf", kind)
        return folder / "m.gguf"
    writer: Callable[..., object] = {"phi": write_phi, "gptj": write_gptj}[layout]
    writer(plain, SHAPE, tokenizer, folder / layout, dtype=kind)
    return folder / layout


@pytest.mark.parametrize(("layout", "kind"), LAYOUTS)
def test_every_layout_passes(tiny: Tiny, tmp_path: Path, layout: str, kind: str) -> None:
    """Two comparisons where weights were rounded: with the checkpoint, and with it rounded
    alike, which is exact where the arithmetic is."""
    converted = write(tiny.plain, layout, kind, tmp_path)
    checks = verify.check(tiny.hf, converted)
    assert all(0 <= check.agreement <= 1 and check.divergence >= 0 for check in checks)
    ours = [check for check in checks if "transformers" not in check.name]
    rounded = kind not in ("float32", "f32")
    assert ["alike" in check.name for check in ours] == ([True, False] if rounded else [False])
    if layout != "gguf":
        assert ours[0].max_abs <= 1e-4
        assert ours[0].agreement == 1


def attention(change: Callable[..., tuple[Any, Any, Any]]) -> Callable[[Weights], Weights]:
    """A change of query, key and value (each [d, n]) of every block."""

    def changed(plain: Weights) -> Weights:
        wrong = dict(plain)
        for name in [name for name in plain if name.endswith("qkv")]:
            parts = change(*(part.T for part in plain[name]))
            wrong[name] = np.stack([part.T for part in parts])
        return wrong

    return changed


def rotated(q: Any, k: Any, v: Any) -> tuple[Any, Any, Any]:
    turn = qkv.interleaved_to_sliced
    return turn(q, 4, 4), turn(k, 4, 4), v


MISTAKES: dict[str, Callable[[Weights], Weights]] = {
    "rows in the wrong order for the rotation": attention(rotated),
    "q and k swapped": attention(lambda q, k, v: (k, q, v)),
    "k and v swapped": attention(lambda q, k, v: (q, v, k)),
    "wrong parts": attention(lambda q, k, v: qkv.split(qkv.fuse(q, k, v, 4), 8)),
    "a bias left out": lambda plain: plain | {"lm_head.bias": np.zeros(320, np.float32)},
    "one norm of another block": lambda plain: plain | {"h.0.ln_1.scale": plain["h.1.ln_1.scale"]},
    "a matrix not transposed": lambda plain: plain | {"h.1.out": plain["h.1.out"].T},
}


@pytest.mark.parametrize(
    ("layout", "kind"),
    [
        ("ct2", "float32"),
        ("ct2", "int8"),
        ("phi", "float32"),
        ("phi", "float16"),
        ("gptj", "float32"),
        ("gguf", "f16"),
        ("gguf", "q8_0"),
        ("gguf", "q4_0"),
    ],
)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(
    tiny: Tiny, tmp_path: Path, layout: str, kind: str, mistake: str
) -> None:
    """The line says what was compared, by how much it differs and what is allowed."""
    converted = write(MISTAKES[mistake](tiny.plain), layout, kind, tmp_path)
    with pytest.raises(ConversionError, match=r"not the same model: .*allowed") as caught:
        verify.check(tiny.hf, converted)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_in_a_model_that_says_little(tmp_path: Path, mistake: str) -> None:
    """With weights as an initialization draws them, every token is nearly as likely as any other,
    and eight bits change as much as a mistake does. The weights rounded alike tell them apart."""
    flat = {
        name: np.multiply(weight, 0.1, dtype=np.float32) if weight.ndim > 1 else weight
        for name, weight in random_weights(SHAPE).items()
    }
    source = to_hf_folder(flat, SHAPE, write_tokenizer(tmp_path / "t.json"), tmp_path / "source")
    good = write(flat, "ct2", "int8", tmp_path / "good")
    verify.check(source, good)
    wrong = write(MISTAKES[mistake](flat), "ct2", "int8", tmp_path / "wrong")
    with pytest.raises(ConversionError, match="rounded alike: not the same model"):
        verify.check(source, wrong)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model as a Hugging Face folder."""
    plain, shape = read_ct2(BUNDLED)
    out = tmp_path_factory.mktemp("bundled") / "hf"
    to_hf_folder(plain, shape, BUNDLED / "tokenizer.json", out)
    return out


def test_the_bundled_model(bundled: Path) -> None:
    """What ships is what its weights say."""
    checks = verify.check(bundled, BUNDLED)
    assert checks[-2].max_abs <= 1e-4
    assert checks[-1].agreement > 0.9


@pytest.mark.parametrize("layout", ["ct2", "phi", "gguf"])
def test_wrong_parts_are_found_although_every_layout_agrees(
    bundled: Path, tmp_path: Path, layout: str
) -> None:
    """A configuration that implies eight parts is converted faithfully into nonsense: the
    weights themselves are asked which reading makes sense of code."""
    source = tmp_path / "source"
    shutil.copytree(bundled, source)
    config = {**read_config(source), "head_dim": 128}
    (source / "config.json").write_text(json.dumps(config))
    plain, shape = read_ct2(BUNDLED)
    out = tmp_path / "out"
    if layout == "ct2":
        convert(source, out, Manifest(name="m", context_length=2), "float32")
    elif layout == "phi":
        write_phi(plain, shape, source / "tokenizer.json", out)
    else:
        pytest.importorskip("gguf", reason="gguf is not installed")
        write_gguf(plain, shape, source / "tokenizer.json", out, "f16")
    with pytest.raises(ConversionError, match=r"in 4 parts, not 8; remove head_dim"):
        verify.check(source, out)


OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": (
        "LlamaForCausalLM",
        {
            "vocab_size": 320,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 64,
        },
    ),
    "gpt_bigcode": (
        "GPTBigCodeForCausalLM",
        {"vocab_size": 320, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    ),
    "t5": (
        "T5ForConditionalGeneration",
        {
            "vocab_size": 320,
            "d_model": 32,
            "d_kv": 8,
            "d_ff": 48,
            "num_layers": 2,
            "num_heads": 4,
            "decoder_start_token_id": 0,
            "feed_forward_proj": "relu",
        },
    ),
}


@pytest.mark.parametrize("kind", ["float32", "int8", "bfloat16"])
@pytest.mark.parametrize("other", OTHERS)
def test_other_architectures(tmp_path: Path, other: str, kind: str) -> None:
    """Every row of the table is checked in the same way, encoder-decoders included."""
    name, config = OTHERS[other]
    source = tmp_path / "source"
    make_checkpoint(name, source, **config)
    write_tokenizer(source / "tokenizer.json")
    convert(source, tmp_path / "out", Manifest(name="m", context_length=2), kind)
    checks = verify.check(source, tmp_path / "out")
    exact = [check for check in checks if check.max_abs <= 1e-4]
    assert len(exact) == 2, checks


def test_another_checkpoint_is_found(tiny: Tiny, tmp_path: Path) -> None:
    """A folder of the same shape with other weights."""
    other = to_hf_folder(
        random_weights(SHAPE, seed=9), SHAPE, tiny.hf / "tokenizer.json", tmp_path / "other"
    )
    with pytest.raises(ConversionError, match="codegen, checkpoint: not the same model"):
        verify.check(tiny.hf, other)
    assert verify.check(tiny.hf, tiny.hf)[-1].agreement == 1


def test_the_type_is_found_where_no_manifest_says_it(tiny: Tiny, tmp_path: Path) -> None:
    """A CTranslate2 folder from elsewhere."""
    out = write(tiny.plain, "ct2", "int8", tmp_path)
    (out / MANIFEST).unlink()
    assert any("CTranslate2 int8" in check.name for check in verify.check(tiny.hf, out))


def test_transformers_is_no_judge_of_eight_parts(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its CodeGen reads four; large models are not loaded into it either."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    tokens = verify.sample(tiny.hf)
    assert verify.transformers_logits(tiny.hf, tokens) is not None
    source = tmp_path / "eight"
    shutil.copytree(tiny.hf, source)
    config = {**read_config(source), "head_dim": 128}
    (source / "config.json").write_text(json.dumps(config))
    assert verify.transformers_logits(source, tokens) is None
    monkeypatch.setattr(logits, "LARGE", 1000)
    assert verify.transformers_logits(tiny.hf, tokens) is None


def test_samples_are_code_and_fit_the_model(tiny: Tiny) -> None:
    """One sequence that leaves room for an answer, of ids the model has rows for."""
    tokens = verify.sample(tiny.hf)
    assert [len(sequence) for sequence in tokens] == [63]
    assert max(map(max, tokens)) < 320


UNREADABLE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "an empty folder": (lambda folder: folder, "no converted model"),
    "no such file": (lambda folder: folder / "none.gguf", "no converted model"),
    "a text": (lambda folder: written(folder / "a.gguf", b"text"), "cannot read|cannot load"),
    "an empty file": (lambda folder: written(folder / "a.gguf", b""), "cannot read|cannot load"),
    "a broken model": (
        lambda folder: written(folder / "model.bin", b"abc").parent,
        "model.bin",
    ),
}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_is_no_model_is_named(tiny: Tiny, tmp_path: Path, case: str) -> None:
    """One line."""
    make, says = UNREADABLE[case]
    path = make(tmp_path)
    if path.is_file():
        pytest.importorskip("gguf", reason="gguf is not installed")
        pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    with pytest.raises(ConversionError, match=says) as caught:
        verify.check(tiny.hf, path)
    assert "\n" not in str(caught.value)


def test_a_source_without_a_tokenizer(tiny: Tiny, tmp_path: Path) -> None:
    """Nothing can be sampled without one."""
    shutil.copytree(tiny.hf, tmp_path / "source")
    (tmp_path / "source" / "tokenizer.json").unlink()
    with pytest.raises(ConversionError, match="cannot read the tokenizer"):
        verify.check(tmp_path / "source", tiny.ct2)


def test_a_shard_of_another_layout(tiny: Tiny, tmp_path: Path) -> None:
    """A Phi folder that lacks a tensor names it."""
    out = write_phi(tiny.plain, SHAPE, tiny.hf / "tokenizer.json", tmp_path / "phi")
    tensors = open_checkpoint(out)
    name = "model.layers.1.mlp.fc2.weight"
    kept = {key: tensors[key] for key in tensors if key != name}
    write_safetensors(out, kept)
    with pytest.raises(ConversionError, match=name):
        verify.check(tiny.hf, out)


def row(*values: float) -> verify.Logits:
    return np.array([values])


DIFFERENCES: dict[str, tuple[verify.Logits, verify.Logits, verify.Tolerance, str]] = {
    "equal up to a constant": (row(1, 2, 3), row(11, 12, 13), verify.EXACT, ""),
    "a tie that falls the other way": (
        row(1, 1 + 1e-6, 0),
        row(1 + 1e-6, 1, 0),
        verify.EXACT,
        "",
    ),
    "more than float32 explains": (row(1, 2, 3), row(1, 2, 3.001), verify.EXACT, "difference"),
    "a slight preference lost in eight bits": (
        row(1, 1.1, 0),
        row(1.1, 1, 0),
        verify.QUANTIZED,
        "",
    ),
    "a clear one lost": (row(1, 2, 0), row(2, 1, 0), verify.QUANTIZED, "agreement"),
    "spread where it was certain": (row(9, 0, 0), row(1, 0, 0), verify.QUANTIZED, "divergence"),
}


@pytest.mark.parametrize("case", DIFFERENCES)
def test_what_is_close_enough(case: str) -> None:
    """Constants and ties do not count; what does is named."""
    first, second, tolerance, says = DIFFERENCES[case]
    if not says:
        verify.require("step", verify.compare(first, second), tolerance)
        return
    with pytest.raises(ConversionError, match=f"step: not the same model: .*{says}"):
        verify.require("step", verify.compare(first, second), tolerance)


def test_what_cannot_be_compared() -> None:
    """Other shapes, and what is not finite."""
    with pytest.raises(ConversionError, match="shape"):
        verify.compare(row(1, 2), row(1, 2, 3))
    with pytest.raises(ConversionError, match="finite"):
        verify.compare(row(1, 2), row(1, np.nan))
