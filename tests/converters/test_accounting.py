"""The sums about memory, held to what small conversions really allocate."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from codegen_lsp.converters import accounting
from codegen_lsp.converters.accounting import PROGRAM, PUBLISHED, account
from codegen_lsp.converters.shape import Shape
from codegen_lsp.converters.to_ct2 import convert
from codegen_lsp.models.manifest import Manifest
from tests.support.shaped import write_checkpoint
from tests.support.tiny import write_tokenizer

GB = 10**9


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("350M", 356_712_448), ("2B", 2_779_356_160), ("6B", 7_064_213_504), ("16B", 16_032_155_648)],
)
def test_the_published_sizes(name: str, parameters: int) -> None:
    """The shapes give the published numbers of weights."""
    assert account(PUBLISHED[name]).parameters == parameters


@pytest.mark.parametrize("source", ["float16", "float32", "bfloat16"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_every_conversion_is_within_what_is_allowed(name: str, source: str) -> None:
    """At most 1.3 times the largest file and one tensor, however it is stored."""
    for quantization in ("int8", "float16", "bfloat16", "float32"):
        sums = account(PUBLISHED[name], source, quantization)
        assert sums.converting <= sums.allowed()


def test_16b_fits_a_machine_of_24_gb() -> None:
    """Conversion takes a few, and the comparison with the int8 engine loaded still fits."""
    sums = account(PUBLISHED["16B"])
    assert sums.converting + PROGRAM < 2 * GB
    assert sums.peak + PROGRAM < 24 * GB


WIDE = Shape(vocab_size=8000, n_positions=64, n_embd=256, n_layer=2, n_head=4, rotary_dim=32)
"""The largest tensor is the embedding, as in 350M."""

DEEP = Shape(vocab_size=400, n_positions=64, n_embd=768, n_layer=2, n_head=4, rotary_dim=32)
"""The largest tensor is a layer's, as it would be with a small vocabulary."""


@pytest.mark.parametrize("shape", [WIDE, DEEP], ids=["wide", "deep"])
@pytest.mark.parametrize(
    ("source", "quantization"),
    [("float16", "int8"), ("float32", "int8"), ("float32", "float16"), ("float16", "float32")],
)
def test_the_sums_are_what_is_allocated(
    tmp_path: Path, shape: Shape, source: str, quantization: str
) -> None:
    """The traced peak of a conversion is below the sum and not far below."""
    folder = write_checkpoint(tmp_path / "hf", shape, dtype=source)
    write_tokenizer(folder / "tokenizer.json")
    manifest = Manifest(name="m", context_length=2)
    convert(folder, tmp_path / "first", manifest, quantization)  # imports are not counted
    tracemalloc.start()
    convert(folder, tmp_path / "second", manifest, quantization)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    expected = account(shape, source, quantization).converting
    small = 4 << 20  # vocabularies, digests of files, names
    assert 0.5 * expected <= peak <= expected + small


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Every size has its lines."""
    assert accounting.main() == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in PUBLISHED)
