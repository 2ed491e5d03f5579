"""CodeGen as GPT-J: the same logits in numpy and in transformers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codegen_lsp.converters import verify
from codegen_lsp.converters.checkpoint import open_checkpoint, read_config
from codegen_lsp.converters.reference import forward
from codegen_lsp.converters.shape import Shape
from codegen_lsp.converters.to_gptj import to_gptj, write_gptj
from codegen_lsp.errors import ConversionError
from tests.support.greedy import prompts
from tests.support.tiny import SHAPE, random_weights, write_tokenizer

TOKENS = prompts(3, 280, 40)

SHAPES = {
    "heads of 8, half rotated": SHAPE,
    "heads of 80, 64 rotated, as in 2B": replace(SHAPE, n_embd=160, n_head=2, rotary_dim=64),
}


def write(tmp_path: Path, shape: Shape) -> tuple[Path, verify.Logits]:
    """The folder, and the logits that are expected of it."""
    plain = random_weights(shape, scale=0.2)
    out = write_gptj(plain, shape, write_tokenizer(tmp_path / "t.json"), tmp_path / "out")
    return out, np.concatenate([forward(plain, shape, tokens) for tokens in TOKENS])


def check(found: verify.Logits | None, expected: verify.Logits) -> None:
    """Every logit is the reference's to 1e-4, and the same token is likeliest everywhere."""
    assert found is not None
    assert np.abs(found - expected).max() <= 1e-4
    assert (found.argmax(axis=-1) == expected.argmax(axis=-1)).all()


@pytest.mark.parametrize("case", SHAPES)
def test_logits(tmp_path: Path, case: str) -> None:
    """GPT-J's own forward pass, in numpy, computes what CodeGen's does."""
    out, expected = write(tmp_path, SHAPES[case])
    check(verify.reference_logits(out, TOKENS), expected)


@pytest.mark.parametrize("case", SHAPES)
def test_logits_in_transformers(tmp_path: Path, case: str) -> None:
    """``GPTJForCausalLM`` loads the folder and agrees."""
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    out, expected = write(tmp_path, SHAPES[case])
    check(verify.transformers_logits(out, TOKENS), expected)


def test_names_and_configuration(tmp_path: Path) -> None:
    """Attention is taken apart without biases; the end of a text is the tokenizer's."""
    out, _ = write(tmp_path, replace(SHAPE, eos_token_id=2))
    config = read_config(out)
    assert (config["model_type"], config["rotary_dim"], config["eos_token_id"]) == ("gptj", 4, 0)
    assert config["tie_word_embeddings"] is False
    names = set(open_checkpoint(out))
    assert {f"transformer.h.1.attn.{part}_proj.weight" for part in ("q", "k", "v", "out")} <= names
    assert not any("attn" in name and name.endswith("bias") for name in names)


def test_float16(tmp_path: Path) -> None:
    """Every tensor is stored as float16."""
    tokenizer = write_tokenizer(tmp_path / "t.json")
    out = write_gptj(random_weights(SHAPE), SHAPE, tokenizer, tmp_path / "out", dtype="float16")
    tensors = open_checkpoint(out)
    assert {tensors[name].dtype for name in tensors} == {np.dtype(np.float16)}


def test_a_missing_weight_is_named() -> None:
    """At the latest when it is asked for."""
    plain = random_weights(SHAPE)
    del plain["h.0.qkv"]
    _, tensors = to_gptj(plain, SHAPE)
    with pytest.raises(ConversionError, match=r"h\.0\.qkv"):
        tensors["transformer.h.0.attn.k_proj.weight"]
