"""Memory: what a model takes, what a machine has, and which one is enough."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.errors import UsageError
from codegen_lsp.models import fit
from codegen_lsp.models.catalog import CATALOG, Entry
from codegen_lsp.models.dimensions import codegen_shape
from codegen_lsp.models.fit import (
    COMPUTE_TYPES,
    OVERHEAD,
    fits,
    machine_memory,
    memory_bytes,
    smallest_machine,
    weight_bytes,
)
from codegen_lsp.models.manifest import read_manifest
from codegen_lsp.models.store import bundled_folder

GIB = 2**30
ENTRIES = st.sampled_from(list(CATALOG.values()))
TYPES = st.sampled_from([*COMPUTE_TYPES, "int8_float32", "int8_float16", "bfloat16"])


@pytest.mark.parametrize(
    ("name", "gib"),
    [
        ("codegen-350M-mono", 0.66),
        ("codegen-2B-mono", 5.2),
        ("codegen-6B-mono", 13.2),
        ("codegen-16B-mono", 29.9),
    ],
)
def test_weights_in_float16(name: str, gib: float) -> None:
    """As large as the published files are said to be."""
    assert weight_bytes(CATALOG[name].shape, "float16") / GIB == pytest.approx(gib, abs=0.06)


def test_weights_in_int8_are_as_large_as_the_file() -> None:
    """Of the bundled model, to one per cent; its head is the embedding and is there once."""
    written = read_manifest(bundled_folder()).files["model.bin"].size
    shape = replace(codegen_shape(5, 256, 4, 64, 32, 4), vocab=8192)
    head = 8192 * (256 + COMPUTE_TYPES["int8"].row)
    assert weight_bytes(shape, "int8") - head == pytest.approx(written, rel=0.01)


@pytest.mark.parametrize(
    ("name", "kib"),
    [("codegen-350M-mono", 160), ("codegen-2B-mono", 640), ("codegen-16B-mono", 1632)],
)
def test_keys_and_values_of_a_token(name: str, kib: int) -> None:
    """As known of CTranslate2 on a CPU, where they are float32."""
    shape = CATALOG[name].shape
    assert 2 * shape.layers * shape.kv_width * 4 == kib * 1024


MEASURED: tuple[tuple[int, int, str, int], ...] = (
    (4, 10, "int8", 213),
    (4, 1000, "int8", 347),
    (4, 2000, "int8", 621),
    (8, 2000, "int8", 724),
    (4, 2000, "float32", 1067),
)
"""Layers (width 1024, 16 heads), tokens of the prompt, compute type, peak of the process in MiB."""


@pytest.mark.parametrize(("layers", "tokens", "kind", "mib"), MEASURED)
def test_the_estimate_covers_what_was_measured(
    layers: int, tokens: int, kind: str, mib: int
) -> None:
    """It is never too low, and not much too high."""
    entry = replace(CATALOG["codegen-350M-mono"], shape=codegen_shape(layers, 1024, 16, 64, 32, 4))
    assert 1 <= memory_bytes(entry, kind, context=tokens) / 2**20 / mib < 1.3


@given(entry=ENTRIES, kind=TYPES, tokens=st.integers(1, 20_000))
def test_more_context_takes_more_memory(entry: Entry, kind: str, tokens: int) -> None:
    """Up to the model's own; beyond it there is nothing to keep."""
    most = memory_bytes(entry, kind)
    here = memory_bytes(entry, kind, context=tokens)
    assert weight_bytes(entry.shape, kind) + OVERHEAD < here <= most
    assert (here == most) == (tokens >= entry.context_length)


@given(entry=ENTRIES)
def test_wider_numbers_take_more_room(entry: Entry) -> None:
    """int8 is the smallest on disk, float32 four times that."""
    small, half, full = (weight_bytes(entry.shape, kind) for kind in COMPUTE_TYPES)
    assert small < half < full
    assert full == 4 * entry.parameters
    assert half == 2 * entry.parameters
    assert small < 1.1 * entry.parameters


@given(entry=ENTRIES, kind=TYPES, machine=st.integers(1, 200 * GIB))
def test_a_fit_says_what_would_do(entry: Entry, kind: str, machine: int) -> None:
    """More memory never fits worse; what is offered instead is smaller and goes."""
    found = fits(entry, kind, machine)
    order = ("too big", "tight", "fits")
    assert order.index(fits(entry, kind, machine + GIB).verdict) >= order.index(found.verdict)
    assert found.needed == memory_bytes(entry, kind)
    assert (found.verdict == "too big") == (found.needed > 0.85 * machine)
    if found.instead:
        assert found.verdict == "too big"
        assert fits(entry, found.instead, machine).verdict != "too big"


def test_int8_instead_of_float32() -> None:
    """A 2B that is too big in float32 runs in int8 on the same machine."""
    found = fits(CATALOG["codegen-2B-mono"], "float32", 8 * GIB)
    assert (found.verdict, found.instead) == ("too big", "int8")
    assert fits(CATALOG["codegen-16B-mono"], "int8", 8 * GIB).instead == ""


@pytest.mark.parametrize(
    ("name", "machine"),
    [
        ("codegen-350M-mono", "4 GB laptop"),
        ("codegen-2B-mono", "8 GB laptop"),
        ("codegen-6B-mono", "16 GB laptop"),
        ("codegen-16B-mono", "32 GB laptop"),
        ("starcoder", "64 GB laptop"),
    ],
)
def test_the_smallest_machine(name: str, machine: str) -> None:
    """It fits there, and would not on half of it, if there are smaller ones."""
    entry = CATALOG[name]
    assert smallest_machine(entry) == machine
    size = int(machine.split()[0]) * GIB
    assert fits(entry, "int8", size).verdict == "fits"
    assert size == 4 * GIB or fits(entry, "int8", size // 2).verdict != "fits"


def test_a_model_for_no_machine() -> None:
    """Sizes without end have a text, too."""
    huge = replace(CATALOG["codegen-16B-mono"], shape=codegen_shape(9999, 20480, 80, 256, 64, 4))
    assert smallest_machine(huge) == "more than a 1024 GB server"


@pytest.mark.parametrize(
    ("limit", "bound"), [("1048576\n", 1048576), ("max\n", None), ("", None), ("-", None)]
)
def test_a_container_has_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, bound: int | None
) -> None:
    """Its limit counts, where there is one."""
    total = machine_memory()
    (tmp_path / "memory.max").write_text(limit)
    monkeypatch.setattr(fit, "_CGROUP_LIMIT", tmp_path / "memory.max")
    assert machine_memory() == (bound or psutil.virtual_memory().total)
    assert total > 2**27


@pytest.mark.parametrize("kind", ["", "auto", "int4", "INT8"])
def test_an_unknown_compute_type(kind: str) -> None:
    """It is named, and so are those that there are."""
    with pytest.raises(UsageError, match="int8, float16, float32"):
        memory_bytes(CATALOG["codegen-350M-mono"], kind)
