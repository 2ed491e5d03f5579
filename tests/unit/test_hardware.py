"""Threads by the size of a model, the machine's name, and models that do not fit."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from codegen_lsp.engines import hardware
from codegen_lsp.engines.hardware import (
    SMALL,
    Machine,
    available_memory,
    default_threads,
    fingerprint,
    refuse_if_too_large,
)
from codegen_lsp.errors import EngineUnavailableError

GIB = 1 << 30


@pytest.mark.parametrize(
    ("weights", "threads"), [(None, 4), (9 << 20, 1), (SMALL - 1, 1), (SMALL, 4), (7 * GIB, 4)]
)
def test_a_small_model_gets_one_thread(weights: int | None, threads: int) -> None:
    """Two would wait for each other longer than they compute."""
    assert default_threads(Machine(4, 8, GIB, "x86_64"), weights) == threads


@pytest.mark.parametrize(
    ("needed", "free", "refused"),
    [(GIB, GIB, False), (GIB + 1, GIB, True), (7 * GIB, 4 * GIB, True), (0, 0, False)],
)
def test_a_model_larger_than_memory(needed: int, free: int, refused: bool) -> None:
    """Refused, with both figures."""
    if not refused:
        refuse_if_too_large("m", needed, free)
        return
    with pytest.raises(EngineUnavailableError) as error:
        refuse_if_too_large("m", needed, free)
    assert f"m needs {needed / GIB:.1f} GiB of memory, {free / GIB:.1f} GiB are free" in str(
        error.value
    )


@pytest.mark.parametrize(
    ("limit", "used", "stat", "expected"),
    [
        ("max", "5", None, None),
        (str(3 * GIB), str(GIB), None, 2 * GIB),
        (str(GIB), str(3 * GIB), None, 0),
        (None, "5", None, None),
        ("nonsense", "5", None, None),
        # What is in files is given up when asked: a model that was just downloaded, above all.
        (str(3 * GIB), str(3 * GIB), f"anon 5\nactive_file {GIB}\ninactive_file {GIB}", 2 * GIB),
        (str(3 * GIB), str(GIB), f"inactive_file {2 * GIB}", 3 * GIB),
        (str(3 * GIB), str(GIB), "inactive_file nonsense", 2 * GIB),
    ],
)
def test_a_container_may_leave_less(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: str | None,
    used: str,
    stat: str | None,
    expected: int | None,
) -> None:
    """What it leaves counts, where it says so; else what the machine has."""
    free = 100 * GIB
    monkeypatch.setattr(hardware, "_MEMORY_MAX", tmp_path / "max")
    monkeypatch.setattr(hardware, "_MEMORY_NOW", tmp_path / "now")
    monkeypatch.setattr(hardware, "_MEMORY_STAT", tmp_path / "stat")
    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=free))
    if limit is not None:
        (tmp_path / "max").write_text(limit + "\n")
    (tmp_path / "now").write_text(used + "\n")
    if stat is not None:
        (tmp_path / "stat").write_text(stat + "\n")
    assert available_memory() == (free if expected is None else expected)


def test_a_machine_has_a_name() -> None:
    """Always the same, and with its cores."""
    assert fingerprint() == fingerprint()
    assert fingerprint().endswith(" cores")
    assert not fingerprint().startswith(",")
