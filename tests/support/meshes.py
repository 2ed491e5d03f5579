"""The JAX model on meshes of pretended devices, in a process of its own: ``python -m`` this.

Reads one JSON object from stdin: ``folder`` (a Hugging Face CodeGen), ``prompts``, ``count``,
``ways`` and ``weights``. Prints one: for each number of devices the greedy answers, the logits of
the first prompt, and how many bytes of parameters each device holds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codegen_lsp.converters.shape import Shape

if TYPE_CHECKING:
    from codegen_lsp.tpu.model import CodeGenConfig

DEVICES = 8


def on_meshes(
    folder: Path,
    prompts: Sequence[Sequence[int]],
    count: int,
    ways: Sequence[int],
    weights: str = "float32",
) -> dict[int, dict[str, Any]]:
    """What the program answers, by number of devices."""
    asked = {
        "folder": str(folder),
        "prompts": prompts,
        "count": count,
        "ways": ways,
        "weights": weights,
    }
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={DEVICES}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.meshes"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env=environment,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr
    return {int(way): found for way, found in json.loads(done.stdout.splitlines()[-1]).items()}


def served(shape: Shape, weights: str, matmul_dtype: str = "float32") -> CodeGenConfig:
    """A shape as the JAX model has it, for serving."""
    from codegen_lsp.tpu.model import CodeGenConfig

    return CodeGenConfig(
        vocab_size=shape.vocab_size,
        n_positions=shape.n_positions,
        n_embd=shape.n_embd,
        n_layer=shape.n_layer,
        n_head=shape.n_head,
        rotary_dim=shape.rotary_dim,
        layer_norm_epsilon=shape.layer_norm_epsilon,
        matmul_dtype=matmul_dtype,
        weights=weights,
    )


def main() -> None:
    """The program."""
    import jax
    import numpy as np

    from codegen_lsp.converters.checkpoint import open_checkpoint, read_config
    from codegen_lsp.converters.to_hf import from_hf_tensors
    from codegen_lsp.tpu.serving import empty_cache, greedy, make_step
    from codegen_lsp.tpu.serving_weights import place
    from codegen_lsp.tpu.sharding import make_mesh

    asked = json.load(sys.stdin)
    folder = Path(asked["folder"])
    shape = Shape.from_config(read_config(folder))
    plain = from_hf_tensors(open_checkpoint(folder), shape)
    model = served(shape, asked["weights"])
    answers = {}
    for ways in asked["ways"]:
        mesh = make_mesh(ways)
        params = place(plain, model, mesh)
        prompt = np.asarray(asked["prompts"][:1])
        start, last = np.zeros(1, np.int32), np.asarray([prompt.shape[1] - 1])
        cache = empty_cache(model, 1, prompt.shape[1], mesh)
        answer = jax.jit(make_step(model))(params, prompt, start, last, cache)
        answers[ways] = {
            "texts": greedy(model, params, asked["prompts"], asked["count"], mesh),
            "logits": np.asarray(answer.logits)[0].tolist(),
            "bytes": [
                sum(leaf.addressable_shards[i].data.nbytes for leaf in jax.tree.leaves(params))
                for i in range(ways)
            ],
        }
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
