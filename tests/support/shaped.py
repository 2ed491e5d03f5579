"""Random CodeGen checkpoints in the exact layout of the published ones, of any size.

    python -m tests.support.shaped OUT --size 350M --format bin --dtype float16 --tokenizer FOLDER

What is odd in the published folders is here, too: ids of special tokens that are not the
tokenizer's, a tokenizer class that cannot read the tokenizer, masks among the weights.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.converters.accounting import PUBLISHED
from codegen_lsp.converters.checkpoint import write_safetensors
from codegen_lsp.converters.shape import Shape
from codegen_lsp.converters.tensors import LazyTensors
from codegen_lsp.converters.to_hf import hf_shapes

TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
)
"""What a published folder may hold beside its weights."""


def published_config(shape: Shape, dtype: str, eos: int = 50256) -> dict[str, Any]:
    """``config.json`` as it is published: bos 1, GPT-2's tokenizer class, eos 50256 or 2."""
    parts = {"head_dim": shape.head_dim} if shape.parts == 8 else {}
    return parts | {
        "activation_function": "gelu_new",
        "architectures": ["CodeGenForCausalLM"],
        "attn_pdrop": 0.0,
        "bos_token_id": 1,
        "embd_pdrop": 0.0,
        "eos_token_id": eos,
        "gradient_checkpointing": False,
        "initializer_range": 0.02,
        "layer_norm_epsilon": shape.layer_norm_epsilon,
        "model_type": "codegen",
        "n_ctx": shape.n_positions,
        "n_embd": shape.n_embd,
        "n_head": shape.n_head,
        "n_inner": None,
        "n_layer": shape.n_layer,
        "n_positions": shape.n_positions,
        "resid_pdrop": 0.0,
        "rotary_dim": shape.rotary_dim,
        "scale_attn_weights": True,
        "summary_activation": None,
        "summary_first_dropout": 0.1,
        "summary_proj_to_labels": True,
        "summary_type": "cls_index",
        "summary_use_proj": True,
        "task_specific_params": {
            "text-generation": {"do_sample": True, "max_length": 50, "temperature": 1.0}
        },
        "tie_word_embeddings": False,
        "tokenizer_class": "GPT2Tokenizer",
        "torch_dtype": dtype,
        "transformers_version": "4.21.0.dev0",
        "use_cache": True,
        "vocab_size": shape.vocab_size,
    }


def random_tensors(shape: Shape, dtype: str, seed: int = 0) -> LazyTensors:
    """Weights under their published names, each drawn when asked for and always the same."""

    def draw(index: int, name: str, axes: tuple[int, ...]) -> NDArray[np.floating]:
        rng = np.random.default_rng((seed, index))
        drawn = rng.standard_normal(axes, np.float32)
        drawn *= np.float32(0.02)
        if ".ln_" in name and name.endswith(".weight"):
            drawn += np.float32(1)
        return drawn.astype(dtype)

    shapes = hf_shapes(shape)
    return LazyTensors(
        {
            name: lambda i=i, name=name, axes=axes: draw(i, name, axes)
            for i, (name, axes) in enumerate(shapes.items())
        }
    )


def write_checkpoint(
    out: Path,
    shape: Shape,
    *,
    form: str = "safetensors",
    dtype: str = "float16",
    shards: int = 1,
    tensors: Mapping[str, NDArray[Any]] | None = None,
) -> Path:
    """Write weights and ``config.json`` into *out*; ``bin`` needs torch. Returns *out*.

    bfloat16 needs torch, too.
    """
    out.mkdir(parents=True, exist_ok=True)
    config = json.dumps(published_config(shape, dtype), indent=2) + "\n"
    (out / "config.json").write_text(config, encoding="utf-8")
    numpy_dtype = "float32" if dtype == "bfloat16" else dtype
    tensors = random_tensors(shape, numpy_dtype) if tensors is None else tensors
    if form == "bin":
        write_bin(out, shape, tensors, shards, dtype)
        return out
    size = sum(int(np.prod(axes)) for axes in hf_shapes(shape).values())
    largest = max(int(np.prod(axes)) for axes in hf_shapes(shape).values())
    limit = (size // shards + largest) * np.dtype(numpy_dtype).itemsize if shards > 1 else 1 << 62
    write_safetensors(out, tensors, max_shard_bytes=limit)
    return out


def write_bin(
    out: Path, shape: Shape, tensors: Mapping[str, NDArray[Any]], shards: int, dtype: str
) -> None:
    """``pytorch_model.bin``, or shards and their index, one shard in memory at a time."""
    import torch

    names = list(tensors)
    step = -(-len(names) // shards)
    weights: dict[str, str] = {}
    total = 0
    for number, part in enumerate(range(0, len(names), step), 1):
        file = "pytorch_model.bin"
        if shards > 1:
            file = f"pytorch_model-{number:05}-of-{-(-len(names) // step):05}.bin"
        state = {
            name: torch.from_numpy(np.array(tensors[name])).to(getattr(torch, dtype))
            for name in names[part : part + step]
        }
        state |= dict(_masks(shape, state))
        total += sum(tensor.numel() * tensor.element_size() for tensor in state.values())
        weights |= dict.fromkeys(state, file)
        torch.save(state, out / file)
    if shards > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weights}
        (out / "pytorch_model.bin.index.json").write_text(json.dumps(index), encoding="utf-8")


def _masks(shape: Shape, state: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The buffers that lie among the published weights."""
    import torch

    length = shape.n_positions
    for name in list(state):
        if name.endswith(".attn.qkv_proj.weight"):
            at = name.removesuffix("qkv_proj.weight")
            mask = torch.tril(torch.ones((length, length), dtype=torch.bool))
            yield at + "causal_mask", mask.view(1, 1, length, length)
            yield at + "masked_bias", torch.tensor(-1e9)


def copy_tokenizer(source: Path, out: Path) -> None:
    """Copy the files of a published tokenizer that are in *source*."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests.support.shaped", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--size", choices=sorted(PUBLISHED), default="350M")
    parser.add_argument("--layers", type=int, help="fewer layers than the size has")
    parser.add_argument("--format", choices=("bin", "safetensors"), default="bin")
    parser.add_argument("--dtype", choices=("float16", "bfloat16", "float32"), default="float16")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--tokenizer", type=Path, help="folder whose tokenizer files are copied")
    given = parser.parse_args(arguments)
    shape = PUBLISHED[given.size]
    shape = replace(shape, n_layer=given.layers or shape.n_layer)
    write_checkpoint(given.out, shape, form=given.format, dtype=given.dtype, shards=given.shards)
    if given.tokenizer is not None:
        copy_tokenizer(given.tokenizer, given.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
