"""T5's architecture (CodeT5+): reference and CTranslate2 against transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codegen_lsp.converters.t5 import ARCHITECTURE
from codegen_lsp.errors import ConversionError
from tests.support.architectures import (
    Checkpoint,
    Floats,
    check_logits,
    check_reference,
    check_tensors,
    make_checkpoint,
    seq2seq_logits,
    write_ct2,
)

TINY: dict[str, Any] = {
    "vocab_size": 96,
    "n_positions": 512,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 3,
    "num_heads": 4,
    "bos_token_id": 1,
    "decoder_start_token_id": 0,
    "eos_token_id": 2,
    "feed_forward_proj": "relu",
    "pad_token_id": 0,
}
"""Like CodeT5+ 220M, but small."""

TOKENS = [int(i) for i in np.random.default_rng(1).integers(3, 96, 180)]
"""Longer than the farthest distance that has a bucket of its own."""

VARIANTS: dict[str, dict[str, Any]] = {
    "codet5+": {},
    "gated": {"feed_forward_proj": "gated-gelu"},
    "fewer layers that write": {"num_decoder_layers": 1},
    "other buckets": {"relative_attention_num_buckets": 12, "relative_attention_max_distance": 20},
    "another epsilon": {"layer_norm_epsilon": 0.1},
    "another start": {"decoder_start_token_id": 5},
}


@pytest.fixture(scope="module", params=VARIANTS)
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Checkpoint:
    folder = tmp_path_factory.mktemp("t5")
    return make_checkpoint("T5ForConditionalGeneration", folder, **(TINY | VARIANTS[request.param]))


def teacher_forced(checkpoint: Checkpoint, tokens: list[int]) -> Floats:
    """What transformers' decoder says when it is fed what the encoder reads."""
    start = checkpoint.config["decoder_start_token_id"]
    return checkpoint.logits(tokens, decoder_input_ids=[start, *tokens[:-1]])


def test_reference(checkpoint: Checkpoint) -> None:
    """numpy computes what transformers does."""
    check_reference(ARCHITECTURE, checkpoint, TOKENS, teacher_forced(checkpoint, TOKENS))


def test_ctranslate2(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """CTranslate2 computes what transformers does."""
    folder = write_ct2(ARCHITECTURE, checkpoint.tensors, checkpoint.config, tmp_path / "ct2")
    check_logits(seq2seq_logits(folder, TOKENS), teacher_forced(checkpoint, TOKENS))


def test_untied(tmp_path: Path) -> None:
    """A head of its own is used and its logits are not scaled."""
    made = make_checkpoint("T5ForConditionalGeneration", tmp_path / "hf", **TINY)
    expected = teacher_forced(made, TOKENS)
    scaled = made.tensors["shared.weight"] * np.float32(32**-0.5)
    untied = Checkpoint(
        made.model,
        made.tensors | {"lm_head.weight": scaled},
        made.config | {"tie_word_embeddings": False},
    )
    check_reference(ARCHITECTURE, untied, TOKENS, expected)
    folder = write_ct2(ARCHITECTURE, untied.tensors, untied.config, tmp_path / "ct2")
    check_logits(seq2seq_logits(folder, TOKENS), expected)


def test_copies_of_the_embedding_are_ignored(tmp_path: Path) -> None:
    """Older checkpoints repeat the embedding under three more names."""
    made = make_checkpoint("T5ForConditionalGeneration", tmp_path, **TINY)
    names = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
    copies = dict.fromkeys(names, made.tensors["shared.weight"])
    copied = Checkpoint(made.model, made.tensors | copies, made.config)
    check_reference(ARCHITECTURE, copied, TOKENS, teacher_forced(made, TOKENS))


@pytest.mark.parametrize(
    "name", ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"]
)
def test_the_embedding_under_another_name(tmp_path: Path, name: str) -> None:
    """Files of safetensors keep a tied tensor under one name, and not every program the same."""
    made = make_checkpoint("T5ForConditionalGeneration", tmp_path, **TINY)
    expected = teacher_forced(made, TOKENS)
    made.tensors[name] = made.tensors.pop("shared.weight")
    check_reference(ARCHITECTURE, made, TOKENS, expected)
    folder = write_ct2(ARCHITECTURE, made.tensors, made.config, tmp_path / "ct2")
    check_logits(seq2seq_logits(folder, TOKENS), expected)


PUBLISHED: dict[str, Any] = {
    "architectures": ["T5ForConditionalGeneration"],
    "bos_token_id": 1,
    "d_ff": 3072,
    "d_kv": 64,
    "d_model": 768,
    "decoder_start_token_id": 0,
    "dense_act_fn": "relu",
    "eos_token_id": 2,
    "feed_forward_proj": "relu",
    "is_encoder_decoder": True,
    "is_gated_act": False,
    "layer_norm_epsilon": 1e-06,
    "model_type": "t5",
    "n_positions": 512,
    "num_decoder_layers": 12,
    "num_heads": 12,
    "num_layers": 12,
    "pad_token_id": 0,
    "relative_attention_max_distance": 128,
    "relative_attention_num_buckets": 32,
    "vocab_size": 32100,
}
"""The fields of CodeT5+ 220M."""


def test_facts_of_the_published_configuration() -> None:
    """What the engine and the catalog must know."""
    facts = ARCHITECTURE.facts(PUBLISHED)
    assert (facts.context_length, facts.vocab_size) == (512, 32100)
    assert ARCHITECTURE.kind == "encoder-decoder"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "codet5p"}, "'codet5p'"),
        ({"feed_forward_proj": "gated-silu"}, "'gated-silu'"),
        ({"d_kv": 128}, "d_kv"),
        ({"num_heads": 7}, "7 heads"),
        ({"d_ff": None}, "lacks 'd_ff'"),
        ({"relative_attention_num_buckets": 1}, "buckets"),
        ({"relative_attention_max_distance": 4}, "max_distance"),
        ({"decoder_start_token_id": 32100}, "decoder_start_token_id"),
    ],
)
def test_configurations_that_are_refused(changes: dict[str, Any], says: str) -> None:
    """One line that names the field."""
    with pytest.raises(ConversionError, match=says) as caught:
        ARCHITECTURE.facts(PUBLISHED | changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "shared.weight",
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "decoder.block.2.layer.1.EncDecAttention.k.weight",
    ],
)
def test_a_missing_tensor(tmp_path: Path, name: str) -> None:
    """It is named before anything is read."""
    made = make_checkpoint("T5ForConditionalGeneration", tmp_path, **TINY)
    del made.tensors[name]
    check_tensors(ARCHITECTURE, made, f"no tensor '{name}'")


def test_another_table_of_positions(tmp_path: Path) -> None:
    """A configuration with other buckets than the weights have is noticed."""
    made = make_checkpoint("T5ForConditionalGeneration", tmp_path, **TINY)
    made.config["relative_attention_num_buckets"] = 16
    check_tensors(ARCHITECTURE, made, "shape (32, 4), config.json says (16, 4)")
