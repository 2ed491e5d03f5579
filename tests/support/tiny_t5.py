"""A complete model folder with a tiny random T5, made in a blink and without torch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer

from codegen_lsp.converters import t5
from codegen_lsp.converters.to_ct2 import convert
from codegen_lsp.models.manifest import Manifest
from tests.support.tiny import write_tokenizer

CONFIG: dict[str, Any] = {
    "bos_token_id": 1,
    "d_ff": 64,
    "d_kv": 8,
    "d_model": 32,
    "decoder_start_token_id": 0,
    "eos_token_id": 0,
    "feed_forward_proj": "relu",
    "is_encoder_decoder": True,
    "model_type": "t5",
    "n_positions": 64,
    "num_heads": 4,
    "num_layers": 2,
    "pad_token_id": 0,
    "vocab_size": 320,
}

SENTINELS = tuple(range(280, 290))
"""Ids of <extra_id_0>, <extra_id_1>, …, which are tokens."""

TOKENS = 290
"""Entries of the tokenizer; what follows in the vocabulary is padding."""

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class TinyT5:
    """The same random model in two layouts."""

    tensors: Weights = field(repr=False)
    ct2: Path


def random_weights(seed: int = 0) -> Weights:
    """Weights under the names of the published checkpoints, scales of norms near 1."""
    rng = np.random.default_rng(seed)
    return {
        name: (0.3 * rng.standard_normal(shape) + (len(shape) == 1)).astype(np.float32)
        for name, shape in t5.shapes(CONFIG).items()
    }


def make_tiny_t5(
    folder: Path, *, seed: int = 0, change: Callable[[Weights], object] | None = None
) -> TinyT5:
    """The tiny model in both layouts under *folder*; *change* may alter its weights."""
    tensors = random_weights(seed)
    if change is not None:
        change(tensors)
    source = folder / "hf"
    source.mkdir(parents=True)
    tokenizer = Tokenizer.from_file(str(write_tokenizer(folder / "tokenizer.json")))
    named = [f"<extra_id_{n}>" for n in range(len(SENTINELS))]
    tokenizer.add_special_tokens([AddedToken(n, normalized=False) for n in named])
    tokenizer.save(str(source / "tokenizer.json"))
    save_file(tensors, source / "model.safetensors")
    (source / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    convert(source, folder / "ct2", Manifest(name="tiny-t5", context_length=2), "float32")
    shutil.rmtree(source)
    return TinyT5(tensors, folder / "ct2")
