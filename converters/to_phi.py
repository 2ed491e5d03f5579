"""CodeGen in the layout of ``PhiForCausalLM``: the same network under better-known names.

Phi's block is CodeGen's: attention and MLP side by side behind one LayerNorm, part of each head
rotated, an untied head with a bias. Two things differ. Phi rotates half against half where
CodeGen rotates neighbours, so the rows of queries and keys are reordered per head; and Phi has
biases in the attention, which are zero here. llama.cpp, MLX, OpenVINO and vLLM know Phi.

Knows names and orders of rows. Does not know files (``hf_folder`` does) or GGUF (``to_gguf``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from codegen_lsp.errors import ConversionError

from . import qkv
from .hf_folder import end_of_text_id, write_folder
from .shape import Shape
from .tensors import Array, LazyTensors, Tensors

__all__ = ["DTYPES", "Dtype", "cast", "fetch", "to_phi", "write_phi"]

Dtype = Literal["float32", "float16"]

DTYPES: Final[tuple[Dtype, ...]] = ("float32", "float16")
"""How weights can be stored in a Hugging Face layout that numpy writes."""

_OUTSIDE: Final = {
    "model.embed_tokens.weight": "wte",
    "model.final_layernorm.weight": "ln_f.scale",
    "model.final_layernorm.bias": "ln_f.bias",
    "lm_head.weight": "lm_head.weight",
    "lm_head.bias": "lm_head.bias",
}
"""Phi's names of what lies outside the blocks, same orientation on both sides."""

_BLOCK: Final = {
    "input_layernorm.weight": ("ln_1.scale", False),
    "input_layernorm.bias": ("ln_1.bias", False),
    "self_attn.dense.weight": ("out", True),
    "mlp.fc1.weight": ("fc_in.kernel", True),
    "mlp.fc1.bias": ("fc_in.bias", False),
    "mlp.fc2.weight": ("fc_out.kernel", True),
    "mlp.fc2.bias": ("fc_out.bias", False),
}
"""Phi's names of what a block copies, and whether it is transposed."""

_ATTENTION: Final = ("q_proj", "k_proj", "v_proj")
"""In the order of the plain ``qkv``."""


def to_phi(plain: Tensors, shape: Shape) -> tuple[dict[str, Any], Tensors]:
    """``config.json`` and the lazy tensors of ``PhiForCausalLM`` for *plain* weights.

    The configuration's end-of-text id is the shape's; :func:`write_phi` takes the tokenizer's.

    :raises ConversionError: the heads do not divide the width (a missing weight: when asked for).
    """
    if shape.n_embd % shape.n_head:
        raise ConversionError(f"a width of {shape.n_embd} is not {shape.n_head} heads")
    recipes: dict[str, Callable[[], Array]] = {
        there: partial(fetch, plain, here) for there, here in _OUTSIDE.items()
    }
    zeros = partial(np.zeros, shape.n_embd, np.float32)
    for layer in range(shape.n_layer):
        here, there = f"h.{layer}.", f"model.layers.{layer}."
        for name, (other, transposed) in _BLOCK.items():
            recipes[there + name] = partial(fetch, plain, here + other, transposed=transposed)
        for index, name in enumerate(_ATTENTION):
            at = f"{there}self_attn.{name}."
            recipes[at + "weight"] = partial(_attention, plain, shape, here + "qkv", index)
            recipes[at + "bias"] = zeros
        recipes[there + "self_attn.dense.bias"] = zeros
    return _config(shape), LazyTensors(recipes)


def fetch(plain: Tensors, name: str, *, transposed: bool = False) -> Array:
    """The weight *name*, row by row in memory.

    :raises ConversionError: there is none.
    """
    try:
        weight = plain[name]
    except KeyError as error:
        raise ConversionError(f"the weights have no parameter {error}") from error
    return np.ascontiguousarray(weight.T if transposed else weight)


def _attention(plain: Tensors, shape: Shape, name: str, index: int) -> Array:
    weight = np.ascontiguousarray(fetch(plain, name)[index].T)
    if _ATTENTION[index] == "v_proj":
        return weight
    return qkv.interleaved_to_sliced(weight, shape.n_head, shape.rotary_dim)


def _config(shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["PhiForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": shape.eos_token_id,
        "embd_pdrop": 0.0,
        "eos_token_id": shape.eos_token_id,
        "hidden_act": "gelu_new",
        "hidden_size": shape.n_embd,
        "intermediate_size": 4 * shape.n_embd,
        "layer_norm_eps": shape.layer_norm_epsilon,
        "max_position_embeddings": shape.n_positions,
        "model_type": "phi",
        "num_attention_heads": shape.n_head,
        "num_hidden_layers": shape.n_layer,
        "num_key_value_heads": shape.n_head,
        "partial_rotary_factor": _rotary_factor(shape),
        "qk_layernorm": False,
        "resid_pdrop": 0.0,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "use_cache": True,
        "vocab_size": shape.vocab_size,
    }


def _rotary_factor(shape: Shape) -> float:
    """The share of a head that is rotated, such that truncating the product gives it back."""
    factor = shape.rotary_dim / shape.head_dim
    exact = int(shape.head_dim * factor) == shape.rotary_dim
    return factor if exact else math.nextafter(factor, math.inf)


def cast(config: dict[str, Any], tensors: Tensors, dtype: str) -> tuple[dict[str, Any], Tensors]:
    """The same layout with every tensor stored as *dtype*.

    :raises ConversionError: *dtype* is none of :data:`DTYPES` (a value too large: when asked for).
    """
    if dtype not in DTYPES:
        raise ConversionError(f"cannot store {dtype!r}", mend=f"use one of {', '.join(DTYPES)}")
    recipes = {name: partial(_narrow, tensors, name, dtype) for name in tensors}
    return {**config, "torch_dtype": dtype}, LazyTensors(recipes)


def _narrow(tensors: Tensors, name: str, dtype: str) -> Array:
    wide = tensors[name]
    if not np.isfinite(wide).all():
        raise ConversionError(
            f"{name} holds values that are not finite", mend="fetch the checkpoint again"
        )
    with np.errstate(over="ignore"):  # looked at below
        narrow: Array = wide.astype(dtype)
    if not np.isfinite(narrow).all():
        raise ConversionError(f"{name} does not fit {dtype}", mend="store float32")
    return narrow


def write_phi(
    plain: Tensors, shape: Shape, tokenizer: Path, out: Path, *, dtype: Dtype = "float32"
) -> Path:
    """Write the folder *out* that ``PhiForCausalLM.from_pretrained`` loads; returns *out*.

    *tokenizer* is a ``tokenizer.json``; it is copied, and its end-of-text is the configuration's.

    :raises ConversionError: a weight is missing, or a file cannot be read or written.
    """
    end = end_of_text_id(tokenizer, shape)
    config, tensors = cast(*to_phi(plain, shape), dtype)
    config |= {"bos_token_id": end, "eos_token_id": end}
    return write_folder(config, tensors, tokenizer, out, shape.n_positions)
