"""CodeGen as GGUF, in a real llama.cpp: the same text and the same tokens, or a clear line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from codegen_lsp.converters import llama_cpp, rounding, to_gguf
from codegen_lsp.converters.difference import compare
from codegen_lsp.converters.from_ct2 import read_ct2
from codegen_lsp.converters.gguf_vocabulary import is_exact
from codegen_lsp.converters.reference import forward
from codegen_lsp.converters.to_ct2 import convert
from codegen_lsp.converters.to_gguf import TYPES, write_gguf
from codegen_lsp.converters.to_hf import from_hf_tensors, to_hf_folder, to_hf_tensors
from codegen_lsp.errors import ConversionError
from codegen_lsp.models.manifest import Manifest
from tests.support.data import test_data
from tests.support.greedy import check_same_text, ct2_greedy, prompts
from tests.support.tiny import SHAPE, Tiny, make_tiny, random_weights

gguf = pytest.importorskip("gguf", reason="gguf is not installed")

BUNDLED = Path(__file__).resolve().parents[2] / "codegen_lsp" / "models" / "bundled"
PROMPTS = prompts(20, 280)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("gguf"))


@pytest.fixture(scope="module")
def files(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny model in every type."""
    folder = tmp_path_factory.mktemp("files")
    tokenizer = tiny.hf / "tokenizer.json"
    return {
        kind: write_gguf(tiny.plain, SHAPE, tokenizer, folder / f"{kind}.gguf", kind)
        for kind in TYPES
    }


@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_greedy_text_is_that_of_ctranslate2(tiny: Tiny, files: dict[str, Path], kind: str) -> None:
    """Twenty prompts are answered as CTranslate2 in float32 answers them."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    found = llama_cpp.greedy(files[kind], PROMPTS, 16)
    expected = ct2_greedy(tiny.ct2, PROMPTS, 16)
    assert sum(map(len, expected)) > 200
    check_same_text(found, expected, PROMPTS, (tiny.plain, SHAPE), ties=0.02)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model, as Hugging Face, CTranslate2 float32 and GGUF f32 and f16."""
    folder = tmp_path_factory.mktemp("bundled")
    plain, shape = read_ct2(BUNDLED)
    tokenizer = BUNDLED / "tokenizer.json"
    hf = to_hf_folder(plain, shape, tokenizer, folder / "hf")
    convert(hf, folder / "ct2", Manifest(name="m", context_length=2), "float32")
    for kind in ("f32", "f16"):
        write_gguf(plain, shape, tokenizer, folder / f"{kind}.gguf", kind)
    return folder


@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_the_bundled_model_answers_as_in_ctranslate2(bundled: Path, kind: str) -> None:
    """A trained model, twenty pieces of real code: the same text from both engines."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    encoder = Tokenizer.from_file(str(BUNDLED / "tokenizer.json"))
    source = (BUNDLED.parents[1] / "completer.py").read_text(encoding="utf-8")
    ids = encoder.encode(source).ids
    given = [ids[i * 40 : i * 40 + 40] for i in range(20)]
    found = llama_cpp.greedy(bundled / f"{kind}.gguf", given, 24)
    expected = ct2_greedy(bundled / "ct2", given, 24)
    check_same_text(found, expected, given, read_ct2(BUNDLED), ties=0.02)


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_computes_its_rounded_weights(
    tiny: Tiny, files: dict[str, Path], kind: str, record_property: Any
) -> None:
    """llama.cpp loads it; against the weights rounded alike little is left, and what the
    rounding costs is reported."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    with llama_cpp.running(files[kind], 64) as llama:
        found = np.stack([llama_cpp.log_probs(llama, prompt, 320) for prompt in PROMPTS])
    stored = rounding.as_gguf(to_hf_tensors(tiny.plain, SHAPE), kind)
    rounded = from_hf_tensors(stored, SHAPE)
    last = [forward(rounded, SHAPE, prompt)[-1] for prompt in PROMPTS]
    assert compare(np.stack(last), found).divergence < 0.002
    first = [forward(tiny.plain, SHAPE, prompt)[-1] for prompt in PROMPTS]
    cost = compare(np.stack(first), found)
    record_property("agreement", cost.agreement)
    record_property("divergence", cost.divergence)
    assert cost.divergence < {"f32": 1e-5, "f16": 1e-5, "bf16": 1e-3, "q8_0": 0.01}.get(kind, 0.2)


@pytest.mark.parametrize("kind", TYPES)
def test_sizes_and_types(files: dict[str, Path], kind: str) -> None:
    """Vectors stay float32, the head of a quantized file is q8_0, all else is what was asked."""
    reader = gguf.GGUFReader(files[kind])
    types = {tensor.name: tensor.tensor_type.name.lower() for tensor in reader.tensors}
    assert len(types) == 5 + 10 * SHAPE.n_layer
    plain = kind in ("f32", "f16", "bf16")
    for name, found in types.items():
        vector = name.endswith("bias") or "norm" in name
        head = name == "output.weight" and not plain
        assert found == ("f32" if vector else "q8_0" if head else kind), name


def test_metadata(tiny: Tiny, tmp_path: Path) -> None:
    """What llama.cpp must know of the network and of the tokens."""
    out = write_gguf(
        tiny.plain,
        SHAPE,
        tiny.hf / "tokenizer.json",
        tmp_path / "m.gguf",
        "Q8_0",
        name="tiny",
        licence="CC0-1.0",
    )
    reader = gguf.GGUFReader(out)
    expected = {
        "general.architecture": "phi2",
        "general.name": "tiny",
        "general.license": "CC0-1.0",
        "general.file_type": 7,
        "phi2.context_length": 64,
        "phi2.embedding_length": 32,
        "phi2.feed_forward_length": 128,
        "phi2.block_count": 2,
        "phi2.attention.head_count": 4,
        "phi2.attention.head_count_kv": 4,
        "phi2.rope.dimension_count": 4,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
    }
    assert {name: reader.get_field(name).contents() for name in expected} == expected
    kinds = reader.get_field("tokenizer.ggml.token_type").contents()
    assert (kinds[0], kinds[1], kinds[279], kinds[280], len(kinds)) == (3, 1, 1, 5, 320)


@pytest.fixture(scope="module")
def codegen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[llama_cpp.LlamaCpp]:
    """llama.cpp with CodeGen's real tokenizer and tiny weights."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    shape = replace(SHAPE, vocab_size=51200, n_layer=1)
    tokenizer = test_data("codegen_tokenizer") / "tokenizer.json"
    out = tmp_path_factory.mktemp("real") / "m.gguf"
    write_gguf(random_weights(shape), shape, tokenizer, out, "q8_0")
    with llama_cpp.running(out, 64) as llama:
        yield llama


@pytest.fixture(scope="module")
def encoder() -> Tokenizer:
    return Tokenizer.from_file(str(test_data("codegen_tokenizer") / "tokenizer.json"))


def test_llama_cpp_cuts_codegens_text_into_the_expected_tokens(
    codegen: llama_cpp.LlamaCpp,
) -> None:
    """The published vectors, there and back: runs of spaces and tabs are one token each."""
    cases = json.loads((test_data("codegen_tokenizer") / "test_vectors.json").read_text())["cases"]
    assert [codegen.tokenize(case["text"]) for case in cases] == [case["ids"] for case in cases]
    assert [codegen.detokenize(case["ids"]) for case in cases] == [c["text"] for c in cases]


@given(text=st.text(st.sampled_from(" \t\n\r abAB1'_.(日кé😀\u00a0\u3000\u200b½٣"), max_size=20))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_llama_cpp_cuts_any_text_as_tokenizers_does(
    codegen: llama_cpp.LlamaCpp, encoder: Tokenizer, text: str
) -> None:
    """White space of every kind, scripts, digits and symbols."""
    assert codegen.tokenize(text) == encoder.encode(text, add_special_tokens=False).ids


def test_code_is_cut_alike(codegen: llama_cpp.LlamaCpp, encoder: Tokenizer) -> None:
    """A whole file."""
    text = Path(__file__).read_text(encoding="utf-8")
    assert codegen.tokenize(text) == encoder.encode(text, add_special_tokens=False).ids


def test_whether_text_is_cut_alike_is_told() -> None:
    """GPT-2's rules are llama.cpp's, too; the bundled model's own are not."""
    assert is_exact(test_data("codegen_tokenizer") / "tokenizer.json")
    assert not is_exact(BUNDLED / "tokenizer.json")


OWN_RULES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a blank before the text": lambda t: t["pre_tokenizer"].update(add_prefix_space=True),
    "a normal form": lambda t: t.update(normalizer={"type": "NFC"}),
    "whole words first": lambda t: t["model"].update(ignore_merges=True),
    "a token that takes the blank before it": lambda t: t["added_tokens"][0].update(lstrip=True),
}
"""What a tokenizer of GPT-2's cut may do that llama.cpp does not."""


@pytest.mark.parametrize("rule", OWN_RULES)
def test_rules_that_llama_cpp_lacks_are_told(tmp_path: Path, rule: str) -> None:
    """Each alone makes the tokens of some text differ."""
    path = test_data("codegen_tokenizer") / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    OWN_RULES[rule](content)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert not is_exact(tmp_path / "tokenizer.json")


def test_k_quants_are_pointed_to_llama_quantize(tiny: Tiny, tmp_path: Path) -> None:
    """What cannot be written says what can, and who makes the rest."""
    tokenizer, out = tiny.hf / "tokenizer.json", tmp_path / "m.gguf"
    with pytest.raises(ConversionError, match=r"q4_k_m.*q8_0.*llama-quantize.*f16"):
        write_gguf(tiny.plain, SHAPE, tokenizer, out, "q4_k_m")
    with pytest.raises(ConversionError, match="use one of f32, f16") as caught:
        write_gguf(tiny.plain, SHAPE, tokenizer, out, "int8")
    assert "llama-quantize" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_rows_that_are_no_blocks_stay_float16(tmp_path: Path, tiny: Tiny) -> None:
    """A width that 32 does not divide is no reason to fail."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    shape = replace(SHAPE, n_embd=48, n_head=3, rotary_dim=8)
    plain = random_weights(shape)
    out = write_gguf(plain, shape, tiny.hf / "tokenizer.json", tmp_path / "m.gguf", "q4_0")
    types = {t.name: t.tensor_type.name for t in gguf.GGUFReader(out).tensors}
    assert (types["output.weight"], types["blk.0.ffn_down.weight"]) == ("F16", "Q4_0")
    assert len(llama_cpp.top_log_probs(out, [1, 2, 3], 10)) == 10


def lacking(plain: dict[str, Any]) -> dict[str, Any]:
    return {name: weight for name, weight in plain.items() if name != "h.1.fc_out.kernel"}


DAMAGED: dict[str, tuple[Any, str]] = {
    "a weight is missing": (lacking, r"h\.1\.fc_out"),
    "a weight of another shape": (
        lambda plain: plain | {"h.1.out": np.zeros((32, 31), np.float32)},
        r"blk\.1\.attn_output\.weight is \(31, 32\)",
    ),
    "not finite": (
        lambda plain: plain | {"ln_f.bias": np.full(32, np.nan, np.float32)},
        r"output_norm\.bias does not fit",
    ),
    "too large for float16": (
        lambda plain: plain | {"h.0.out": np.full((32, 32), 1e6, np.float32)},
        r"attn_output\.weight does not fit f16; use bf16 or f32",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_what_cannot_be_written_leaves_nothing(tiny: Tiny, tmp_path: Path, case: str) -> None:
    """The weight is named, an older file is kept, and no half of a new one lies there."""
    damage, says = DAMAGED[case]
    out = tmp_path / "m.gguf"
    out.write_bytes(b"older")
    with pytest.raises(ConversionError, match=says) as caught:
        write_gguf(damage(tiny.plain), SHAPE, tiny.hf / "tokenizer.json", out)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]
    assert out.read_bytes() == b"older"


def test_progress_counts_tensors(tiny: Tiny, tmp_path: Path) -> None:
    """From none to all."""
    told: list[tuple[int, int]] = []
    tokenizer = tiny.hf / "tokenizer.json"
    write_gguf(
        tiny.plain, SHAPE, tokenizer, tmp_path / "m.gguf", progress=lambda *at: told.append(at)
    )
    assert told == [(done, 25) for done in range(26)]


def test_without_the_package(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says what to install."""
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ConversionError, match=r"pip install 'codegen-lsp\[gguf\]'"):
        write_gguf(tiny.plain, SHAPE, tiny.hf / "tokenizer.json", tmp_path / "m.gguf")
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ConversionError, match=r"pip install 'codegen-lsp\[llama\]'"):
        llama_cpp.greedy(tmp_path / "m.gguf", [[1]], 1)


TOKENIZERS: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "cannot read"),
    "a list": ("[]", "cannot read"),
    "another kind": (
        json.dumps({"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0}}}),
        "cannot read|no byte-level BPE",
    ),
}


@pytest.mark.parametrize("case", TOKENIZERS)
def test_a_tokenizer_that_gguf_cannot_hold(tiny: Tiny, tmp_path: Path, case: str) -> None:
    """Named on one line."""
    content, says = TOKENIZERS[case]
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(ConversionError, match=says):
        write_gguf(tiny.plain, SHAPE, tmp_path / "t.json", tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()


def test_what_llama_cpp_refuses_is_one_line(
    files: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No file, no GGUF, a GGUF that was cut, a prompt that does not fit; llama.cpp is silent."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    (tmp_path / "text.gguf").write_text("no model")
    (tmp_path / "cut.gguf").write_bytes(files["f16"].read_bytes()[:50_000])
    for name, says in (
        ("none.gguf", "is no file"),
        ("text.gguf", "cannot load"),
        ("cut.gguf", "cannot load"),
    ):
        with pytest.raises(ConversionError, match=says) as caught:
            llama_cpp.greedy(tmp_path / name, [[1]], 1)
        assert "\n" not in str(caught.value)
    with (
        llama_cpp.running(files["f16"], 64) as llama,
        pytest.raises(ConversionError, match="context"),
    ):
        llama.greedy([1] * 3000, 1)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_an_end_of_text_is_not_part_of_the_answer(tiny: Tiny, tmp_path: Path) -> None:
    """The answer ends before it."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    bias = np.zeros(320, np.float32)
    bias[0] = 1e4
    plain = tiny.plain | {"lm_head.bias": bias}
    out = write_gguf(plain, SHAPE, tiny.hf / "tokenizer.json", tmp_path / "m.gguf", "f32")
    assert llama_cpp.greedy(out, [[1, 2, 3]], 8) == [[]]
    assert next(iter(llama_cpp.top_log_probs(out, [1, 2, 3], 3))) == 0


def test_the_table_of_types_is_the_packages(files: dict[str, Path]) -> None:
    """Every name is a file type of the package and a type of its matrices."""
    for kind, name in to_gguf.TYPES.items():
        assert gguf.LlamaFileType[name].name.endswith(kind.upper())
