"""The TPUs that CodeGen is compiled for ahead of time, and the models: tables, no jax.

Knows for each topology what libtpu must be told, and for each chip what it can do at most. Does
not know what a program needs (``aot_compile``).

Sources: cloud.google.com/tpu/docs, the pages of v4, v5e and v6e (bandwidth, peak); memory is what
libtpu 0.0.52 calls available when a program exceeds it; of the operations that the matrix units do
in a cycle its schedules of large products reach 93% (v4), 97% (v5e) and 87% (v6e).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["SIZES", "TOPOLOGIES", "Chip", "Size", "Topology"]

_GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip, which is one device to jax."""

    name: str
    memory: int
    """Bytes of HBM that a program may use: libtpu keeps the rest for itself."""
    bandwidth: float
    """Bytes of HBM read in a second."""
    peak: float
    """Multiplications and additions of bfloat16 in a second."""
    cycle: int
    """The same in a cycle: matrix units, times twice the square of their size."""

    @property
    def clock(self) -> float:
        """Cycles in a second."""
        return self.peak / self.cycle


@dataclass(frozen=True, slots=True)
class Topology:
    """Chips that are wired together, as libtpu calls them."""

    name: str
    """The name of the topology."""
    chip: Chip
    chips: int
    accelerator_type: str
    """What the environment variable ``TPU_ACCELERATOR_TYPE`` says on such a machine."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What libtpu is asked for beside the name."""


@dataclass(frozen=True, slots=True)
class Size:
    """The shape of a published CodeGen 1 or 2; all have 51,200 rows and 2,048 positions."""

    width: int
    blocks: int
    heads: int
    rotary: int


_V4: Final = Chip("v4", int(30.75 * _GIB), 1.228e12, 275e12, 8 * 2 * 128**2)
_V5E: Final = Chip("v5e", int(15.75 * _GIB), 0.819e12, 197e12, 4 * 2 * 128**2)
_V6E: Final = Chip("v6e", int(31.24 * _GIB), 1.64e12, 918e12, 4 * 2 * 256**2)

TOPOLOGIES: Final[Mapping[str, Topology]] = {
    there.name: there
    for there in (
        Topology("v5e:2x2", _V5E, 4, "v5litepod-4"),
        Topology("v5e:2x4", _V5E, 8, "v5litepod-8"),
        # A chip of v4 has two cores, which act as one device where they are asked to.
        Topology("v4:2x2x1", _V4, 4, "v4-8", {"chip_config_name": "megacore"}),
        Topology("v6e:2x2", _V6E, 4, "v6e-4"),
        Topology("v6e:2x4", _V6E, 8, "v6e-8"),
    )
}
"""By name, in the order of the table that is printed."""

SIZES: Final[Mapping[str, Size]] = {
    "350M": Size(1024, 20, 16, 32),
    "2B": Size(2560, 32, 32, 64),
    "6B": Size(4096, 33, 16, 64),
    "16B": Size(6144, 34, 24, 64),
}
"""By the name of the published model."""
