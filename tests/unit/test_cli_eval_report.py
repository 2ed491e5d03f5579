"""``codegen-lsp eval replay --report``: what it accepts, and what it says before it measures."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import pytest

from codegen_lsp.cli.main import main
from codegen_lsp.errors import UsageError
from codegen_lsp.evaluation.replay import report
from codegen_lsp.evaluation.replay.report import write_report
from codegen_lsp.evaluation.replay.results import write_run
from tests.support.replays import BASELINE, RUN, Page

pytest.importorskip("matplotlib", reason="the extra [eval] is not installed")
pytest.importorskip("jinja2", reason="the extra [eval] is not installed")


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """matplotlib is not installed."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        report, "find_spec", lambda name: None if name == "matplotlib" else real(name)
    )


@pytest.mark.usefixtures("without")
def test_missing_libraries(tmp_path: Path) -> None:
    """Which one, and how to get it."""
    with pytest.raises(UsageError, match="report needs matplotlib; pip install 'codegen-lsp"):
        write_report(RUN, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_report_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs and an ablation, without a new replay."""
    monkeypatch.chdir(tmp_path)
    write_run(BASELINE, tmp_path / "a.json")
    write_run(RUN, tmp_path / "b.json")
    arguments = ["eval", "replay", "--compare", "a.json", "b.json", "--report", "r.html"]
    assert main([*arguments, "--ablation", "gate=off=a.json"]) == 0
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "50.0 %" in page.text_of("dd")  # of b, and not of a
    assert "gate=off" in page.text_of("th")
    assert {"Against the baseline", "Ablations"} <= set(page.text_of("h2"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--ablation", "x=a.json"], 2, "--ablation is only for a report; add --report FILE"),
        (["--report", "r.html", "--ablation", "a.json"], 2, "write --ablation NAME=RUN.json"),
        (["--report", "r.html", "--ablation", "=a.json"], 2, "write --ablation NAME=RUN.json"),
        (["--report", "r.html", "--ablation", "x=no.json"], 1, "cannot read no.json"),
        (["--report", "no/r.html"], 1, "cannot write"),
        (["--report", "r.html", "--out", "./r.html"], 2, "--out and --report name one file"),
    ],
)
def test_wrong_usage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: Sequence[str],
    code: int,
    words: str,
) -> None:
    """One line that says what is wrong."""
    monkeypatch.chdir(tmp_path)
    write_run(RUN, tmp_path / "a.json")
    assert main(["eval", "replay", "--compare", "a.json", "a.json", *arguments]) == code
    assert words in capsys.readouterr().err


@pytest.mark.usefixtures("without")
def test_missing_libraries_are_told_before_a_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not after an hour of measuring."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    assert main(["eval", "replay", "shop", "--report", "r.html"]) == 2
    assert "a report needs matplotlib" in capsys.readouterr().err
