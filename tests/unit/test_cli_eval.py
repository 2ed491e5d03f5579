"""``codegen-lsp eval replay``: what it accepts, what it shows. Measuring itself is played."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from codegen_lsp.cli.main import main
from codegen_lsp.config.settings import Settings
from codegen_lsp.evaluation.replay import corpora
from codegen_lsp.evaluation.replay import run as running
from codegen_lsp.evaluation.replay.corpora import Repository
from codegen_lsp.evaluation.replay.results import (
    Answer,
    Point,
    RepositoryInfo,
    Run,
    Scores,
    read_run,
    write_run,
)
from codegen_lsp.evaluation.replay.run import Plan
from codegen_lsp.evaluation.replay.summary import summarize


def timeless(**given: Any) -> Settings:
    """Settings as evaluation uses them: without a clock."""
    return Settings(deadline=0, invoked_deadline=0, prefetch=False, **given)


def sample(*, exact: Sequence[bool] = (True, False), sha256: str = "0") -> Run:
    """A small run."""
    answers = [
        Answer(
            point=Point(
                repository="shop", path=f"a{n}.py", line=n, column=0, kind="line", truth="x = 1"
            ),
            text="x = 1" if right else "y",
            replaced="",
            ms=5.0,
            scores=Scores(exact=right, accepted=right, similarity=float(right)),
        )
        for n, right in enumerate(exact)
    ]
    info = RepositoryInfo(
        name="shop", corpus="own", version="", sha256=sha256, files=2, duplicates=0
    )
    return Run(
        version="0",
        seed=0,
        settings={"model": "bundled"},
        machine={},
        seconds=1.0,
        repositories=[info],
        points=answers,
        typing=[],
        summary=summarize([info], answers, []),
    )


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What measuring was asked for; nothing is measured."""
    seen: list[Any] = []

    def played(
        repositories: Sequence[Repository],
        settings: Settings,
        plan: Plan,
        progress: Callable[..., None],
        others: Sequence[tuple[str, Run]],
    ) -> Run:
        progress("shop", 1, 2)
        seen.extend([[one.name for one in repositories], settings, plan])
        return sample()

    monkeypatch.setattr(running, "replay", played)
    monkeypatch.setenv("CODEGEN_LSP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    return seen


def test_a_replay_is_a_table(asked: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Metrics, repositories and latencies on stdout."""
    assert main(["eval", "replay", "shop"]) == 0
    shown = capsys.readouterr()
    for words in ("bundled: 2 points", "exact match", "50.0 (50.0)", "repositories", "latency"):
        assert words in shown.out
    assert asked == [["shop"], timeless(), Plan()]


def test_what_is_asked_for(asked: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Counts, seed and settings; JSON, words and lists as values; the corpora after the folders."""
    arguments = ["eval", "replay", "shop", "--corpus", "stdlib", "--points", "7", "--blocks", "1"]
    arguments += ["--lines", "0", "--seed", "3", "--model", "own-model", "--json"]
    for change in ("suggestions=quiet", "maxLineTokens=50", "contextSources=open,imports"):
        arguments += ["--set", change]
    assert main(arguments) == 0
    names, settings, plan = asked
    assert names == ["shop", "cpython-lib"]
    assert plan == Plan(7, 1, 0, 3)
    assert settings == timeless(
        model="own-model",
        suggestions="quiet",
        max_line_tokens=50,
        context_sources=("open", "imports"),
    )
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["summary"]["all"]["exact"] == 0.5
    assert "points" not in found


@pytest.mark.parametrize(
    ("value", "sources"),
    [("", ()), ("open", ("open",)), ('["similar","header"]', ("similar", "header"))],
)
def test_lists_of_settings(asked: list[Any], value: str, sources: tuple[str, ...]) -> None:
    """Nothing is an empty list: that is how all of them are left out."""
    assert main(["eval", "replay", "shop", "--set", f"contextSources={value}"]) == 0
    assert asked[1].context_sources == sources


def test_runs_are_kept_and_compared(
    asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--out`` writes all of it; ``--baseline`` and ``--compare`` say what differs."""
    assert main(["eval", "replay", "shop", "--out", "b.json"]) == 0
    assert read_run(tmp_path / "b.json") == sample()
    write_run(sample(exact=(False, False)), tmp_path / "a.json")
    capsys.readouterr()
    assert main(["eval", "replay", "--compare", "a.json", "b.json"]) == 0
    table = capsys.readouterr().out
    assert "difference by 2 files" in table
    assert "+50.0" in table
    assert main(["eval", "replay", "shop", "--baseline", "a.json"]) == 0
    assert capsys.readouterr().out == table
    assert main(["eval", "replay", "--compare", "a.json", "b.json", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"]["exact"]["difference"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "nothing to replay; name a folder or --corpus fresh"),
        (["nowhere"], 2, "nowhere is no folder"),
        (["shop", "--set", "suggestions"], 2, "'suggestions' sets nothing; write --set KEY=VALUE"),
        (["shop", "--set", "colour=red"], 2, "unknown setting 'colour'"),
        (["shop", "--set", "suggestions=loud"], 2, "setting 'suggestions' is ignored"),
        (["shop", "--points", "-1"], 2, "is not in the range x>=0"),
        (["shop", "--corpus", "old"], 2, "'old' is not one of"),
        (["shop", "--compare", "a.json", "a.json"], 2, "--compare replays nothing"),
        (
            ["shop", "--baseline", "no.json"],
            1,
            "cannot read no.json (No such file or directory); na",
        ),
        (["shop", "--baseline", "deep.json"], 1, "deep.json is no replay"),
        (
            ["shop", "--out", "no/a.json"],
            1,
            "cannot write no/a.json (No such file or directory); na",
        ),
        (
            ["shop", "--out", "a.json/b"],
            1,
            "cannot write a.json/b (Not a directory); name a file in",
        ),
        (["shop", "./shop"], 2, "a folder is named twice; name every folder once"),
        (["shop", "--calibrate", "--points", "60", "--blocks", "39"], 2, "too little to calibrate"),
        (["--compare", "a.json", "c.json"], 2, "the code of the two runs is not the same"),
    ],
)
def test_wrong_usage(
    asked: list[Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: Sequence[str],
    code: int,
    words: str,
) -> None:
    """One line that says what is wrong, before anything is measured."""
    write_run(sample(), tmp_path / "a.json")
    write_run(msgspec.structs.replace(sample(sha256="1")), tmp_path / "c.json")
    (tmp_path / "deep.json").write_bytes(b"[" * 100_000)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert main(["eval", "replay", *arguments]) == code
    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.err.count("\n") == 1
    assert (shown.out, asked) == ("", [])
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


def test_a_run_of_other_questions_is_refused_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A baseline, or a run for the report: which one, and what to do; nobody waits for hours."""
    monkeypatch.setenv("CODEGEN_LSP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "Client", None)  # no server may be started
    (tmp_path / "shop").mkdir()
    code = "".join(f"def total_{n}(prices):\n    return sum(prices) + {n}\n\n\n" for n in range(9))
    (tmp_path / "shop" / "a.py").write_text(code)
    write_run(sample(), tmp_path / "a.json")
    arguments = ["eval", "replay", "shop", "--points", "4", "--out", "b.json"]
    assert main([*arguments, "--baseline", "a.json"]) == 2
    said = "the baseline: the two runs did not ask the same questions; run both with the same corp"
    assert said in capsys.readouterr().err
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize("old", [None, b"old"])
def test_an_interrupted_run_leaves_the_file_as_it_was(
    asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bytes | None
) -> None:
    """All of a run is in its file, or nothing of it; nothing else is left behind."""
    out = tmp_path / "run.json"
    if old is not None:
        out.write_bytes(old)

    def interrupted(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    assert main(["eval", "replay", "shop", "--out", "run.json"]) == 130
    assert (out.read_bytes() if out.exists() else None) == old
    assert {path.name for path in tmp_path.iterdir()} <= {"shop", "run.json", "home"}


def test_help_has_an_example_of_an_ablation(capsys: pytest.CaptureFixture[str]) -> None:
    """With the runs that it needs."""
    assert main(["eval", "replay", "--help"]) == 0
    shown = capsys.readouterr().out
    for words in (
        "--ablation NAME=RUN.json",
        '--ablation "no context=bare.json"',
        "--out bare.json",
    ):
        assert words in shown


def test_a_folder_that_is_called_as_a_package_is_another_repository(
    asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who replays their own clone beside the pinned packages gets both."""
    first = corpora.load_packages()[0].name
    monkeypatch.setattr(corpora, "fetch", lambda packages, cache: {first: tmp_path / "a.whl"})
    (tmp_path / first).mkdir()
    (tmp_path / corpora.STDLIB).mkdir()
    names = [first, corpora.STDLIB, "--corpus", "fresh", "--corpus", "stdlib"]
    assert main(["eval", "replay", *names, "--limit-packages", "1"]) == 0
    paths = [(tmp_path / name).resolve().as_posix() for name in (first, corpora.STDLIB)]
    assert asked[0] == [*paths, corpora.STDLIB, first]
