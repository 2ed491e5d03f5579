"""CTranslate2's folders read back: what went in comes out."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer

from codegen_lsp.converters import qkv
from codegen_lsp.converters.codegen import check_parts, plausible_parts
from codegen_lsp.converters.ct2_file import QUANTIZATIONS
from codegen_lsp.converters.from_ct2 import read_ct2, stored_type
from codegen_lsp.converters.reference import forward
from codegen_lsp.converters.tensors import Tensors
from codegen_lsp.converters.to_ct2 import convert
from codegen_lsp.converters.to_hf import to_hf_folder, to_hf_tensors
from codegen_lsp.errors import ConversionError
from codegen_lsp.models.manifest import MANIFEST, Manifest
from codegen_lsp.models.store import bundled_folder
from tests.support.tiny import SHAPE, Tiny, make_tiny, random_weights

CODE = "def add(first, second):\n    return first + second\n\n\nclass Point:\n    def __init__(self"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("from_ct2"))


def stored(tiny: Tiny, folder: Path, quantization: str) -> Path:
    convert(tiny.hf, folder, Manifest(name="m", context_length=2), quantization)
    return folder


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_there_and_back(tiny: Tiny, tmp_path: Path, quantization: str) -> None:
    """Shape and names are the same; weights are as near as the stored type allows."""
    plain, shape = read_ct2(stored(tiny, tmp_path / "m", quantization))
    assert shape == SHAPE
    assert plain.keys() == tiny.plain.keys()
    for name, weight in tiny.plain.items():
        expected = weight.astype(np.float32)
        allowed = {"float32": 0.0, "float16": 2.0**-11, "bfloat16": 2.0**-8}.get(quantization, 0.02)
        assert plain[name].shape == expected.shape
        assert np.abs(plain[name] - expected).max() <= allowed * np.abs(expected).max(), name


@pytest.mark.parametrize(
    ("quantization", "kind"),
    [
        ("int8", "int8"),
        ("int8_float32", "int8"),
        ("int8_float16", "int8_float16"),
        ("int8_bfloat16", "int8_bfloat16"),
        ("float16", "float16"),
        ("bfloat16", "bfloat16"),
        ("float32", "float32"),
    ],
)
def test_the_stored_type_is_told(tiny: Tiny, tmp_path: Path, quantization: str, kind: str) -> None:
    """As the file says, whatever a manifest may claim."""
    assert stored_type(stored(tiny, tmp_path / "m", quantization)) == kind


def test_a_folder_of_others(tiny: Tiny, tmp_path: Path) -> None:
    """Without a manifest the context is the published one; old vocabularies are lines of text."""
    shutil.copytree(tiny.ct2, tmp_path / "m")
    (tmp_path / "m" / MANIFEST).unlink()
    words = json.loads((tmp_path / "m" / "vocabulary.json").read_text())
    (tmp_path / "m" / "vocabulary.json").unlink()
    (tmp_path / "m" / "vocabulary.txt").write_text("\n".join(words), encoding="utf-8")
    assert read_ct2(tmp_path / "m")[1] == replace(SHAPE, n_positions=2048)


def test_the_bundled_model_computes_the_same() -> None:
    """Read back, it gives CTranslate2's own logits."""
    ctranslate2 = pytest.importorskip("ctranslate2")
    plain, shape = read_ct2(bundled_folder())
    tokens = code_tokens()
    found = forward(plain, shape, tokens)
    model = ctranslate2.Generator(str(bundled_folder()), device="cpu", compute_type="float32")
    expected = np.array(model.forward_batch([tokens]))[0]
    assert np.abs(found - expected).max() < 1e-4
    assert (found.argmax(axis=-1) == expected.argmax(axis=-1)).all()


def test_the_bundled_model_survives_the_way_to_hugging_face(tmp_path: Path) -> None:
    """Exported and converted anew, it predicts the same."""
    plain, shape = read_ct2(bundled_folder())
    hf = to_hf_folder(plain, shape, bundled_folder() / "tokenizer.json", tmp_path / "hf")
    convert(hf, tmp_path / "again", Manifest(name="m", context_length=2), "int8")
    again, same_shape = read_ct2(tmp_path / "again")
    assert same_shape == shape
    tokens = code_tokens()
    first, second = forward(plain, shape, tokens), forward(again, shape, tokens)
    assert np.abs(first - second).max() < 1e-2
    size = (bundled_folder() / "model.bin").stat().st_size
    assert (tmp_path / "again" / "model.bin").stat().st_size == size, "the tied head is kept once"


def code_tokens() -> list[int]:
    tokenizer = Tokenizer.from_file(str(bundled_folder() / "tokenizer.json"))
    ids: list[int] = tokenizer.encode(CODE, add_special_tokens=False).ids
    return ids


def in_parts(plain: Tensors, shape: Any, parts: int) -> dict[str, NDArray[Any]]:
    """Hugging Face's tensors with the attention weights fused in *parts*."""
    tensors = dict(to_hf_tensors(plain, shape))
    for layer in range(shape.n_layer):
        rows = [part.T for part in plain[f"h.{layer}.qkv"]]
        fused = qkv.fuse(rows[0], rows[1], rows[2], parts)
        tensors[f"transformer.h.{layer}.attn.qkv_proj.weight"] = fused
    return tensors


@pytest.mark.parametrize("parts", [4, 8])
def test_a_trained_model_tells_its_parts(parts: int) -> None:
    """Read in the wrong number of parts it predicts code far worse, and the wrong one is refused.

    Every layout would agree on the same nonsense, so that no other comparison can notice.
    """
    plain, shape = read_ct2(bundled_folder())
    tensors, config = in_parts(plain, shape, parts), shape.to_config()
    assert plausible_parts(tensors, shape, code_tokens()) == parts
    if parts == shape.parts:
        check_parts(tensors, config, code_tokens())
        return
    with pytest.raises(ConversionError, match=r"are in 8 parts, not 4; .*head_dim"):
        check_parts(tensors, config, code_tokens())


def test_random_weights_tell_nothing() -> None:
    """Where no reading is better than chance, nothing is refused."""
    tensors = dict(to_hf_tensors(random_weights(SHAPE), SHAPE))
    tokens = list(range(40))
    assert plausible_parts(tensors, SHAPE, tokens) is None
    check_parts(tensors, SHAPE.to_config(), tokens)


def cut(size: int) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        content = (folder / "model.bin").read_bytes()
        (folder / "model.bin").write_bytes(content[:size])

    return change


def patched(before: bytes, after: bytes) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        content = (folder / "model.bin").read_bytes()
        assert before in content
        (folder / "model.bin").write_bytes(content.replace(before, after, 1))

    return change


def scalar(name: str, form: str, before: float, after: float) -> Callable[[Path], object]:
    """Change a scalar variable's value, which follows its name, rank, type and length."""
    code = {"b": b"\x01", "f": b"\0", "i": b"\x03", "h": b"\x02"}[form]
    head = name.encode() + b"\0\0" + code + struct.pack("<I", struct.calcsize(form))
    return patched(head + struct.pack("<" + form, before), head + struct.pack("<" + form, after))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no file": (lambda folder: (folder / "model.bin").unlink(), "No such file"),
    "an empty file": (cut(0), "damaged"),
    "cut off in the header": (cut(20), "damaged"),
    "cut off in a variable": (cut(100_000), "damaged"),
    "cut off at the end": (cut(-1), "damaged"),
    "another version": (patched(b"\6\0\0\0", b"\5\0\0\0"), "version 5"),
    "another kind of model": (
        patched(b"TransformerDecoderSpec", b"TransformerEncoderSpec"),
        "no CodeGen: TransformerEncoderSpec",
    ),
    "another activation": (scalar("decoder/activation", "b", 1, 3), "no CodeGen: .*activation"),
    "interleaved rotation": (
        scalar("decoder/layer_0/self_attention/rotary_interleave", "b", 0, 1),
        "rotary_interleave",
    ),
    "another base of rotation": (
        scalar("decoder/layer_0/self_attention/rotary_base", "f", 10000, 500),
        "rotary_base",
    ),
    "heads that do not fit": (scalar("decoder/num_heads", "h", 4, 5), "5 heads"),
    "a missing variable": (
        patched(b"decoder/layer_1/ffn/linear_0/bias", b"decoder/layer_1/ffn/linear_0/bibs"),
        "no variable 'decoder/layer_1/ffn/linear_0/bias'",
    ),
    "no configuration": (lambda folder: (folder / "config.json").unlink(), "config.json"),
    "no vocabulary": (lambda folder: (folder / "vocabulary.json").unlink(), "vocabulary"),
    "a vocabulary without the end": (
        lambda folder: (folder / "vocabulary.json").write_text('["a"]'),
        "lacks '<|endoftext|>'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_codegen(tiny: Tiny, tmp_path: Path, case: str) -> None:
    """Damaged, or another architecture: one line each."""
    damage, says = BAD[case]
    shutil.copytree(tiny.ct2, tmp_path / "m")
    damage(tmp_path / "m")
    with pytest.raises(ConversionError, match=says) as caught:
        read_ct2(tmp_path / "m")
    assert "\n" not in str(caught.value)
