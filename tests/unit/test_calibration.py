"""Calibration: from replayed suggestions to the gate's weights, kept on this machine."""

from __future__ import annotations

import math
import random
from pathlib import Path

import msgspec
import numpy as np
import pytest

from codegen_lsp.cli import checks
from codegen_lsp.cli.checks import Case, Row, Status
from codegen_lsp.completion.calibration import (
    Calibration,
    _write,
    save_calibration,
    weights_for,
)
from codegen_lsp.completion.gate import FEATURES, WEIGHTS
from codegen_lsp.config.settings import Settings
from codegen_lsp.config.sources import Resolved
from codegen_lsp.errors import SettingsError, UsageError
from codegen_lsp.evaluation.replay.calibrate import (
    calibrate,
    examples_of,
    model_of,
    quality_of,
)
from codegen_lsp.evaluation.replay.results import Answer, Point, Scores
from codegen_lsp.models.store import find_model


def suggestions(count: int, repositories: int = 4) -> list[Answer]:
    """Suggestions of two words that are right as often as their probabilities say."""
    drawn = random.Random(0)
    found = []
    for number in range(count):
        sure = [drawn.random(), drawn.random()]
        right = [drawn.random() < p for p in sure]
        truth = " ".join(
            word if ok else "other" for word, ok in zip(("left", "right"), right, strict=True)
        )
        point = Point(
            repository=f"r{number % repositories}",
            path="a.py",
            line=number,
            column=0,
            kind="line",
            truth=truth,
        )
        pieces = [["left", math.log(sure[0])], [" right", math.log(sure[1])]]
        found.append(
            Answer(
                point=point,
                text="left right",
                replaced="",
                ms=1.0,
                scores=Scores(),
                data={"pieces": pieces},
            )
        )
    return found


def test_probabilities_are_learned() -> None:
    """Where the model's own probabilities are true, fitted ones are close to what happens."""
    examples = examples_of(suggestions(2000))
    quality = quality_of(examples)
    assert quality is not None
    assert quality.auc > 0.8
    assert quality.error < 0.06
    assert len(calibrate(examples).weights) == len(FEATURES)


def test_the_fit_is_a_maximum() -> None:
    """No small step from the fitted weights makes the examples likelier (penalty aside)."""
    examples = examples_of(suggestions(600))
    best = np.array(calibrate(examples).weights)

    def likelihood(weights: np.ndarray) -> float:
        score = examples.values @ weights
        sign = np.where(examples.right > 0.5, 1.0, -1.0)
        return float((examples.weight * -np.logaddexp(0, -sign * score)).sum())

    for place in range(len(best)):
        for step in (-0.3, 0.3):
            moved = best.copy()
            moved[place] += step
            assert likelihood(moved) < likelihood(best) + 1.0
    assert likelihood(best) > likelihood(np.zeros(len(best)))


def test_one_repository_says_nothing_of_others() -> None:
    """Quality is told on repositories that were left out."""
    assert quality_of(examples_of(suggestions(200, repositories=1))) is None


@pytest.mark.parametrize("count", [0, 99])
def test_too_few(count: int) -> None:
    """One line that says how to mend it."""
    with pytest.raises(UsageError, match="too few to calibrate with; replay more points"):
        examples_of(suggestions(count))


def calibration(**changes: object) -> Calibration:
    """A calibration of this version."""
    values: dict[str, object] = {
        "features": FEATURES,
        "weights": tuple(float(n) for n in range(len(FEATURES))),
        "points": 100,
        "fitted": "2026-01-01",
    }
    return Calibration(**{**values, **changes})  # type: ignore[arg-type]


def test_kept_by_model(tmp_path: Path) -> None:
    """Each model has its own; others have the weights that ship."""
    path = tmp_path / "deep" / "calibration.json"
    assert weights_for("a", path) == WEIGHTS
    save_calibration("a", calibration(), path)
    save_calibration("b", calibration(weights=(9.0,) * len(FEATURES)), path)
    assert weights_for("a", path) == calibration().weights
    assert weights_for("b", path) == (9.0,) * len(FEATURES)
    assert weights_for("c", path) == WEIGHTS
    assert [file.name for file in path.parent.iterdir()] == ["calibration.json"]


@pytest.mark.parametrize(
    "changes",
    [
        {"features": ("other",)},
        {"weights": (1.0,)},
        {"features": (*FEATURES, "new")},
        {"weights": (math.inf,) * len(FEATURES)},
    ],
)
def test_another_versions_are_not_used(changes: dict[str, object], tmp_path: Path) -> None:
    """What was weighed may change; what was fitted to something else is left alone."""
    path = tmp_path / "calibration.json"
    save_calibration("a", calibration(**changes), path)
    assert weights_for("a", path) == WEIGHTS


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', "\xff"])
def test_a_damaged_file(text: str, tmp_path: Path) -> None:
    """Reading falls back; writing says what is wrong and loses nothing."""
    path = tmp_path / "calibration.json"
    path.write_text(text, encoding="latin-1")
    assert weights_for("a", path) == WEIGHTS
    with pytest.raises(SettingsError, match="is no calibration"):
        save_calibration("a", calibration(), path)
    assert path.read_text(encoding="latin-1") == text


def test_of_one_model() -> None:
    """Probabilities of one model say nothing of another's."""
    first, second = suggestions(2)
    named = [msgspec.structs.replace(first, data={"model": "a"}), second]
    assert model_of(named) == "a"
    for answers in ([second], [*named, msgspec.structs.replace(second, data={"model": "b"})]):
        with pytest.raises(UsageError, match="models cannot be calibrated with; replay with one"):
            model_of(answers)


def test_what_cannot_replace_the_file_leaves_nothing(tmp_path: Path) -> None:
    """Neither half of a file nor another one beside it."""
    path = tmp_path / "calibration.json"
    path.mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        save_calibration("a", calibration(), path)
    with pytest.raises(SettingsError, match="cannot be written"):
        _write(b"{}", path)
    assert list(tmp_path.iterdir()) == [path]


def doctor_says(monkeypatch: pytest.MonkeyPatch, folder: Path, model: str = "bundled") -> list[Row]:
    """The doctor's rows about the gate, with *folder* as home."""
    monkeypatch.setenv("CODEGEN_LSP_HOME", str(folder))
    return list(checks._gate(Case(folder, Resolved(Settings(model=model), ()))))


def test_the_doctor_names_what_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For which model, when and on what; or that nothing was learned here."""
    name = find_model("bundled", tmp_path).manifest.name
    path = tmp_path / "calibration.json"
    assert doctor_says(monkeypatch, tmp_path) == [Row("gate", Status.OK, "built-in weights")]
    save_calibration("other", calibration(), path)
    [row] = doctor_says(monkeypatch, tmp_path)
    assert (row.status, row.detail) == (
        Status.OK,
        "built-in weights; calibrated as well: other",
    )
    save_calibration(name, calibration(repositories=("flask", "click")), path)
    [row] = doctor_says(monkeypatch, tmp_path)
    assert row.status is Status.OK
    assert row.detail == (
        f"calibrated for {name} on 100 suggestions of flask, click, 2026-01-01"
        "; calibrated as well: other"
    )
    assert doctor_says(monkeypatch, tmp_path, "no-such-model") == []


@pytest.mark.parametrize(
    ("text", "said", "mend"),
    [
        ("{", "is no calibration", "delete it"),
        (
            '{"%s": {"features": [], "weights": [], "points": 1, "fitted": ""}}',
            "of another",
            "agai",
        ),
    ],
)
def test_the_doctor_warns_of_damage(
    text: str, said: str, mend: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One line, with how to mend it and what is used meanwhile."""
    name = find_model("bundled", tmp_path).manifest.name
    (tmp_path / "calibration.json").write_text(text.replace("%s", name), encoding="utf-8")
    [row] = doctor_says(monkeypatch, tmp_path)
    assert row.status is Status.WARN
    assert said in row.detail
    assert row.detail.endswith("the built-in weights are used")
    assert "\n" not in row.detail
    assert mend in row.mend
