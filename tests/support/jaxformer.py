"""Writes plain weights as JAXFORMER does: a checkpoint of one step, and its export.

Made after ``inter/checkpoint.py``, ``inter/model.py`` and ``hf/convert.py`` of the public
repository ``salesforce/jaxformer``, core by core, and without the reader's code. That those
modules, run with haiku, save these arrays in this order was tried by hand.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.converters.shape import Shape
from tests.support.tiny import Weights

Array = NDArray[Any]

Store = Callable[[Array], Array]
"""Turns an array into the array that is saved."""


def as_bfloat16(array: Array) -> Array:
    """What numpy saves of a bfloat16 array: two bytes each (the value is cut, not rounded)."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32) >> 16
    return bits.astype(np.uint16).view("V2")


def as_is(array: Array) -> Array:
    return array


def fused(query: Array, key: Array, value: Array, cores: int) -> Array:
    """[d, 3d]: each core's columns of query, value and key, core after core."""
    width = query.shape[1] // cores
    columns = []
    for core in range(cores):
        own = slice(core * width, (core + 1) * width)
        columns += [query[:, own], value[:, own], key[:, own]]
    return np.concatenate(columns, axis=1)


def leaves(plain: Weights, shape: Shape, cores: int) -> list[tuple[Array, int | None]]:
    """Every array in the order of saving, and the axis along which cores share it."""

    def stacked(name: str) -> Array:
        return np.stack([plain[f"h.{layer}.{name}"] for layer in range(shape.n_layer)])

    bias = np.linspace(-1, 1, shape.n_embd, dtype=np.float32)
    attention = [fused(qkv[0], qkv[1], qkv[2], cores) for qkv in stacked("qkv")]
    return [
        (bias, None),
        (np.asarray(plain["wte"], np.float32) - bias, 0),
        (plain["ln_f.bias"], None),
        (plain["ln_f.scale"], None),
        (plain["lm_head.bias"], None),
        (plain["lm_head.weight"].T, 1),
        (stacked("out"), 1),
        (np.stack(attention), 2),
        (stacked("fc_in.bias"), None),
        (stacked("fc_in.kernel"), 2),
        (stacked("fc_out.bias"), None),
        (stacked("fc_out.kernel"), 1),
        (stacked("ln_1.bias"), None),
        (stacked("ln_1.scale"), None),
    ]


def write_run(path: Path, shape: Shape, cores: int, **changes: object) -> Path:
    """The JSON file of a training run; what *changes* states as None is left out."""
    run: dict[str, object] = {
        "tpu_version": {8: 3, 4: 4}.get(cores),
        "tpu_cores": None if cores in (4, 8) else cores,
        "model_type": "decoder",
        "model_sharding": "inter",
        "model_layers": shape.n_layer,
        "model_dim": shape.n_embd,
        "model_head_dim": shape.head_dim,
        "model_heads": shape.n_head,
        "model_vocab_size": shape.vocab_size,
        "model_pe_rotary_dims": shape.rotary_dim,
        "model_seq_len": shape.n_positions,
        "opt_params_partitions": 1,
    }
    stated = {name: value for name, value in (run | changes).items() if value is not None}
    path.write_text(json.dumps(stated))
    return path


def write_checkpoint(
    folder: Path,
    plain: Weights,
    shape: Shape,
    cores: int,
    *,
    files: int = 1,
    copies: int = 1,
    store: Store = as_is,
    save: Callable[..., None] = np.savez,
) -> Path:
    """A checkpoint of a model on *cores*, in *files* that hold a part each, *copies* times over.

    The optimizer's state lies beside it, as files that are no arrays.
    """
    for kind in ("model", "opt"):
        (folder / kind).mkdir(parents=True)
    arrays = leaves(plain, shape, cores)
    for process in range(files * copies):
        part = process % files
        held = [
            array if axis is None else np.split(array, files, axis)[part] for array, axis in arrays
        ]
        with (folder / "model" / f"{process}.npz").open("wb") as file:
            save(file, *(store(array) for array in held))
        (folder / "opt" / f"{process}.npz").write_bytes(b"moments")
    step: dict[str, Any] = {
        "process_count": files * copies,
        "step": 7,
        "wandb_run_id": None,
        "data_files": [],
    }
    (folder / "ckpt.json").write_text(json.dumps(step))
    write_run(folder / "codegen_tiny.json", shape, cores)
    return folder


def write_export(folder: Path, plain: Weights, shape: Shape, cores: int, dtype: str) -> Path:
    """What ``hf/convert.py`` makes of a checkpoint; needs torch."""
    import torch

    bias, table, *rest = [array for array, _ in leaves(plain, shape, cores)]
    kind = getattr(torch, dtype)

    def turned(array: Array) -> Any:
        return torch.tensor(np.ascontiguousarray(array), dtype=kind).T

    outside = ["ln_f.bias", "ln_f.weight"]
    state: dict[str, Any] = {"transformer.wte.weight": turned(table).T + turned(bias[:, None])}
    state |= {f"transformer.{name}": turned(rest.pop(0)[:, None])[0] for name in outside}
    state |= {
        "lm_head.bias": turned(rest.pop(0)[:, None])[0],
        "lm_head.weight": turned(rest.pop(0)),
    }
    names = "attn.out_proj.weight attn.qkv_proj.weight mlp.fc_in.bias mlp.fc_in.weight"
    names += " mlp.fc_out.bias mlp.fc_out.weight ln_1.bias ln_1.weight"
    for name, stacked in zip(names.split(), rest, strict=True):
        for layer in range(shape.n_layer):
            one = stacked[layer]
            value = turned(one) if one.ndim == 2 else turned(one[:, None])[0]
            state[f"transformer.h.{layer}.{name}"] = value
    length = shape.n_positions
    mask = torch.tril(torch.ones((length, length), dtype=torch.bool)).view(1, 1, length, length)
    for layer in range(shape.n_layer):
        state[f"transformer.h.{layer}.attn.causal_mask"] = mask
        state[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e9, dtype=kind)
    folder.mkdir(parents=True)
    torch.save(state, folder / "pytorch_model.bin")
    config = shape.to_config() | {"bos_token_id": 1, "eos_token_id": 2, "torch_dtype": dtype}
    config |= {"tokenizer_class": "GPT2Tokenizer", "transformers_version": "4.10.0.dev0"}
    del config["tie_word_embeddings"], config["n_ctx"], config["n_inner"]
    (folder / "config.json").write_text(json.dumps(config))
    return folder
