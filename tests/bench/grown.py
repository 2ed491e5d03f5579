"""The bundled model in the shape of CodeGen-350M: what it says, at the price of the larger one.

    python -m tests.bench.grown FOLDER
    codegen-lsp models pull FOLDER --name grown-350M

How fast a completion is depends on what is written: where an answer ends, whether a draft is
right. Random weights write nothing of the kind. Here the residual stream of the bundled model
(256 wide, 4 heads of 64) is repeated four times, which LayerNorm does not see; every matrix reads
the mean of the four, every head is there four times, and the layers beyond its own add nothing
that counts. So this answers as the bundled model does, and computes exactly what 350M parameters
compute: 20 layers of 1,024, 16 heads, 51,200 tokens. For measurements of speed only.

Knows the Hugging Face layout of CodeGen. Does not know engines.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from codegen_lsp.config.home import home
from codegen_lsp.converters import qkv
from codegen_lsp.converters.pipeline import convert_to
from codegen_lsp.models.reporting import Silent

COPIES: Final = 4
LAYERS: Final = 20
VOCABULARY: Final = 51_200
NEVER: Final = -1e4
"""The bias of a row that stands for no token."""
NOTHING: Final = 1e-6
"""The size of weights whose product is not to count, and that no quantization makes zero."""

Array = NDArray[np.float32]


def grow(source: Path, out: Path, seed: int = 0) -> None:
    """Write the Hugging Face folder *out*, grown from that in *source*."""
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    small = load_file(source / "model.safetensors")
    rng = np.random.default_rng(seed)
    large: dict[str, Array] = {
        "lm_head.weight": _more_rows(_reads(small["lm_head.weight"]), rng),
        "lm_head.bias": _filled(small["lm_head.bias"]),
        "transformer.wte.weight": _more_rows(_tiled(small["transformer.wte.weight"], 1), rng),
        "transformer.ln_f.weight": _tiled(small["transformer.ln_f.weight"], 0),
        "transformer.ln_f.bias": _tiled(small["transformer.ln_f.bias"], 0),
    }
    for number in range(LAYERS):
        own = number < config["n_layer"]
        read = f"transformer.h.{number if own else 0}."
        layer = {k.removeprefix(read): v for k, v in small.items() if k.startswith(read)}
        for name, weight in _layer(layer, idle=not own).items():
            large[f"transformer.h.{number}.{name}"] = weight
    out.mkdir(parents=True)
    save_file({k: np.ascontiguousarray(v) for k, v in large.items()}, out / "model.safetensors")
    config |= {
        "n_embd": config["n_embd"] * COPIES,
        "n_head": config["n_head"] * COPIES,
        "n_layer": LAYERS,
        "n_positions": 2048,
        "n_ctx": 2048,
        "vocab_size": VOCABULARY,
    }
    (out / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    _write_tokenizer(source, out)


def _layer(small: dict[str, Array], *, idle: bool) -> dict[str, Array]:
    """One layer, four times as wide; an *idle* one adds next to nothing."""
    query, key, value = map(_wider, qkv.split(small["attn.qkv_proj.weight"]))
    share = NOTHING if idle else 1.0
    return {
        "ln_1.weight": _tiled(small["ln_1.weight"], 0),
        "ln_1.bias": _tiled(small["ln_1.bias"], 0),
        "attn.qkv_proj.weight": qkv.fuse(query, key, value).astype(np.float32),
        "attn.out_proj.weight": share * _wider(small["attn.out_proj.weight"]),
        "mlp.fc_in.weight": _wider(small["mlp.fc_in.weight"]),
        "mlp.fc_in.bias": _tiled(small["mlp.fc_in.bias"], 0),
        "mlp.fc_out.weight": share * _wider(small["mlp.fc_out.weight"]),
        "mlp.fc_out.bias": share * _tiled(small["mlp.fc_out.bias"], 0),
    }


def _tiled(array: NDArray[Any], axis: int) -> Array:
    tiled: Array = np.concatenate([array] * COPIES, axis=axis).astype(np.float32)
    return tiled


def _reads(matrix: Array) -> Array:
    """A matrix [out, in] that reads the mean of the copies: [out, 4 in]."""
    return _tiled(matrix / COPIES, 1)


def _wider(matrix: NDArray[Any]) -> Array:
    """A matrix [out, in] that reads the mean of the copies and writes every copy: [4 out, 4 in]."""
    return _tiled(_reads(matrix), 0)


def _more_rows(matrix: Array, rng: np.random.Generator) -> Array:
    rows = VOCABULARY - len(matrix)
    noise = rng.normal(0, float(matrix.std()), (rows, matrix.shape[1])).astype(np.float32)
    return np.concatenate([matrix, noise])


def _filled(bias: Array) -> Array:
    return np.concatenate([bias, np.full(VOCABULARY - len(bias), NEVER, np.float32)])


def _write_tokenizer(source: Path, out: Path) -> None:
    """The tokenizer, with names for the rows that no text becomes."""
    content: dict[str, Any] = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    for number in range(len(vocabulary), VOCABULARY):
        vocabulary[f"Āunused{number}"] = number
    (out / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    name = "tokenizer_config.json"
    (out / name).write_bytes((source / name).read_bytes())


def main() -> None:
    """Convert the bundled model to the Hugging Face layout and grow it."""
    parser = argparse.ArgumentParser(description="The bundled model in the shape of CodeGen-350M.")
    parser.add_argument("folder", type=Path, help="must not exist yet")
    folder: Path = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as scratch:
        small = Path(scratch) / "small"
        convert_to("bundled", "hf", small, quantization="", home=home(), report=Silent())
        grow(small, folder)
    print(folder)


if __name__ == "__main__":
    main()
