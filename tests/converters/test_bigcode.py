"""SantaCoder's and StarCoder's architecture: reference and CTranslate2 against transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codegen_lsp.converters.bigcode import ARCHITECTURE
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
    "n_positions": 48,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "multi_query": True,
}
"""Like SantaCoder, but small."""

TOKENS = [int(i) for i in np.random.default_rng(1).integers(0, 96, 40)]

VARIANTS: dict[str, dict[str, Any]] = {
    "santacoder": {"activation_function": "gelu_pytorch_tanh"},
    "starcoder": {"activation_function": "gelu", "n_inner": 96},
    "head of its own": {"tie_word_embeddings": False},
    "another epsilon": {"layer_norm_epsilon": 0.1},
}


@pytest.fixture(scope="module", params=VARIANTS)
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Checkpoint:
    folder = tmp_path_factory.mktemp("bigcode")
    return make_checkpoint("GPTBigCodeForCausalLM", folder, **(TINY | VARIANTS[request.param]))


def test_reference(checkpoint: Checkpoint) -> None:
    """numpy computes what transformers does."""
    check_reference(ARCHITECTURE, checkpoint, TOKENS, checkpoint.logits(TOKENS))


def test_ctranslate2(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """CTranslate2 computes what transformers does."""
    folder = write_ct2(ARCHITECTURE, checkpoint.tensors, checkpoint.config, tmp_path / "ct2")
    check_logits(decoder_logits(folder, TOKENS), checkpoint.logits(TOKENS))


def test_a_repeated_head_is_ignored(tmp_path: Path) -> None:
    """Where embedding and head are one, a copy in the file changes nothing."""
    made = make_checkpoint("GPTBigCodeForCausalLM", tmp_path, **TINY)
    assert "lm_head.weight" not in made.tensors
    copied = Checkpoint(
        made.model,
        made.tensors | {"lm_head.weight": made.tensors["transformer.wte.weight"]},
        made.config,
    )
    check_reference(ARCHITECTURE, copied, TOKENS, made.logits(TOKENS))


def test_the_head_in_place_of_the_embedding(tmp_path: Path) -> None:
    """Files of safetensors keep a tied tensor under one name, and not every program the same."""
    made = make_checkpoint("GPTBigCodeForCausalLM", tmp_path, **TINY)
    made.tensors["lm_head.weight"] = made.tensors.pop("transformer.wte.weight")
    check_reference(ARCHITECTURE, made, TOKENS, made.logits(TOKENS))
    folder = write_ct2(ARCHITECTURE, made.tensors, made.config, tmp_path / "ct2")
    check_logits(decoder_logits(folder, TOKENS), made.logits(TOKENS))
    made.config["tie_word_embeddings"] = False
    check_tensors(ARCHITECTURE, made, "no tensor 'transformer.wte.weight'")


def test_a_tied_head_is_stored_once(tmp_path: Path) -> None:
    """The file of a model whose head is its embedding is smaller by the embedding."""
    sizes = {}
    for tied in (True, False):
        made = make_checkpoint(
            "GPTBigCodeForCausalLM", tmp_path / f"{tied}", **TINY, tie_word_embeddings=tied
        )
        folder = write_ct2(ARCHITECTURE, made.tensors, made.config, tmp_path / f"ct2-{tied}")
        sizes[tied] = (folder / "model.bin").stat().st_size
    assert sizes[False] - sizes[True] > 0.9 * 96 * 32 * 4


PUBLISHED: dict[str, Any] = {
    "activation_function": "gelu_pytorch_tanh",
    "architectures": ["GPTBigCodeForCausalLM"],
    "attention_softmax_in_fp32": True,
    "bos_token_id": 49152,
    "eos_token_id": 49152,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt_bigcode",
    "multi_query": True,
    "n_embd": 2048,
    "n_head": 16,
    "n_inner": 8192,
    "n_layer": 24,
    "n_positions": 2048,
    "scale_attention_softmax_in_fp32": True,
    "scale_attn_weights": True,
    "vocab_size": 49280,
}
"""The fields of gpt_bigcode-santacoder."""


def test_facts_of_the_published_configuration() -> None:
    """What the engine and the catalog must know."""
    facts = ARCHITECTURE.facts(PUBLISHED)
    assert (facts.context_length, facts.vocab_size) == (2048, 49280)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "gpt2"}, "'gpt2'"),
        ({"multi_query": False}, "multi_query false"),
        ({"activation_function": "relu"}, "'relu'"),
        ({"scale_attn_weights": False}, "scale_attn_weights"),
        ({"add_cross_attention": True}, "add_cross_attention"),
        ({"n_layer": None}, "lacks 'n_layer'"),
        ({"n_head": 15}, "15 heads"),
    ],
)
def test_configurations_that_are_refused(changes: dict[str, Any], says: str) -> None:
    """One line that names the field."""
    with pytest.raises(ConversionError, match=says) as caught:
        ARCHITECTURE.facts(PUBLISHED | changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["transformer.wpe.weight", "transformer.h.2.mlp.c_fc.bias"])
def test_a_missing_tensor(tmp_path: Path, name: str) -> None:
    """It is named before anything is read."""
    made = make_checkpoint("GPTBigCodeForCausalLM", tmp_path, **TINY)
    del made.tensors[name]
    check_tensors(ARCHITECTURE, made, f"no tensor '{name}'")


def test_keys_for_every_head(tmp_path: Path) -> None:
    """Weights with a key per head under a configuration that says otherwise are noticed."""
    made = make_checkpoint("GPTBigCodeForCausalLM", tmp_path, **(TINY | {"multi_query": False}))
    made.config["multi_query"] = True
    check_tensors(ARCHITECTURE, made, "config.json says (48,")


def test_longer_than_the_positions(tmp_path: Path) -> None:
    """A sequence that has no positions is an error, not nonsense."""
    made = make_checkpoint("GPTBigCodeForCausalLM", tmp_path, **TINY)
    with pytest.raises(ConversionError, match="49 tokens"):
        ARCHITECTURE.reference(made.tensors, made.config, [1] * 49)
