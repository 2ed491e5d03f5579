"""One step of CodeGen compiled for a TPU that is not there, and what the compiler says about it.

Knows how libtpu is reached, which program is compiled (``serving``, cut by ``sharding``) and where
a compiled program says what it needs. No weights exist: shapes are enough.

Does not know tables or exit codes (``aot``). The times are no measurements: the compiler counts
cycles of instructions, not the waits for memory and for other chips.
"""

from __future__ import annotations

import math
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import Mesh

from codegen_lsp.errors import EngineUnavailableError
from codegen_lsp.tpu.aot_chips import Chip, Size, Topology
from codegen_lsp.tpu.model import CodeGenConfig
from codegen_lsp.tpu.serving import cache_shapes, make_step
from codegen_lsp.tpu.serving_weights import parameter_shapes
from codegen_lsp.tpu.sharding import make_mesh, placed_shape, replicated

__all__ = ["DECODE", "PREFILL", "Compiled", "Load", "compile_step", "config_of", "mesh_of"]

DECODE: Final = "decode"
PREFILL: Final = "prefill"

_ENTRY: Final = "\nENTRY "
_CYCLES: Final = re.compile(r'"estimated_cycles":"(\d+)"')
_OUT_OF_MEMORY: Final = "RESOURCE_EXHAUSTED"


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a slice."""

    rows: int = 8
    """Texts that are written at the same time."""
    context: int = 2048
    """Tokens of each that the cache has room for."""
    prompt: int = 1536
    """Tokens of the prompt that is read in one step, for one text."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """One program on one topology; bytes are those of one device."""

    topology: str
    devices: int
    weights: str
    """Type of the matrices."""
    step: str
    """`DECODE` (a token for every row) or `PREFILL` (the prompt of one row)."""
    arguments: int
    """Weights, cache and the rest that is there before the step."""
    temporaries: int | None
    """What the step needs for itself, its code and answer included; None where the compiler gave
    up, since it found no way to make the step fit."""
    beside: int
    """What lies there without being an argument: the rows' cache while a prompt is read."""
    memory: int
    """What the device has."""
    scheduled: float | None
    """Seconds: the cycles that the compiler expects of all instructions, where it says so."""
    optimum: float | None
    """Seconds: the sum of what the compiler calls optimal for each instruction, which counts copies
    into fast memory as well; None where it says nothing. To 0.2 ms."""
    floor: float
    """Seconds in which the memory that a step must read can be read, or its products be formed at
    the chip's peak, whichever is longer."""
    compiling: float
    """Seconds that compiling took here."""

    @property
    def needed(self) -> int:
        """Bytes in use while the step runs."""
        return self.arguments + (self.temporaries or 0) + self.beside

    @property
    def fits(self) -> bool:
        """Whether a device has that much."""
        return self.temporaries is not None and self.needed <= self.memory


def config_of(size: Size, weights: str, blocks: int | None = None) -> CodeGenConfig:
    """A published model's configuration for serving, with only *blocks* blocks if given."""
    return CodeGenConfig(
        n_embd=size.width,
        n_layer=blocks or size.blocks,
        n_head=size.heads,
        rotary_dim=size.rotary,
        matmul_dtype="bfloat16",
        weights=weights,
    )


def mesh_of(topology: Topology) -> Mesh:
    """All devices of a topology, which need not be there.

    :raises EngineUnavailableError: libtpu cannot be loaded or does not know the topology.
    """
    try:
        found = topologies.get_topology_desc(
            platform="tpu", topology_name=topology.name, **topology.options
        )
    except Exception as error:  # jax raises RuntimeError, ValueError, its own and others'
        raise EngineUnavailableError(
            f"libtpu does not give the topology {topology.name}: {error}",
            mend="install the libtpu that belongs to this jax: pip install 'codegen-lsp[tpu]'",
        ) from error
    devices: Sequence[Any] = found.devices
    return make_mesh(len(devices), devices)


def compile_step(topology: Topology, config: CodeGenConfig, step: str, load: Load) -> Compiled:
    """Compile *step* for *topology*.

    :raises EngineUnavailableError: see `mesh_of`.
    :raises UsageError: the model cannot be divided among the chips.
    """
    mesh = mesh_of(topology)
    arguments = _arguments(config, mesh, step, load)
    began = time.monotonic()
    temporaries, cycles, optimum = _compile(config, arguments, f"{step} for {topology.name}")
    cache = cache_shapes(config, load.rows, load.context, mesh)
    return Compiled(
        topology=topology.name,
        devices=mesh.size,
        weights=config.weights,
        step=step,
        arguments=_bytes(arguments),
        temporaries=temporaries,
        beside=0 if step == DECODE else _bytes(cache),
        memory=topology.chip.memory,
        scheduled=None if cycles is None else cycles / topology.chip.clock,
        optimum=optimum,
        floor=_floor(config, arguments, topology.chip, mesh.size),
        compiling=time.monotonic() - began,
    )


def _arguments(config: CodeGenConfig, mesh: Mesh, step: str, load: Load) -> tuple[Any, ...]:
    """Shapes of what a step of `serving` is called with."""
    rows, count = (load.rows, 1) if step == DECODE else (1, load.prompt)
    everywhere = replicated(mesh)

    def integers(*shape: int) -> jax.ShapeDtypeStruct:
        return placed_shape(shape, jnp.int32, everywhere)

    cache = cache_shapes(config, rows, load.context, mesh)
    params = parameter_shapes(config, mesh)
    return params, integers(rows, count), integers(rows), integers(rows), cache


def _compile(
    config: CodeGenConfig, arguments: tuple[Any, ...], what: str
) -> tuple[int | None, int | None, float | None]:
    """Bytes that the step needs for itself, its cycles, and the optimum in seconds.

    The text of the program is read from the compiler's dump, since for some chips the program
    that jax hands out cannot be printed.
    """
    lowered = jax.jit(make_step(config), donate_argnums=4).lower(*arguments)
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, str | bool] = {"xla_dump_to": folder, "xla_dump_hlo_as_text": True}
        try:
            program = lowered.compile(compiler_options=options)
        except jax.errors.JaxRuntimeError as error:
            if _OUT_OF_MEMORY in str(error):
                return None, None, None
            raise EngineUnavailableError(f"libtpu cannot compile {what}: {error}") from error
        cycles = _cycles(Path(folder))
    sizes: Any = program.memory_analysis()
    own = sizes.temp_size_in_bytes + sizes.generated_code_size_in_bytes
    own += sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    return own, cycles, _optimum(program.cost_analysis())


def _cycles(dump: Path) -> int | None:
    """The cycles of a program's instructions; those of loops and calls are not in the sum."""
    for path in dump.glob("*.after_codegen.txt"):
        text = path.read_text(encoding="utf-8", errors="replace")
        found = _CYCLES.findall(text, max(0, text.find(_ENTRY)))
        if found:
            return sum(map(int, found))
    return None


def _optimum(costs: Any) -> float | None:
    """The compiler's optimum, without the -1 that it adds for every instruction it cannot judge.

    Only for sums below a second, which a step is.
    """
    seconds = (costs or {}).get("optimal_seconds")
    return None if seconds is None else float(seconds) - math.floor(seconds)


def _bytes(shapes: Any) -> int:
    """Bytes of an argument on one device."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(shapes)
    )


def _floor(config: CodeGenConfig, arguments: tuple[Any, ...], chip: Chip, ways: int) -> float:
    """Seconds that a step takes at least: of the embedding only a few rows are read."""
    params, tokens, *_ = arguments
    read = _bytes(arguments) - _bytes(params["wte"])
    block = 12 * config.n_embd**2
    head = config.vocab_size * config.n_embd
    products = tokens.size * config.n_layer * block + tokens.shape[0] * head
    seconds: float = max(read / chip.bandwidth, 2 * products / ways / chip.peak)
    return seconds
