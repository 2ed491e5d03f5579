"""CodeGen as Phi: the same logits in numpy and in transformers, the same text."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.converters import to_phi, verify
from codegen_lsp.converters.checkpoint import open_checkpoint, read_config
from codegen_lsp.converters.reference import forward
from codegen_lsp.converters.shape import Shape
from codegen_lsp.converters.tensors import Tensors
from codegen_lsp.converters.to_phi import write_phi
from codegen_lsp.errors import ConversionError
from tests.support.greedy import ct2_greedy, prompts
from tests.support.tiny import SHAPE, Tiny, Weights, make_tiny, random_weights, write_tokenizer

TOKENS = prompts(3, 280, 40)

SHAPES = {
    "heads of 8, half rotated": SHAPE,
    "heads of 80, 64 rotated, as in 2B": replace(SHAPE, n_embd=160, n_head=2, rotary_dim=64),
    "all rotated": replace(SHAPE, rotary_dim=8, n_layer=3, vocab_size=512),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("phi"))


@pytest.fixture(scope="module")
def phi(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phi") / "out"
    write_phi(tiny.plain, SHAPE, tiny.hf / "tokenizer.json", out)
    return out


def check(found: verify.Logits | None, plain: Tensors, shape: Shape) -> None:
    """Every logit is the reference's to 1e-4, and the same token is likeliest everywhere."""
    assert found is not None
    expected = np.concatenate([forward(plain, shape, tokens) for tokens in TOKENS])
    assert np.abs(found - expected).max() <= 1e-4
    assert (found.argmax(axis=-1) == expected.argmax(axis=-1)).all()


@pytest.mark.parametrize("case", SHAPES)
def test_logits(tmp_path: Path, case: str) -> None:
    """Phi's own forward pass, in numpy, computes what CodeGen's does."""
    shape = SHAPES[case]
    plain = random_weights(shape, scale=0.2)
    out = write_phi(plain, shape, write_tokenizer(tmp_path / "t.json"), tmp_path / "out")
    check(verify.reference_logits(out, TOKENS), plain, shape)


@pytest.mark.parametrize("case", SHAPES)
def test_logits_in_transformers(tmp_path: Path, case: str) -> None:
    """``PhiForCausalLM`` loads the folder and agrees."""
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    shape = SHAPES[case]
    plain = random_weights(shape, scale=0.2)
    out = write_phi(plain, shape, write_tokenizer(tmp_path / "t.json"), tmp_path / "out")
    check(verify.transformers_logits(out, TOKENS), plain, shape)


def test_greedy_text_is_that_of_ctranslate2(tiny: Tiny, phi: Path) -> None:
    """Twenty prompts are answered alike by transformers' Phi and CTranslate2's CodeGen."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    model = transformers.PhiForCausalLM.from_pretrained(phi)
    given = prompts(20, 280)
    ids = torch.tensor(given)
    with torch.inference_mode():
        whole = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=16, do_sample=False
        )
    found = [upto(row[24:], SHAPE.eos_token_id) for row in whole.tolist()]
    assert found == ct2_greedy(tiny.ct2, given, 16)


def upto(row: list[int], end: int) -> list[int]:
    return row[: row.index(end)] if end in row else row


def test_float16(tiny: Tiny, tmp_path: Path) -> None:
    """Every tensor is stored as float16 and the configuration says so."""
    out = write_phi(
        tiny.plain, SHAPE, tiny.hf / "tokenizer.json", tmp_path / "out", dtype="float16"
    )
    tensors = open_checkpoint(out)
    assert {tensors[name].dtype for name in tensors} == {np.dtype(np.float16)}
    assert read_config(out)["torch_dtype"] == "float16"
    halves = {name: np.asarray(w, np.float16) for name, w in tiny.plain.items()}
    check(verify.reference_logits(out, TOKENS), halves, SHAPE)


def test_the_end_of_text_is_the_tokenizers(tiny: Tiny, tmp_path: Path) -> None:
    """Published configurations claim ids 1 and 2; the token of that name decides."""
    shape = replace(SHAPE, eos_token_id=2)
    out = write_phi(tiny.plain, shape, tiny.hf / "tokenizer.json", tmp_path / "out")
    config = read_config(out)
    assert (config["bos_token_id"], config["eos_token_id"]) == (0, 0)


def test_the_configuration(phi: Path) -> None:
    """What CodeGen and Phi say in different words."""
    config = read_config(phi)
    expected: dict[str, Any] = {
        "model_type": "phi",
        "partial_rotary_factor": 0.5,
        "hidden_act": "gelu_new",
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": 64,
        "tie_word_embeddings": False,
        "qk_layernorm": False,
    }
    assert {name: config[name] for name in expected} == expected
    assert json.loads((phi / "tokenizer_config.json").read_text())["model_max_length"] == 64


@given(
    st.integers(1, 128)
    .map(lambda half: 2 * half)
    .flatmap(lambda r: st.tuples(st.just(r), st.integers(r, 256)))
)
def test_the_rotated_part_survives_as_a_share(sizes: tuple[int, int]) -> None:
    """Readers truncate head size times share; that gives the rotated dimensions back."""
    rotary, head = sizes
    shape = Shape(64, 64, 2 * head, 1, 2, rotary)
    config, _ = to_phi.to_phi({}, shape)
    assert int(head * config["partial_rotary_factor"]) == rotary


def test_tensors_are_made_when_asked_for(tiny: Tiny) -> None:
    """Nothing is read for a list of names; each access makes a new array."""

    class Counting(dict[str, Any]):
        read = 0

        def __getitem__(self, name: str) -> Any:
            self.read += 1
            return super().__getitem__(name)

    counting = Counting(tiny.plain)
    _, tensors = to_phi.to_phi(counting, SHAPE)
    assert len(list(tensors)) == 5 + 14 * SHAPE.n_layer
    assert counting.read == 0
    name = "model.layers.1.self_attn.q_proj.weight"
    assert tensors[name] is not tensors[name]
    assert counting.read == 2


def without(name: str) -> Callable[[Weights], Weights]:
    return lambda plain: {key: weight for key, weight in plain.items() if key != name}


BAD: dict[str, tuple[Callable[[Weights], Weights], dict[str, Any], str]] = {
    "a weight is missing": (without("h.1.out"), {}, r"h\.1\.out"),
    "another type": (dict, {"dtype": "float8"}, "float8.*float32, float16"),
    "too large for float16": (
        lambda plain: plain | {"ln_f.bias": np.full(32, 1e6, np.float32)},
        {"dtype": "float16"},
        "does not fit float16; store float32",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_written_is_named(tiny: Tiny, tmp_path: Path, case: str) -> None:
    """One line, and nothing in the folder."""
    damage, options, says = BAD[case]
    out = tmp_path / "out"
    with pytest.raises(ConversionError, match=says) as caught:
        write_phi(damage(tiny.plain), SHAPE, tiny.hf / "tokenizer.json", out, **options)
    assert "\n" not in str(caught.value)
    assert not out.exists() or not list(out.iterdir())


def test_a_tokenizer_that_does_not_fit(tiny: Tiny, tmp_path: Path) -> None:
    """More tokens than rows, or no tokenizer, is found before anything is written."""
    small = replace(SHAPE, vocab_size=100)
    for tokenizer, says in (
        (tiny.hf / "tokenizer.json", "vocabulary of 100"),
        (tmp_path / "none.json", "cannot read the tokenizer"),
    ):
        with pytest.raises(ConversionError, match=says):
            write_phi(tiny.plain, small, tokenizer, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_heads_that_do_not_fit() -> None:
    """A width that is no number of heads is refused."""
    with pytest.raises(ConversionError, match="32 is not 5 heads"):
        to_phi.to_phi({}, replace(SHAPE, n_head=5))
