"""A complete model folder with a tiny random CodeGen, made in a blink and without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from codegen_lsp.converters.shape import Shape
from codegen_lsp.converters.to_ct2 import convert
from codegen_lsp.converters.to_hf import to_hf_folder
from codegen_lsp.models.manifest import Manifest

SHAPE = Shape(
    vocab_size=320, n_positions=64, n_embd=32, n_layer=2, n_head=4, rotary_dim=4, eos_token_id=0
)
"""Heads of 8, half of them rotated; the vocabulary has padding behind the tokenizer's tokens."""

TOKENS = 280
"""Entries of the tokenizer."""

_TEXT = ["def add(a, b):\n    return a + b\n", "for i in range(10):\n    print(i)\n"]

Weights = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Tiny:
    """The same random model in three layouts."""

    plain: Weights
    shape: Shape
    hf: Path
    ct2: Path


def random_weights(shape: Shape, seed: int = 0, scale: float = 0.3) -> Weights:
    """Plain float32 weights, every bias and scale away from its neutral value."""
    rng = np.random.default_rng(seed)
    width, inner = shape.n_embd, 4 * shape.n_embd

    def draw(*size: int) -> NDArray[np.generic]:
        return (scale * rng.standard_normal(size)).astype(np.float32)

    plain: Weights = {"wte": draw(shape.vocab_size, width)}
    for layer in range(shape.n_layer):
        at = f"h.{layer}."
        plain[at + "ln_1.scale"] = 1 + draw(width)
        plain[at + "ln_1.bias"] = draw(width)
        plain[at + "qkv"] = draw(3, width, width)
        plain[at + "out"] = draw(width, width)
        plain[at + "fc_in.kernel"] = draw(width, inner)
        plain[at + "fc_in.bias"] = draw(inner)
        plain[at + "fc_out.kernel"] = draw(inner, width)
        plain[at + "fc_out.bias"] = draw(width)
    plain |= {"ln_f.scale": 1 + draw(width), "ln_f.bias": draw(width)}
    return plain | {
        "lm_head.weight": draw(shape.vocab_size, width),
        "lm_head.bias": draw(shape.vocab_size),
    }


def write_tokenizer(path: Path, vocab_size: int = TOKENS) -> Path:
    """A byte-level BPE with end-of-text as id 0, learned from two lines of code."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXT * 50, trainer=trainer)
    tokenizer.save(str(path))
    return path


def make_tiny(folder: Path, *, quantization: str = "float32", seed: int = 0) -> Tiny:
    """The tiny model in all layouts under *folder*."""
    plain = random_weights(SHAPE, seed)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = write_tokenizer(folder / "tokenizer.json")
    hf = to_hf_folder(plain, SHAPE, tokenizer, folder / "hf")
    manifest = Manifest(
        name="tiny", context_length=SHAPE.n_positions, licence="CC0-1.0", languages=("python",)
    )
    convert(hf, folder / "ct2", manifest, quantization)
    return Tiny(plain, SHAPE, hf, folder / "ct2")


def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as the store expects it, with random weights."""
    return make_tiny(tmp_path_factory.mktemp("tiny")).ct2
