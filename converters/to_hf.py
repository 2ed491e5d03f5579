"""Plain arrays of the JAX model to a Hugging Face CodeGen folder, and back.

Plain names and shapes are those of ``codegen_lsp.tpu.model.parameters_to_numpy``: matrices are
applied as ``x @ W``. Hugging Face applies ``x @ W.T`` and fuses the attention weights.
Knows both sets of names. Does not know JAX, torch or checkpoints: it needs numpy and safetensors.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.errors import ConversionError

from . import qkv
from .shape import Shape

__all__ = ["END_OF_TEXT", "from_hf_tensors", "read_tensors", "to_hf_folder", "to_hf_tensors"]

Weights = Mapping[str, NDArray[np.generic]]

END_OF_TEXT: Final = "<|endoftext|>"

_OUTSIDE: Final = {
    "wte": "transformer.wte.weight",
    "ln_f.scale": "transformer.ln_f.weight",
    "ln_f.bias": "transformer.ln_f.bias",
    "lm_head.weight": "lm_head.weight",
    "lm_head.bias": "lm_head.bias",
}
"""Parameters outside the blocks, same orientation on both sides."""

_BLOCK: Final = {
    "ln_1.scale": ("ln_1.weight", False),
    "ln_1.bias": ("ln_1.bias", False),
    "out": ("attn.out_proj.weight", True),
    "fc_in.kernel": ("mlp.fc_in.weight", True),
    "fc_in.bias": ("mlp.fc_in.bias", False),
    "fc_out.kernel": ("mlp.fc_out.weight", True),
    "fc_out.bias": ("mlp.fc_out.bias", False),
}
"""Parameters of a block beside ``qkv``: the name there, and whether it is transposed."""


def to_hf_tensors(plain: Weights, shape: Shape) -> dict[str, NDArray[np.generic]]:
    """Tensors under the names of ``CodeGenForCausalLM``.

    :raises ConversionError: a parameter is missing, or the heads cannot be fused.
    """
    if shape.n_head % shape.parts:
        raise ConversionError(
            f"{shape.n_head} heads cannot be stored in {shape.parts} parts",
            mend=f"train a model whose number of heads is a multiple of {shape.parts}",
        )
    try:
        tensors = {there: plain[here] for here, there in _OUTSIDE.items()}
        for layer in range(shape.n_layer):
            here, there = f"h.{layer}.", f"transformer.h.{layer}."
            for name, (other, transposed) in _BLOCK.items():
                weight = plain[here + name]
                tensors[there + other] = weight.T if transposed else weight
            query, key, value = (plain[here + "qkv"][i].T for i in range(3))
            tensors[there + "attn.qkv_proj.weight"] = qkv.fuse(query, key, value, shape.parts)
    except KeyError as error:
        raise ConversionError(f"the checkpoint has no parameter {error}") from error
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def from_hf_tensors(tensors: Weights, shape: Shape) -> dict[str, NDArray[np.generic]]:
    """Undoes :func:`to_hf_tensors`; tensors that CodeGen does not need are left out.

    :raises ConversionError: a tensor is missing, or the width cannot be split.
    """
    try:
        plain = {here: tensors[there] for here, there in _OUTSIDE.items()}
        for layer in range(shape.n_layer):
            here, there = f"h.{layer}.", f"transformer.h.{layer}."
            for name, (other, transposed) in _BLOCK.items():
                weight = tensors[there + other]
                plain[here + name] = weight.T if transposed else weight
            parts = qkv.split(tensors[there + "attn.qkv_proj.weight"], shape.parts)
            plain[here + "qkv"] = np.stack([part.T for part in parts])
    except KeyError as error:
        raise ConversionError(f"the weights have no tensor {error}") from error
    return plain


def to_hf_folder(plain: Weights, shape: Shape, tokenizer: Path, out: Path) -> Path:
    """Write a folder that ``CodeGenForCausalLM.from_pretrained`` loads; returns *out*.

    *tokenizer* is a ``tokenizer.json``; it is copied. Files that exist in *out* are replaced.

    :raises ConversionError: a parameter is missing, or a file cannot be read or written.
    """
    from safetensors.numpy import save_file

    tensors = to_hf_tensors(plain, shape)
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "unk_token": END_OF_TEXT,
        "model_max_length": shape.n_positions,
        "clean_up_tokenization_spaces": False,
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        # "format" is what transformers reads to know that no framework wrote the file.
        save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
        shutil.copyfile(tokenizer, out / "tokenizer.json")
        _write_json(out / "tokenizer_config.json", tokenizer_config)
        _write_json(out / "config.json", shape.to_config())
    except OSError as error:
        raise ConversionError(f"cannot write {out}: {error.strerror or error}") from error
    return out


def read_tensors(folder: Path) -> dict[str, NDArray[np.generic]]:
    """All tensors of a Hugging Face folder, from one or several safetensors files.

    :raises ConversionError: there are none, or one cannot be read as numpy arrays.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ConversionError(
            f"{folder} holds no .safetensors file", mend="download or save one with the model"
        )
    tensors: dict[str, NDArray[np.generic]] = {}
    for file in files:
        try:
            tensors.update(load_file(file))
        except (OSError, KeyError, TypeError, SafetensorError) as error:
            raise ConversionError(
                f"cannot read {file}: {error}", mend="use a float32 or float16 file"
            ) from error
    return tensors


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
