"""How much memory a conversion takes at most, computed from shapes alone.

    python -m codegen_lsp.converters.accounting

Nobody here can convert a 16B checkpoint in a test; this adds up what the converters allocate for
the worst tensor of it. The test beside it holds the sums to what small conversions really allocate.

Knows what ``pickled``, ``to_hf``, ``codegen`` and ``ct2_file`` keep at the same time, and has to be
kept in step with them. Does not read anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from .ct2_file import BLOCK, QUANTIZATIONS
from .shape import Shape
from .to_hf import hf_shapes

__all__ = ["PUBLISHED", "Account", "account", "main"]

PUBLISHED: Final[Mapping[str, Shape]] = {
    "350M": Shape(51200, 2048, 1024, 20, 16, 32, eos_token_id=50256),
    "2B": Shape(51200, 2048, 2560, 32, 32, 64, eos_token_id=50256),
    "6B": Shape(51200, 2048, 4096, 33, 16, 64, eos_token_id=50256),
    "16B": Shape(51200, 2048, 6144, 34, 24, 64, eos_token_id=50256),
}
"""The shapes of CodeGen 1."""

PROGRAM: Final = 300 * 2**20
"""Bytes of the interpreter with numpy and CTranslate2 imported."""

SHARD: Final = 10 * 10**9
"""Bytes at which published checkpoints are cut into files."""

_ITEM: Final = {"float32": 4, "float16": 2, "bfloat16": 2}
_STORED: Final = {"int8": 1, "float16": 2, "bfloat16": 2, "float32": 4}
_BLOCKWISE: Final = {"int8": 8, "float16": 1, "bfloat16": 12, "float32": 1}
"""Bytes per element of the block that is being quantized or looked at."""

_FUSED: Final = ".qkv_proj.weight"


@dataclass(frozen=True, slots=True)
class Account:
    """Bytes that the conversion of one model needs at most, the program not counted."""

    parameters: int
    """Number of weights."""

    checkpoint: int
    """Of all weights as they are published."""

    tensor: int
    """Of the largest tensor as it is published."""

    converting: int
    """While the model file is written."""

    reading: int
    """While the numpy reference computes logits of a short text from the checkpoint."""

    stored: int
    """Of the model file's weights, which is also what the engine holds when it is compared."""

    @property
    def peak(self) -> int:
        """Of conversion and comparison together: the engine stays while the reference reads."""
        return max(self.converting, self.stored + self.reading)

    def allowed(self, shard: int = SHARD) -> int:
        """What the conversion may take: 1.3 times the largest file, and one tensor."""
        return int(1.3 * min(shard, self.checkpoint)) + self.tensor


def account(shape: Shape, source: str = "float16", quantization: str = "int8") -> Account:
    """What converting a CodeGen of *shape* takes.

    *source* is how its weights are published: float32, float16 or bfloat16.
    """
    sizes = {name: math.prod(axes) for name, axes in hf_shapes(shape).items()}
    item, kind = _ITEM[source], QUANTIZATIONS[quantization][0]
    return Account(
        parameters=sum(sizes.values()),
        checkpoint=item * sum(sizes.values()),
        tensor=item * max(sizes.values()),
        converting=max(_writing(name, n, source, kind) for name, n in sizes.items()),
        reading=max(_computing(name, n, source) for name, n in sizes.items()),
        stored=_STORED[kind] * sum(sizes.values()),
    )


def _making(name: str, count: int, source: str) -> tuple[int, int]:
    """Bytes that are held at most while an array is made, and that it has in the end."""
    held = 4 if source == "bfloat16" else _ITEM[source]
    widening = count * (held + 2) if source == "bfloat16" else 0
    # The fused weights, their three parts, and both put together in another order.
    rearranging = 3 * count * held if name.endswith(_FUSED) else 0
    return max(widening, rearranging, count * held), count * held


def _writing(name: str, count: int, source: str, kind: str) -> int:
    """One tensor made, and then stored as *kind*, block by block."""
    making, made = _making(name, count, source)
    return max(making, made + count * _STORED[kind] + min(count, BLOCK) * _BLOCKWISE[kind])


def _computing(name: str, count: int, source: str) -> int:
    """One tensor made, and then widened to float32 for a product."""
    making, made = _making(name, count, source)
    return max(making, made + (0 if source in ("float32", "bfloat16") else 4 * count))


def main() -> int:
    """Print the table; returns the exit code."""
    table = Table(
        "model", "parameters", "from", "largest tensor", "converting", "allowed", "int8 file"
    )
    table.add_column("with the comparison")
    for name, shape in PUBLISHED.items():
        for source in ("float16", "float32"):
            sums = account(shape, source)
            table.add_row(
                name,
                f"{sums.parameters:,}",
                source,
                *(
                    f"{size / 1e9:.2f} GB"
                    for size in (
                        sums.tensor,
                        sums.converting + PROGRAM,
                        sums.allowed(),
                        sums.stored,
                        sums.peak + PROGRAM,
                    )
                ),
            )
    console = Console()
    # A table that is read by a program is not cut to the width of a terminal it has not.
    Console(width=None if console.is_terminal else 110).print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
