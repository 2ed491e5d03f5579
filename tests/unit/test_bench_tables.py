"""What ``bench`` shows and keeps: tables of numbers, and which engine is faster."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen_lsp.cli import bench, bench_tables
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.base import EngineInfo
from codegen_lsp.engines.hardware import fingerprint
from codegen_lsp.evaluation.bench.hands import Ask, Session
from codegen_lsp.evaluation.bench.served import ServerSpeed
from codegen_lsp.evaluation.bench.spreads import Spread, spread
from codegen_lsp.evaluation.bench.subjects import Absent
from codegen_lsp.evaluation.bench.typed import TypingPlan, _Usage, summarize
from codegen_lsp.evaluation.bench.watch import Sample
from codegen_lsp.evaluation.speed import EngineSpeed, Speed
from codegen_lsp.models.choice import measured
from codegen_lsp.models.store import bundled_folder, find_model

MACHINE = {
    "cpus": 2,
    "load": 0.1,
    "memory_gib": 8.0,
    "python": "3.11.7",
    "platform": "Linux",
}


def engine(label: str, peer: str, ms: float) -> EngineSpeed:
    """An engine of which two things were measured."""
    return EngineSpeed(
        label=label,
        runs=EngineInfo("ct2", "tiny", "cpu", "int8", 1, 1024),
        peer=peer,
        load_ms=12.0,
        resident_mib=30.0,
        measures={"extend_8_first_ms": spread([ms]), "decode_ms_500": spread([ms / 10])},
        ratios={"extend_8_first_ms": 0.25} if peer else {},
        weight_bytes=4e6 if peer else None,
        floor_ms=0.4 if peer else None,
        times_floor=2.5 if peer else None,
    )


def report(keystroke_ms: dict[str, float]) -> Speed:
    """A whole report."""
    once = Spread(20.0, 30.0, 3)
    return Speed(
        machine=MACHINE,
        model="tiny",
        context_length=1024,
        new_tokens=24,
        rounds=3,
        bandwidth_gb_per_s=10.0,
        engines=[engine("ct2 int8", "plain", 25.0), engine("plain", "", 100.0)],
        absent=[Absent("llama q8_0", "llama.cpp is not installed")],
        server=ServerSpeed(once, once, once, 12, 3, 150.0),
        keystroke_ms=keystroke_ms,
    )


def test_engines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer is a column, not a table; what is absent says why; the floor is in words."""
    monkeypatch.setenv("COLUMNS", "120")
    bench_tables.print_engines(report({"ct2": 40.0}))
    shown = capsys.readouterr().out
    line = next(one for one in shown.splitlines() if "8 new on a warm prompt" in one)
    assert [cell.strip() for cell in line.split("│")[1:-1]] == [
        "8 new on a warm prompt, first token, ms", "25.0", "25.0", "100", "0.25x",
    ]  # fmt: skip
    assert "decode at 500 tokens, ms/token" in shown
    assert shown.count("peer: plain") == 1
    assert "not measured: llama q8_0: llama.cpp is not installed" in shown
    assert "at least 0.40 ms; it takes 2.5 times that" in shown
    assert "a keystroke takes ct2 40 ms" in shown


def test_typing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources have a row each, whichever session had them; what is not known is empty."""
    monkeypatch.setenv("COLUMNS", "120")
    usage = _Usage(1.0, 0.5, 120.0, [Sample(0.0, 0, 110.0)])
    ours, theirs = Session(keys=10, characters=12), Session(keys=10, characters=11)
    ours.asks = [Ask("text", 2.0, "typed", inside_ms=0.5), Ask("empty", 1.0)]
    ours.pages = {0, 1}
    theirs.asks = [Ask("text", 90.0, "engine", 30.0)]
    speeds = [
        summarize("ours", ours, usage, {"asked": 1.0, "typed": 3.0}),
        summarize("theirs", theirs, usage, {}),
    ]
    bench_tables.print_typing(speeds, TypingPlan(keys=10, files=2), MACHINE)
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in capsys.readouterr().out.splitlines()
        if "│" in line
    ]
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["keys pressed, for characters"] == ["10, 12", "10, 11"]
    assert by_name["files visited"] == ["2", "0"]
    assert by_name["typed"] == ["2.0 / 2.0 (1)", ""]
    assert by_name["typed, in the server"] == ["0.5 / 0.5", ""]
    assert by_name["engine"] == ["", "90.0 / 90.0 (1)"]
    assert "engine, in the server" not in by_name  # nobody knows
    assert by_name["answered without the engine"] == ["75%", ""]
    assert by_name["ms to first token, p50 / p95"] == ["", "30.0 / 30.0"]


@pytest.mark.skipif(
    not (bundled_folder() / "model.bin").exists(), reason="the bundled model is not there"
)
@pytest.mark.parametrize(
    ("settings", "times", "kept"),
    [
        (Settings(), {"ct2": 40.0, "llama": 30.0}, True),
        (Settings(), {"ct2": 40.0}, False),
        (Settings(compute_type="float32"), {"ct2": 40.0, "llama": 30.0}, False),
        (Settings(device="cpu"), {"ct2": 40.0, "llama": 30.0}, False),
    ],
)
def test_what_is_remembered(
    settings: Settings,
    times: dict[str, float],
    kept: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both engines, run as ``auto`` would run them, or nothing."""
    monkeypatch.setenv("CODEGEN_LSP_HOME", str(tmp_path))
    bench._remember(settings, report(times))
    model = find_model("bundled", tmp_path)
    assert measured(model, fingerprint(), tmp_path) == (times if kept else {})


def test_files_that_are_not_there_are_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who asks for more files than there are hears how many; who asks for none gets some."""
    for number in range(6):
        (tmp_path / f"{number}.py").write_text("x = 1\n" * 50, encoding="utf-8")
    assert len(bench._pages(tmp_path, 9, 300)) == 6
    assert "there are only 6 files" in capsys.readouterr().err
    assert len(bench._pages(tmp_path, None, 300)) == bench.FILES
    assert len(bench._pages(tmp_path, None, 3)) == 1
    assert capsys.readouterr().err == ""
