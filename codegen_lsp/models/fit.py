"""Whether a model fits a machine: the memory it takes, and the memory there is.

An estimate for the worst case, a prompt that fills the context: weights as CTranslate2 stores them,
keys and values of every token, and what reading such a prompt takes in passing (its attention
compares every token with every other at once, so this part grows with the square of the context).
Compared with the peak of a process that only runs CTranslate2 4.8.5 (random CodeGens of width 1024,
4 and 8 layers, prompts of 10 to 2,000 tokens, int8 and float32, on a CPU) it lies 4 to 27 % above.
Nothing was compared on a GPU.

Knows sizes only. Does not know speed, or whether a device is there (``engines``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import psutil

from codegen_lsp.errors import UsageError
from codegen_lsp.models.catalog import Entry
from codegen_lsp.models.dimensions import Dimensions, matrices, vector_weights

__all__ = [
    "COMPUTE_TYPES",
    "OVERHEAD",
    "Fit",
    "fits",
    "machine_memory",
    "memory_bytes",
    "smallest_machine",
    "verdict",
    "weight_bytes",
]

Verdict = Literal["fits", "tight", "too big"]


@dataclass(frozen=True, slots=True)
class Storage:
    """What a compute type makes of numbers."""

    weight: int
    """Bytes of a number in a matrix."""

    row: int
    """Bytes beside each row of a matrix, for its scale."""

    state: int
    """Bytes of a number that is computed, and of one in a bias or a norm."""

    where: str
    """The device it is for."""


COMPUTE_TYPES: Final[Mapping[str, Storage]] = {
    "int8": Storage(1, 4, 4, "CPU"),
    "float16": Storage(2, 0, 2, "GPU"),
    "float32": Storage(4, 0, 4, "CPU"),
}
"""The compute types that differ in memory; a CPU computes int8 and float16 in float32."""

_SAME: Final[Mapping[str, str]] = {
    "int8_float32": "int8",
    "int8_float16": "int8",
    "int8_bfloat16": "int8",
    "bfloat16": "float16",
}
"""Compute types that need what another needs, or less."""

OVERHEAD: Final = 120 * 2**20
"""Bytes of the server without a model: Python, the engine's library, the tokenizer."""

_COMFORTABLE, _POSSIBLE = 0.6, 0.85
"""Shares of a machine's memory that a model may take beside an editor and a browser."""

_MACHINES: Final[Sequence[tuple[int, str]]] = (
    *((size, f"{size} GB laptop") for size in (4, 8, 16, 32, 64)),
    *((size, f"{size} GB server") for size in (128, 256, 512, 1024)),
)
"""Memory in GiB, as it is sold, and what to call it."""

_CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class Fit:
    """How a model and a machine go together."""

    verdict: Verdict

    needed: int
    """Bytes."""

    instead: str = ""
    """A compute type of a CPU that would do, where the one asked for is too much."""


def _storage(compute_type: str) -> Storage:
    known = _SAME.get(compute_type, compute_type)
    if known not in COMPUTE_TYPES:
        raise UsageError(
            f"unknown compute type {compute_type!r}",
            mend=f"use one of {', '.join([*COMPUTE_TYPES, *_SAME])}",
        )
    return COMPUTE_TYPES[known]


def weight_bytes(of: Dimensions, compute_type: str) -> int:
    """Bytes of the weights, in memory and on disk.

    :raises UsageError: no such compute type.
    """
    storage = _storage(compute_type)
    rows = sum(rows * (storage.weight * columns + storage.row) for rows, columns in matrices(of))
    return rows + storage.state * vector_weights(of)


def _state_bytes(of: Dimensions, tokens: int, number: int) -> int:
    """Bytes beside the weights when a prompt of *tokens* is read."""
    # Keys and values; a decoder beside an encoder has those of its own tokens, too.
    halves = 2 if of.model_type == "t5" else 1
    kept = halves * of.layers * 2 * of.kv_width * tokens * number
    attention = of.heads * tokens * tokens * number
    hidden = tokens * (4 * of.width + 2 * of.ffn) * number
    return kept + attention + hidden


def memory_bytes(entry: Entry, compute_type: str, *, context: int | None = None) -> int:
    """Bytes that a process takes at most with this model.

    :param context: tokens of prompt and answer; by default all that the model can take.
    :raises UsageError: no such compute type.
    """
    tokens = min(context or entry.context_length, entry.context_length)
    state = _state_bytes(entry.shape, tokens, _storage(compute_type).state)
    return weight_bytes(entry.shape, compute_type) + state + OVERHEAD


def machine_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or what a container leaves."""
    total = int(psutil.virtual_memory().total)
    try:
        limit = int(_CGROUP_LIMIT.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or "max"
        return total
    return min(total, limit)


def fits(entry: Entry, compute_type: str, machine: int) -> Fit:
    """Whether *entry* runs in the *machine*'s bytes of memory, and if not, stored how it would.

    :raises UsageError: no such compute type.
    """
    needed = memory_bytes(entry, compute_type)
    found = verdict(needed, machine)
    instead = ""
    if found == "too big":
        others = [kind for kind, storage in COMPUTE_TYPES.items() if storage.where == "CPU"]
        smaller = (k for k in others if verdict(memory_bytes(entry, k), machine) != "too big")
        instead = next(smaller, "")
    return Fit(found, needed, instead)


def verdict(needed: int, machine: int) -> Verdict:
    """Whether *needed* bytes go well into the *machine*'s."""
    if needed <= _COMFORTABLE * machine:
        return "fits"
    return "tight" if needed <= _POSSIBLE * machine else "too big"


def smallest_machine(entry: Entry) -> str:
    """The smallest common machine that runs *entry* in int8 with room for other work."""
    needed = memory_bytes(entry, "int8")
    suitable = (name for size, name in _MACHINES if verdict(needed, size * 2**30) == "fits")
    return next(suitable, f"more than a {_MACHINES[-1][1]}")
