"""Ways to the logits of a model: numpy, transformers (where torch is), JAX and CTranslate2.

Knows how each is asked. Does not compare (``verify`` does) and knows no text: it is given token
ids. Whatever way, an encoder-decoder reads the tokens in its encoder, and its decoder is fed the
same tokens behind its start token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.errors import ConversionError

from .architectures import ARCHITECTURES, architecture_of
from .checkpoint import open_checkpoint, read_config, weight_files
from .parallel_reference import LAYOUTS
from .shape import Shape
from .tensors import Tensors

__all__ = [
    "Logits",
    "Tokens",
    "ct2_logits",
    "jax_logits",
    "reference_logits",
    "transformers_logits",
]

Logits = NDArray[np.floating]
"""[sequences * length, vocabulary], not normalized."""

Tokens = Sequence[Sequence[int]]
"""Sequences of token ids, all of one length."""

LARGE: Final = 2 << 30
"""Bytes of weights from which on transformers is not asked: it holds them all, in float32."""

_SHARED: Final = "shared_vocabulary.json"
"""CTranslate2's vocabulary of an encoder-decoder."""


def reference_logits(folder: Path, tokens: Tokens, tensors: Tensors | None = None) -> Logits:
    """What numpy computes from a Hugging Face folder, tensor by tensor.

    *tensors* replaces the folder's own, under the same names.

    :raises ConversionError: the folder cannot be read, or is of no architecture that is known.
    """
    config = read_config(folder)
    tensors = open_checkpoint(folder) if tensors is None else tensors
    reference = LAYOUTS.get(str(config.get("model_type"))) or architecture_of(config).reference
    return np.concatenate([reference(tensors, config, sequence) for sequence in tokens])


def transformers_logits(folder: Path, tokens: Tokens) -> Logits | None:
    """What transformers computes from a Hugging Face folder, in float32.

    None where it is not installed, and where it cannot be a judge: its CodeGen reads the
    attention weights of CodeGen2-1B and -3.7B, which are in eight parts, as if they were in four;
    and from :data:`LARGE` weights on it takes too much memory.

    :raises ConversionError: it cannot load the folder.
    """
    if _no_judge(folder):
        return None
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
        from transformers.utils import logging
    except ImportError:
        return None
    config = read_config(folder)
    seq2seq = _is_seq2seq(config)
    auto: Any = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    untyped: Any = logging
    untyped.disable_progress_bar()
    verbosity = untyped.get_verbosity()
    untyped.set_verbosity_error()  # it complains about buffers that nobody needs
    try:
        model = auto.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, AttributeError) as error:
        raise ConversionError(f"transformers cannot load {folder}: {error}") from error
    finally:
        untyped.set_verbosity(verbosity)
    model.eval()
    more: dict[str, Any] = {}
    if seq2seq:
        start = int(config.get("decoder_start_token_id") or 0)
        more["decoder_input_ids"] = torch.tensor([[start, *ids[:-1]] for ids in tokens])
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([list(ids) for ids in tokens]), **more).logits
    return np.asarray(logits.numpy().reshape(-1, logits.shape[-1]))


def _no_judge(folder: Path) -> bool:
    config = read_config(folder)
    eight = config.get("model_type") == "codegen" and Shape.from_config(config).parts != 4
    return eight or sum(file.stat().st_size for file in weight_files(folder)) >= LARGE


def _is_seq2seq(config: Mapping[str, Any]) -> bool:
    found = ARCHITECTURES.get(str(config.get("model_type")))
    return found is not None and found.kind == "encoder-decoder"


def jax_logits(plain: Tensors, shape: Shape, tokens: Tokens) -> Logits:
    """What the project's own JAX model computes in float32 from plain weights."""
    from codegen_lsp.tpu.model import CodeGenConfig
    from codegen_lsp.tpu.plain import logits_of

    config = CodeGenConfig(
        vocab_size=shape.vocab_size,
        n_positions=shape.n_positions,
        n_embd=shape.n_embd,
        n_layer=shape.n_layer,
        n_head=shape.n_head,
        rotary_dim=shape.rotary_dim,
        layer_norm_epsilon=shape.layer_norm_epsilon,
    )
    return logits_of(plain, config, tokens).reshape(-1, shape.vocab_size)


def ct2_logits(folder: Path, tokens: Tokens, compute_type: str) -> Logits:
    """What CTranslate2 computes on the CPU from a model folder.

    *compute_type* may differ from the stored type: int8 weights are widened for ``float32``.

    :raises ConversionError: it cannot load the folder.
    """
    import ctranslate2

    seq2seq = (folder / _SHARED).is_file()
    loaded = ctranslate2.Translator if seq2seq else ctranslate2.Generator
    try:
        model = loaded(str(folder), device="cpu", compute_type=compute_type)
        if seq2seq:
            return _translator_logits(model, folder, tokens)
        logits = np.array(model.forward_batch([list(sequence) for sequence in tokens]))
    except (RuntimeError, ValueError) as error:
        raise ConversionError(f"CTranslate2 cannot run {folder}: {error}") from error
    return logits.reshape(-1, logits.shape[-1])


def _translator_logits(model: Any, folder: Path, tokens: Tokens) -> Logits:
    """Logits at each step of a decoder that is made to write what the encoder reads."""
    words = json.loads((folder / _SHARED).read_text(encoding="utf-8"))
    named = [[words[index] for index in sequence] for sequence in tokens]
    results = model.translate_batch(
        named,
        target_prefix=[sequence[:-1] for sequence in named],
        beam_size=1,
        min_decoding_length=0,
        max_decoding_length=len(named[0]),
        return_logits_vocab=True,
    )
    steps = [np.array(step).reshape(-1) for result in results for step in result.logits[0]]
    return np.stack(steps)
