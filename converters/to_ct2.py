"""A Hugging Face CodeGen folder to a model folder that CTranslate2 and the store read.

Knows CTranslate2's model specification and how CodeGen fits it: parallel residual, one shared
LayerNorm, rotary pairs reordered from interleaved to half against half. Needs neither torch nor
transformers. Does not compare logits (``verify`` does).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from codegen_lsp.errors import CodegenError, ConversionError
from codegen_lsp.models.manifest import MANIFEST, Manifest, write_manifest

from . import qkv
from .shape import Shape
from .to_hf import END_OF_TEXT, from_hf_tensors, read_tensors

__all__ = ["PADDING", "QUANTIZATIONS", "convert", "vocabulary"]

PADDING = "<extra_id_{}>"
"""Names of vocabulary entries that have a row in the embedding and no token."""

QUANTIZATIONS = ("int8", "int8_float32", "int8_float16", "float16", "bfloat16", "float32")

Floats = NDArray[np.float32]


def convert(source: Path, out: Path, manifest: Manifest, quantization: str = "int8") -> Manifest:
    """Convert the Hugging Face folder *source* into the model folder *out*; returns its manifest.

    Context length, parameters and compute type of *manifest* are filled in. *out* may exist;
    the files of a model in it are replaced, manifest last, and others are kept.

    :raises ConversionError: not a CodeGen, weights missing, or *out* cannot be written.
    """
    if quantization not in QUANTIZATIONS:
        raise ConversionError(
            f"unknown quantization {quantization!r}", mend=f"use one of {', '.join(QUANTIZATIONS)}"
        )
    shape = Shape.from_folder(source)
    tensors = read_tensors(source)
    spec = _specification(from_hf_tensors(tensors, shape), shape)
    spec.register_vocabulary(vocabulary(source / "tokenizer.json", shape.vocab_size))
    end = _token_of(source, shape)
    spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = end
    spec.config.layer_norm_epsilon = shape.layer_norm_epsilon
    manifest = msgspec.structs.replace(
        manifest,
        context_length=shape.n_positions,
        parameters=_count(tensors),
        compute_type=quantization,
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".convert-", dir=out.parent) as scratch:
            whole = Path(scratch)
            spec.validate()
            spec.optimize(quantization=quantization)
            spec.save(str(whole))
            shutil.copyfile(source / "tokenizer.json", whole / "tokenizer.json")
            manifest = write_manifest(whole, manifest)
            _move(whole, out)
    except (OSError, ValueError, CodegenError) as error:
        raise ConversionError(f"cannot convert {source}: {error}") from error
    return manifest


def _count(tensors: Mapping[str, NDArray[np.generic]]) -> int:
    """Weights of the model; a head that repeats the embedding counts once."""
    count = sum(tensor.size for tensor in tensors.values())
    head, embedding = tensors["lm_head.weight"], tensors["transformer.wte.weight"]
    return int(count - (head.size if np.array_equal(head, embedding) else 0))


def _move(whole: Path, out: Path) -> None:
    """Put the files into *out*: without a manifest while they change, the new one last."""
    (out / MANIFEST).unlink(missing_ok=True)
    for file in sorted(whole.iterdir(), key=lambda path: path.name == MANIFEST):
        file.replace(out / file.name)


def vocabulary(tokenizer: Path, size: int) -> list[str]:
    """Tokens by id, padded to *size* with names that the engine knows never to generate.

    :raises ConversionError: unreadable, ids that leave gaps, or more tokens than *size*.
    """
    try:
        content = json.loads(tokenizer.read_text(encoding="utf-8"))
        by_id = {index: token for token, index in content["model"]["vocab"].items()}
        by_id |= {added["id"]: added["content"] for added in content.get("added_tokens", ())}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConversionError(f"cannot read {tokenizer}: {error!r}") from error
    if not by_id or max(by_id) >= size:
        raise ConversionError(f"{tokenizer} does not fit a vocabulary of {size} entries")
    gaps = (index for index in range(size) if index not in by_id)
    by_id |= {index: PADDING.format(number) for number, index in enumerate(list(gaps))}
    return [by_id[index] for index in range(size)]


def _token_of(source: Path, shape: Shape) -> str:
    """The end-of-text token: by its name, whatever id the configuration claims.

    Published configurations give 1 or 2 where the tokenizers say 50256.
    """
    tokens = vocabulary(source / "tokenizer.json", shape.vocab_size)
    return END_OF_TEXT if END_OF_TEXT in tokens else tokens[shape.eos_token_id]


def _specification(plain: Mapping[str, NDArray[np.generic]], shape: Shape) -> Any:
    """CTranslate2's description of the model with the weights in it, not yet quantized."""
    from ctranslate2.specs import common_spec, transformer_spec

    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        shape.n_layer,
        shape.n_head,
        pre_norm=True,
        activation=common_spec.Activation.GELUTanh,
        rotary_dim=shape.rotary_dim,
        rotary_interleave=False,
        parallel_residual=True,
        shared_layer_norm=True,
    )
    weights = {name: np.asarray(weight, np.float32) for name, weight in plain.items()}
    decoder = spec.decoder
    decoder.scale_embeddings = False
    decoder.embeddings.weight = weights["wte"]
    _set_norm(decoder.layer_norm, weights, "ln_f")
    decoder.projection.weight = weights["lm_head.weight"]
    decoder.projection.bias = weights["lm_head.bias"]
    for index, layer in enumerate(decoder.layer):
        _set_layer(layer, weights, f"h.{index}.", shape)
    return spec


def _set_layer(layer: Any, weights: Mapping[str, Floats], at: str, shape: Shape) -> None:
    _set_norm(layer.shared_layer_norm, weights, at + "ln_1")
    query, key, value = (matrix.T for matrix in weights[at + "qkv"])
    turned = [qkv.interleaved_to_sliced(w, shape.n_head, shape.rotary_dim) for w in (query, key)]
    layer.self_attention.linear[0].weight = np.concatenate((*turned, value))
    layer.self_attention.linear[1].weight = np.ascontiguousarray(weights[at + "out"].T)
    layer.ffn.linear_0.weight = np.ascontiguousarray(weights[at + "fc_in.kernel"].T)
    layer.ffn.linear_0.bias = weights[at + "fc_in.bias"]
    layer.ffn.linear_1.weight = np.ascontiguousarray(weights[at + "fc_out.kernel"].T)
    layer.ffn.linear_1.bias = weights[at + "fc_out.bias"]


def _set_norm(norm: Any, weights: Mapping[str, Floats], name: str) -> None:
    norm.gamma = weights[name + ".scale"]
    norm.beta = weights[name + ".bias"]
