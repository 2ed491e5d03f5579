"""The store under violence: killed before each of its steps, in the middle of a file, in parallel.

Whatever happens, a model is there whole or is not there, and the next change cleans up.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from codegen_lsp.errors import ModelNotFoundError
from codegen_lsp.models.store import damaged, find_model, install, installed, verify

if sys.platform == "win32":
    pytest.skip("processes cannot kill themselves like this", allow_module_level=True)

from tests.support.killed import FULL, Process, installing, removing, start
from tests.support.stored import left_over, make

NAME = "small"
MOST_STEPS = 400
"""More than any change takes; a loop that gets there would never end."""


@pytest.fixture(autouse=True)
def _not_that_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the end of the whole machine, not that of a process, would make a difference."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return make(tmp_path / "sources" / "old", NAME, "old")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return make(tmp_path / "sources" / "new", NAME, "new")


def content(home: Path) -> str:
    """What is installed, whole: ``old``, ``new`` or nothing."""
    listed = [model for model in installed(home) if model.name == NAME]
    assert damaged(home) == []
    try:
        model = find_model(NAME, home)
    except ModelNotFoundError:
        assert listed == []
        return ""
    verify(model, deep=True)
    assert listed == [model]
    return (model.path / "model.bin").read_text()[:3]


def ended(process: Process) -> int | None:
    """The exit code of a process that must end soon."""
    process.join(60)
    return process.exitcode


def kill_everywhere(
    prepare: Callable[[Path], object],
    run: Callable[[Path, int], Process],
    check: Callable[[Path], str],
    home: Path,
) -> list[str]:
    """Do ``run`` in a fresh store, killed before step 1, 2, … until it is through.

    Returns what *check* found after each of them.
    """
    seen: list[str] = []
    for step in range(1, MOST_STEPS):
        shutil.rmtree(home, ignore_errors=True)
        prepare(home)
        code = ended(run(home, step))
        assert code in (0, -signal.SIGKILL)
        seen.append(check(home))
        if code == 0:
            return seen
    raise AssertionError("it never came through")


def by_hand(home: Path, source: Path) -> None:
    shutil.copytree(source, home / "models" / NAME)


BEFORE: dict[str, Callable[[Path, Path], object]] = {
    "an older version": lambda home, source: install(source, home),
    "a folder put there by hand": by_hand,
    "nothing": lambda home, source: None,
}


@pytest.mark.parametrize("before", BEFORE)
def test_an_installation_killed_before_each_step(
    tmp_path: Path, old: Path, new: Path, before: str
) -> None:
    """The old model, whole, until the new one is there, whole; then nothing is in the way."""
    first = "" if before == "nothing" else "old"

    def check(home: Path) -> str:
        found = content(home)
        assert found in (first, "new")
        install(new, home)
        assert content(home) == "new"
        assert left_over(home) == []
        return found

    seen = kill_everywhere(
        lambda home: BEFORE[before](home, old),
        lambda home, step: start(installing, home, new, NAME, kill_at=step),
        check,
        tmp_path / "home",
    )
    # It changes once, and the kills did fall on both sides of that.
    assert seen == sorted(seen, key=lambda found: found == "new")
    assert seen.count(first) > 10
    assert seen.count("new") > 1


def test_a_removal_killed_before_each_step(tmp_path: Path, old: Path) -> None:
    """There, whole, or gone; the next change of the store, of any model, cleans up."""
    other = make(tmp_path / "sources" / "other", "other")

    def check(home: Path) -> str:
        found = content(home)
        assert found in ("old", "")
        install(other, home)
        assert left_over(home) == []
        assert content(home) == found
        return found

    seen = kill_everywhere(
        lambda home: install(old, home),
        lambda home, step: start(removing, home, old, NAME, kill_at=step),
        check,
        tmp_path / "home",
    )
    assert seen == sorted(seen, reverse=True)
    assert {"old", ""} == set(seen)


@pytest.mark.parametrize("survive", [True, False])
@pytest.mark.parametrize("most_bytes", [1, 20, 99, 150])
def test_no_room_in_the_middle_of_a_file(
    tmp_path: Path, old: Path, new: Path, most_bytes: int, survive: bool
) -> None:
    """Told that a file cannot grow, or killed there: the old model stays as it was."""
    home = tmp_path / "home"
    install(old, home)
    process = start(installing, home, new, NAME, most_bytes=most_bytes, survive=survive)
    assert ended(process) == (FULL if survive else -signal.SIGXFSZ)
    assert content(home) == "old"
    if survive:
        assert left_over(home) == []
    install(new, home)
    assert (content(home), left_over(home)) == ("new", [])


def test_several_processes_install_one_name(tmp_path: Path, old: Path, new: Path) -> None:
    """They wait for each other, and readers find a whole model all the time."""
    home = tmp_path / "home"
    install(old, home)
    processes = [start(installing, home, source, NAME) for source in (new, old) * 3]
    while any(process.is_alive() for process in processes):
        assert find_model(NAME, home).manifest.name == NAME
    assert [ended(process) for process in processes] == [0] * 6
    assert content(home) in ("old", "new")
    assert left_over(home) == []


def test_several_processes_change_several_names(tmp_path: Path, old: Path, new: Path) -> None:
    """None is in the way of another, and none takes another's scratch folder for rubbish."""
    home = tmp_path / "home"
    install(old, home)
    processes = [start(installing, home, new, f"model-{i}") for i in range(5)]
    processes.append(start(removing, home, old, NAME))
    assert [ended(process) for process in processes] == [0] * 6
    names = [model.name for model in installed(home) if model.name != "bundled"]
    assert names == [f"model-{i}" for i in range(5)]
    for name in names:
        verify(find_model(name, home), deep=True)
    assert left_over(home) == []
