"""What was measured is remembered, and decides what ``engine = "auto"`` is."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from pathlib import Path

import pytest

from codegen_lsp.cli.checks import Status, examine
from codegen_lsp.completion import choosing
from codegen_lsp.completion.choosing import choose_engine
from codegen_lsp.config.settings import Settings
from codegen_lsp.config.sources import Resolved
from codegen_lsp.engines.hardware import fingerprint
from codegen_lsp.errors import EngineUnavailableError
from codegen_lsp.models.choice import MOST, faster, measured, measurements_file, remember
from codegen_lsp.models.folders import ModelFolder
from codegen_lsp.models.gguf import gguf_file
from codegen_lsp.models.manifest import FileEntry, Manifest

FASTER_LLAMA = {"ct2": 30.0, "llama": 20.0}
FASTER_CT2 = {"ct2": 10.0, "llama": 20.0}


def model_of(weights: str = "a") -> ModelFolder:
    files = {"model.bin": FileEntry(size=1, sha256=weights * 64)}
    return ModelFolder(Path("m"), Manifest(name="m", context_length=64, files=files), "m")


def test_measurements_are_kept_apart(tmp_path: Path) -> None:
    """By machine and by weights; the newest counts."""
    remember(model_of("a"), "here", FASTER_CT2, tmp_path)
    remember(model_of("b"), "here", FASTER_LLAMA, tmp_path)
    remember(model_of("a"), "there", {"ct2": 1.0}, tmp_path)
    assert measured(model_of("a"), "here", tmp_path) == FASTER_CT2
    assert measured(model_of("b"), "here", tmp_path) == FASTER_LLAMA
    assert measured(model_of("b"), "there", tmp_path) == {}
    remember(model_of("a"), "here", FASTER_LLAMA, tmp_path)
    assert measured(model_of("a"), "here", tmp_path) == FASTER_LLAMA
    assert measured(model_of("a"), "there", tmp_path) == {"ct2": 1.0}


def test_the_oldest_go(tmp_path: Path) -> None:
    """A home that many machines share does not grow for ever."""
    for number in range(MOST + 3):
        remember(model_of(), f"machine {number}", FASTER_CT2, tmp_path)
    assert measured(model_of(), "machine 2", tmp_path) == {}
    assert measured(model_of(), "machine 3", tmp_path) == FASTER_CT2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"entries": 5}',
        b'{"entries": [{"machine": "here", "digest": 1, "model": "m", "keystroke_ms": {}}]}',
        b'{"entries": [{"machine": "here", "digest": "", "model": "", "keystroke_ms": {"a": 0}}]}',
    ],
)
def test_a_damaged_file_is_nothing_measured(tmp_path: Path, content: bytes) -> None:
    """And is written anew."""
    measurements_file(tmp_path).write_bytes(content)
    assert measured(model_of(), "here", tmp_path) == {}
    remember(model_of(), "here", FASTER_CT2, tmp_path)
    assert measured(model_of(), "here", tmp_path) == FASTER_CT2


def remember_some(home: str, start: int) -> None:
    for number in range(start, start + 12):
        remember(model_of(), f"machine {number}", FASTER_CT2, Path(home))


def test_two_processes_at_once(tmp_path: Path) -> None:
    """Neither loses what the other wrote."""
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=remember_some, args=(str(tmp_path), start)) for start in (0, 100)
    ]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
    for number in (*range(12), *range(100, 112)):
        assert measured(model_of(), f"machine {number}", tmp_path) == FASTER_CT2, number


@pytest.mark.parametrize(
    ("times", "winner"),
    [
        ({}, None),
        ({"ct2": 5.0}, None),
        (FASTER_CT2, "ct2"),
        (FASTER_LLAMA, "llama"),
        ({"ct2": 58.0, "llama": 54.0}, "ct2"),
        ({"ct2": 58.0, "llama": 52.0}, "llama"),
    ],
)
def test_faster(times: Mapping[str, float], winner: str | None) -> None:
    """One alone has won nothing; where the difference is that of two measurements, nor has any."""
    assert faster(times) == winner


@pytest.mark.parametrize(
    ("settings", "times", "there", "engine", "why"),
    [
        (Settings(), {}, True, "ct2", "nothing was measured"),
        (Settings(), FASTER_CT2, True, "ct2", "ct2 10 ms, llama 20 ms"),
        (Settings(), FASTER_LLAMA, True, "llama", "ct2 30 ms, llama 20 ms"),
        (Settings(), FASTER_LLAMA, False, "ct2", "cannot be used now"),
        (Settings(device="cuda"), FASTER_LLAMA, True, "ct2", "cannot be used now"),
        (Settings(compute_type="float32"), FASTER_LLAMA, True, "ct2", "cannot be used now"),
        (Settings(engine="ct2"), FASTER_LLAMA, True, "ct2", "setting"),
        (Settings(engine="llama"), {}, True, "llama", "setting"),
    ],
)
def test_what_runs_a_model(
    tmp_path: Path,
    settings: Settings,
    times: Mapping[str, float],
    there: bool,
    engine: str,
    why: str,
) -> None:
    """The setting, else what was measured, as long as that can be used."""
    model = model_of()
    file = gguf_file(model, tmp_path, "q8_0")
    if there:
        file.parent.mkdir(parents=True)
        file.write_bytes(b"weights")
    if times:
        remember(model, fingerprint(), times, tmp_path)
    choice = choose_engine(model, settings, tmp_path)
    assert choice.engine == engine
    assert why in choice.why
    assert choice.gguf == (file if engine == "llama" else None)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured before llama.cpp was uninstalled is no choice."""
    model = model_of()
    file = gguf_file(model, tmp_path, "q8_0")
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    remember(model, fingerprint(), FASTER_LLAMA, tmp_path)
    monkeypatch.setattr(choosing, "llama_there", lambda: False)
    assert choose_engine(model, Settings(), tmp_path).engine == "ct2"


def test_asked_for_and_not_there(tmp_path: Path) -> None:
    """Says which command makes it, and which types there are."""
    with pytest.raises(EngineUnavailableError, match="bench engine --model m"):
        choose_engine(model_of(), Settings(engine="llama"), tmp_path)
    with pytest.raises(EngineUnavailableError, match="q8_0 or q4_0, not in float16"):
        choose_engine(model_of(), Settings(engine="llama", compute_type="float16"), tmp_path)


@pytest.mark.parametrize(
    ("settings", "status", "detail", "mend"),
    [
        (Settings(), Status.OK, "CTranslate2, nothing was measured here", ""),
        (Settings(engine="llama"), Status.FAIL, "not prepared for llama.cpp", "bench engine"),
    ],
)
def test_doctor_says_what_runs_a_model(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    status: Status,
    detail: str,
    mend: str,
) -> None:
    """And why; or what to do so that it can."""
    monkeypatch.setenv("CODEGEN_LSP_HOME", str(tmp_path))
    rows = {row.name: row for row in examine(tmp_path, Resolved(settings, ()))}
    row = rows["runs on"]
    assert row.status is status
    assert detail in row.detail
    assert mend in row.mend
    assert ("completion" in rows) is (status is Status.OK)
