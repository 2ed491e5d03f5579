"""Compiling for TPUs that are not there: the table, what does not fit, what is missing."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("jax", reason="the extra [train] is not installed")

from codegen_lsp.tpu import aot
from codegen_lsp.tpu.aot_chips import SIZES, TOPOLOGIES
from codegen_lsp.tpu.aot_compile import DECODE, PREFILL, Compiled, config_of

GIB = 1 << 30

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="the extra [tpu] is not installed"
)


def command(*arguments: str) -> tuple[int, str, dict[str, Any], list[str]]:
    """Exit code, table, the last line's object, and the lines of stderr of a run."""
    done = subprocess.run(
        [sys.executable, "-m", "codegen_lsp.tpu.aot", *arguments],
        capture_output=True,
        text=True,
        timeout=170,
    )
    lines = done.stdout.splitlines()
    summary: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return done.returncode, "\n".join(lines[:-2]), summary, done.stderr.splitlines()


def made(**change: Any) -> Compiled:
    """A program of 12 GiB on a chip of 16."""
    row: dict[str, Any] = {
        "topology": "v5e:2x2",
        "devices": 4,
        "weights": "int8",
        "step": DECODE,
        "arguments": 10 * GIB,
        "temporaries": 2 * GIB,
        "beside": 0,
        "memory": 16 * GIB,
        "scheduled": 0.0101,
        "optimum": None,
        "floor": 0.008,
        "compiling": 3.0,
    }
    return Compiled(**row | change)


@pytest.mark.parametrize(
    ("change", "needed", "fits"),
    [
        ({}, 12, True),
        ({"beside": 4 * GIB}, 16, True),
        ({"beside": 4 * GIB + 1}, 16, False),
        ({"temporaries": None}, 10, False),
    ],
)
def test_all_that_lies_in_memory_must_fit(change: dict[str, Any], needed: int, fits: bool) -> None:
    """Arguments, temporaries and the cache beside; nothing fits where the compiler gave up."""
    row = made(**change)
    assert (row.needed // GIB, row.fits) == (needed, fits)


def test_the_table_is_markdown() -> None:
    """One line for each program, a dash where nothing is known."""
    lines = aot.table([made(), made(step=PREFILL, temporaries=None, scheduled=None)]).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[0].startswith("| chips | weights | step | arguments | temporaries |")
    assert lines[2] == (
        "| v5e:2x2 | int8 | decode | 10.00 | 2.00 | 0.00 | 12.00 | 16.00 | yes | 10.1 | - | 8.0 |"
    )
    assert "| - | 0.00 | 10.00 | 16.00 | no | - | - | 8.0 |" in lines[3]


@pytest.mark.parametrize("name", SIZES)
def test_every_size_can_be_divided_among_the_chips_of_every_topology(name: str) -> None:
    """No published model is refused by the table of topologies."""
    from codegen_lsp.tpu.sharding import check_divisible

    for topology in TOPOLOGIES.values():
        check_divisible(config_of(SIZES[name], "int8"), topology.chips)


def test_sixteen_billion_parameters() -> None:
    """The shapes of 16B hold 16 billion parameters; nothing is allocated to know it."""
    import jax

    from codegen_lsp.tpu.serving_weights import parameter_shapes

    leaves = jax.tree.leaves(parameter_shapes(config_of(SIZES["16B"], "bfloat16")))
    assert sum(leaf.size for leaf in leaves) == 16_032_155_648


@pytest.mark.parametrize("package", ["jax", "flax", "libtpu"])
def test_a_missing_package_is_one_line_that_says_what_to_install(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command needs the extra [tpu]."""

    def find(name: str) -> object:
        return None if name == package else object()

    monkeypatch.setattr(importlib.util, "find_spec", find)
    assert aot.main([]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert f"needs the package {package}; on Linux x86-64: pip install 'codegen-lsp[tpu]'" in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--prompt", "2049"], 1, "a prompt of 2049 tokens"),
        (["--context", "1024"], 1, "a context of 1024 are no pair"),
        (["--rows", "0"], 2, "'0' is no number above 0"),
        (["--topology", "v3:2x2"], 2, "invalid choice: 'v3:2x2'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage never reaches the compiler."""
    try:
        found = aot.main(arguments)
    except SystemExit as ended:
        found = int(str(ended.code))
    assert (found, said in capsys.readouterr().err) == (code, True)


@needs_libtpu
@pytest.mark.timeout(180)
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_block_is_compiled_for_every_topology(topology: str) -> None:
    """One block of 16B, int8, decoding: memory, times and the fit come from the compiler."""
    asked = ("--blocks", "1", "--topology", topology, "--weights", "int8", "--step", DECODE)
    code, table, summary, _ = command(*asked)
    assert (code, summary["fits"], summary["blocks"]) == (0, True, 1)
    (row,) = summary["rows"]
    there = TOPOLOGIES[topology]
    assert (row["devices"], row["memory"]) == (there.chips, there.chip.memory)
    matrices = 12 * 6144**2 + 2 * 51_200 * 6144
    cache = 2 * 8 * 2048 * 6144 * 2
    assert row["arguments"] == pytest.approx((matrices + cache) / there.chips, rel=0.01)
    assert 0 < row["temporaries"] < 0.2 * row["arguments"]
    assert 0 < row["floor"] < row["optimum"] < 0.1
    assert 0 < row["scheduled"] < 0.1
    assert table.count("\n") == 2


@needs_libtpu
@pytest.mark.timeout(180)
def test_what_does_not_fit_fails_after_the_table() -> None:
    """Thousands of caches beside a prompt: the table is printed, the error is one line."""
    asked = ("--model", "350M", "--blocks", "1", "--topology", "v5e:2x2", "--weights", "bfloat16")
    code, table, summary, said = command(
        *asked, "--step", PREFILL, "--prompt", "8", "--rows", "9000"
    )
    assert (code, summary["fits"], summary["rows"][0]["fits"]) == (1, False, False)
    assert "| no |" in table
    assert said[-1].startswith("error: prefill with bfloat16 weights needs 17.")
    assert said[-1].endswith("; use int8 weights, more chips, fewer rows or a shorter context")
