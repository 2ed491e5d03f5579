"""Llama's architecture (CodeGen2.5): reference and CTranslate2 against transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codegen_lsp.converters.llama import ARCHITECTURE
from codegen_lsp.errors import ConversionError
from tests.support.architectures import (
    Checkpoint,
    check_logits,
    check_reference,
    check_tensors,
    decoder_logits,
    make_checkpoint,
    write_ct2,
)

TINY: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 88,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
"""Like CodeGen2.5-7B, but small."""

TOKENS = [int(i) for i in np.random.default_rng(1).integers(0, 96, 40)]

VARIANTS: dict[str, dict[str, Any]] = {
    "codegen2.5": {},
    "fewer keys": {"num_key_value_heads": 2},
    "one key": {"num_key_value_heads": 1},
    "tied head": {"tie_word_embeddings": True},
    "another base": {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
    "another epsilon": {"rms_norm_eps": 0.1},
}


@pytest.fixture(scope="module", params=VARIANTS)
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Checkpoint:
    folder = tmp_path_factory.mktemp("llama")
    return make_checkpoint("LlamaForCausalLM", folder, **(TINY | VARIANTS[request.param]))


def test_reference(checkpoint: Checkpoint) -> None:
    """numpy computes what transformers does."""
    check_reference(ARCHITECTURE, checkpoint, TOKENS, checkpoint.logits(TOKENS))


def test_ctranslate2(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """CTranslate2 computes what transformers does."""
    folder = write_ct2(ARCHITECTURE, checkpoint.tensors, checkpoint.config, tmp_path / "ct2")
    check_logits(decoder_logits(folder, TOKENS), checkpoint.logits(TOKENS))


PUBLISHED: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "max_position_embeddings": 2048,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-06,
    "tie_word_embeddings": False,
    "vocab_size": 51200,
}
"""The fields of CodeGen2.5-7B: no count of keys, no base of the rotation."""


def test_facts_of_the_published_configuration() -> None:
    """What the engine and the catalog must know."""
    facts = ARCHITECTURE.facts(PUBLISHED)
    assert (facts.context_length, facts.vocab_size) == (2048, 51200)


@pytest.mark.parametrize("old", [{"rope_theta": 500000.0}, {"rope_scaling": None}])
def test_older_fields(tmp_path: Path, old: dict[str, Any]) -> None:
    """The base of the rotation is found where older configurations keep it; 10000 is assumed."""
    base = old.get("rope_theta", 10000.0)
    rope = {"rope_type": "default", "rope_theta": base}
    made = make_checkpoint("LlamaForCausalLM", tmp_path, **TINY, rope_parameters=rope)
    config = {k: v for k, v in made.config.items() if k not in ("rope_parameters", "head_dim")}
    del config["num_key_value_heads"]
    found = ARCHITECTURE.reference(made.tensors, config | old, TOKENS)
    check_logits(np.asarray(found), made.logits(TOKENS))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "mistral"}, "'mistral'"),
        ({"model_type": None}, "None"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"attention_bias": True}, "attention_bias"),
        ({"hidden_size": None}, "lacks 'hidden_size'"),
        ({"hidden_size": "wide"}, "'wide'"),
        ({"num_attention_heads": 0}, "0 heads"),
        ({"num_attention_heads": 31}, "31 heads"),
        ({"num_key_value_heads": 5}, "5 keys"),
        ({"head_dim": 256}, "head_dim"),
        ({"rope_scaling": {"type": "linear", "factor": 2}}, "'linear'"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "'yarn'"),
        ({"rope_scaling": 5}, "5"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
    ],
)
def test_configurations_that_are_refused(changes: dict[str, Any], says: str) -> None:
    """One line that names the field."""
    with pytest.raises(ConversionError, match=says) as caught:
        ARCHITECTURE.facts(PUBLISHED | changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.layers.1.mlp.up_proj.weight", "lm_head.weight"])
def test_a_missing_tensor(tmp_path: Path, name: str) -> None:
    """It is named before anything is read."""
    made = make_checkpoint("LlamaForCausalLM", tmp_path, **TINY)
    del made.tensors[name]
    check_tensors(ARCHITECTURE, made, f"no tensor '{name}'")


def test_weights_of_another_size(tmp_path: Path) -> None:
    """A configuration that belongs to other weights is noticed."""
    made = make_checkpoint("LlamaForCausalLM", tmp_path, **TINY)
    made.config["intermediate_size"] = 64
    check_tensors(ARCHITECTURE, made, "shape (88, 32), config.json says (64, 32)")
