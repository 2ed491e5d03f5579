"""Held-out bits per byte, exactly.

Knows: sliding windows over a file, and what each of them scores.
Does not know: training, checkpoints, or which files are held out (``data``).

Every token but those of a file's first window is predicted from at least half a window of
context. Bits per byte do not depend on the tokenizer, which perplexity does.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from codegen_lsp.tpu.data import HeldOutFile
from codegen_lsp.tpu.model import CodeGen, CodeGenConfig
from codegen_lsp.tpu.tokenizer import END_OF_TEXT_ID

BATCH = 4
"""Windows scored at once; small, since a CPU gains nothing from more."""


@dataclass(frozen=True)
class BitsPerByte:
    """What a model needs to write down the held-out text, in total and per package."""

    total: float
    """Sum of -log2 p over all tokens, divided by all UTF-8 bytes."""
    packages: dict[str, float]
    """The same for every package alone."""
    tokens: int
    """Tokens scored."""
    n_bytes: int
    """Bytes scored."""


@dataclass(frozen=True)
class _Window:
    file: int
    inputs: NDArray[np.int32]
    targets: NDArray[np.int32]
    scored: NDArray[np.float32]


def windows(tokens: NDArray[np.integer], length: int) -> Iterator[tuple[int, int, int]]:
    """Windows (start, end, first scored) over predictions 0..n-1 of a file of n tokens.

    Prediction i is of token i from the tokens before it. Windows advance by half their length;
    every prediction is scored once.
    """
    done, start, count = 0, 0, len(tokens)
    while done < count:
        end = min(start + length, count)
        yield start, end, done
        done, start = end, start + length // 2


def _padded(file: int, tokens: NDArray[np.integer], length: int) -> Iterator[_Window]:
    stream = np.concatenate(([END_OF_TEXT_ID], tokens)).astype(np.int32)
    for start, end, first in windows(tokens, length):
        inputs = np.zeros(length, np.int32)
        targets = np.zeros(length, np.int32)
        scored = np.zeros(length, np.float32)
        inputs[: end - start] = stream[start:end]
        targets[: end - start] = stream[start + 1 : end + 1]
        scored[first - start : end - start] = 1.0
        yield _Window(file, inputs, targets, scored)


Scorer = Callable[[Any, jax.Array, jax.Array, jax.Array], jax.Array]


def make_scorer(config: CodeGenConfig) -> Scorer:
    """A compiled function (params, inputs, targets, scored) -> nats of each window, [batch].

    The three arrays are [batch, length]; make it once, since compiling takes seconds.
    """
    graph = nnx.split(nnx.eval_shape(lambda: CodeGen(config, rngs=nnx.Rngs(0))))[0]

    @jax.jit
    def score(params: Any, inputs: jax.Array, targets: jax.Array, scored: jax.Array) -> jax.Array:
        model = nnx.merge(graph, nnx.State(params))

        def row(window: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
            hidden, target, mask = window
            logits = model.logits(hidden)
            picked = jnp.take_along_axis(logits, target[:, None], axis=-1)[:, 0]
            return jnp.sum((jax.nn.logsumexp(logits, axis=-1) - picked) * mask)

        nats: jax.Array = jax.lax.map(row, (model(inputs), targets, scored))
        return nats

    compiled: Scorer = score
    return compiled


def bits_per_byte(
    scorer: Scorer, params: Any, files: Sequence[HeldOutFile], n_positions: int
) -> BitsPerByte:
    """Bits per byte of `files` under `params`; `scorer` comes from `make_scorer`."""
    nats = np.zeros(len(files))
    pending = [w for i, file in enumerate(files) for w in _padded(i, file.tokens, n_positions)]
    for start in range(0, len(pending), BATCH):
        group = pending[start : start + BATCH]
        rows = group + [group[-1]] * (BATCH - len(group))
        scores = scorer(
            params,
            jnp.asarray(np.stack([w.inputs for w in rows])),
            jnp.asarray(np.stack([w.targets for w in rows])),
            jnp.asarray(np.stack([w.scored for w in rows])),
        )
        for window, score in zip(group, np.asarray(scores), strict=False):
            nats[window.file] += float(score)
    return _summary(nats / math.log(2), files)


def _summary(bits: NDArray[np.float64], files: Sequence[HeldOutFile]) -> BitsPerByte:
    package_bits: dict[str, float] = defaultdict(float)
    package_bytes: dict[str, int] = defaultdict(int)
    for amount, file in zip(bits, files, strict=True):
        package_bits[file.package] += float(amount)
        package_bytes[file.package] += file.n_bytes
    n_bytes = sum(package_bytes.values())
    return BitsPerByte(
        total=sum(package_bits.values()) / max(1, n_bytes),
        packages={name: package_bits[name] / package_bytes[name] for name in package_bits},
        tokens=sum(len(file.tokens) for file in files),
        n_bytes=n_bytes,
    )


def sample(files: Sequence[HeldOutFile], count: int) -> list[HeldOutFile]:
    """About `count` files, evenly spaced in order, the same every time."""
    return list(files[:: max(1, len(files) // count)][:count])
