"""CodeGen in the layout of ``GPTJForCausalLM``: the same network with attention taken apart.

Only the fused attention matrix is split; the rotation pairs neighbours on both sides, so no row
moves. vLLM knows GPT-J and does not know CodeGen.

Knows names. Does not know files (``hf_folder`` does).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from .hf_folder import end_of_text_id, write_folder
from .shape import Shape
from .tensors import Array, LazyTensors, Tensors
from .to_phi import Dtype, cast, fetch

__all__ = ["to_gptj", "write_gptj"]

_OUTSIDE: Final = {
    "transformer.wte.weight": "wte",
    "transformer.ln_f.weight": "ln_f.scale",
    "transformer.ln_f.bias": "ln_f.bias",
    "lm_head.weight": "lm_head.weight",
    "lm_head.bias": "lm_head.bias",
}
"""GPT-J's names of what lies outside the blocks, same orientation on both sides."""

_BLOCK: Final = {
    "ln_1.weight": ("ln_1.scale", False),
    "ln_1.bias": ("ln_1.bias", False),
    "attn.out_proj.weight": ("out", True),
    "mlp.fc_in.weight": ("fc_in.kernel", True),
    "mlp.fc_in.bias": ("fc_in.bias", False),
    "mlp.fc_out.weight": ("fc_out.kernel", True),
    "mlp.fc_out.bias": ("fc_out.bias", False),
}
"""GPT-J's names of what a block copies, and whether it is transposed."""

_ATTENTION: Final = ("q_proj", "k_proj", "v_proj")
"""In the order of the plain ``qkv``."""


def to_gptj(plain: Tensors, shape: Shape) -> tuple[dict[str, Any], Tensors]:
    """``config.json`` and the lazy tensors of ``GPTJForCausalLM`` for *plain* weights.

    A missing weight raises ``ConversionError`` when it is asked for.
    """
    recipes = {there: partial(fetch, plain, here) for there, here in _OUTSIDE.items()}
    for layer in range(shape.n_layer):
        here, there = f"h.{layer}.", f"transformer.h.{layer}."
        for name, (other, transposed) in _BLOCK.items():
            recipes[there + name] = partial(fetch, plain, here + other, transposed=transposed)
        for index, name in enumerate(_ATTENTION):
            recipes[f"{there}attn.{name}.weight"] = partial(_attention, plain, here + "qkv", index)
    return _config(shape), LazyTensors(recipes)


def _attention(plain: Tensors, name: str, index: int) -> Array:
    return np.ascontiguousarray(fetch(plain, name)[index].T)


def _config(shape: Shape) -> dict[str, Any]:
    return {
        "activation_function": "gelu_new",
        "architectures": ["GPTJForCausalLM"],
        "attn_pdrop": 0.0,
        "bos_token_id": shape.eos_token_id,
        "embd_pdrop": 0.0,
        "eos_token_id": shape.eos_token_id,
        "layer_norm_epsilon": shape.layer_norm_epsilon,
        "model_type": "gptj",
        "n_embd": shape.n_embd,
        "n_head": shape.n_head,
        "n_inner": 4 * shape.n_embd,
        "n_layer": shape.n_layer,
        "n_positions": shape.n_positions,
        "resid_pdrop": 0.0,
        "rotary_dim": shape.rotary_dim,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "use_cache": True,
        "vocab_size": shape.vocab_size,
    }


def write_gptj(
    plain: Tensors, shape: Shape, tokenizer: Path, out: Path, *, dtype: Dtype = "float32"
) -> Path:
    """Write the folder *out* that ``GPTJForCausalLM.from_pretrained`` loads; returns *out*.

    *tokenizer* is a ``tokenizer.json``; it is copied, and its end-of-text is the configuration's.

    :raises ConversionError: a weight is missing, or a file cannot be read or written.
    """
    end = end_of_text_id(tokenizer, shape)
    config, tensors = cast(*to_gptj(plain, shape), dtype)
    config |= {"bos_token_id": end, "eos_token_id": end}
    return write_folder(config, tensors, tokenizer, out, shape.n_positions)
