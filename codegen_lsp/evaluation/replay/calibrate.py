"""From a replay to the gate's weights: how likely a suggestion of so much confidence is right.

Knows logistic regression and how a replayed point becomes examples. What is weighed is
``completion.gate``'s affair. Everything stays on this machine.

The fit is maximum likelihood with a small quadratic penalty on standardised features, by Newton's
method (iteratively reweighted least squares; Bishop, *Pattern Recognition and Machine Learning*,
2006, section 4.3.3). How good it is, is told on repositories that it was not fitted to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.completion.calibration import Calibration
from codegen_lsp.completion.gate import FEATURES, features, parts
from codegen_lsp.errors import UsageError
from codegen_lsp.evaluation.replay.results import Answer
from codegen_lsp.types import Piece

__all__ = [
    "LEAST_POINTS",
    "Examples",
    "Quality",
    "calibrate",
    "examples_of",
    "model_of",
    "quality_of",
]

LEAST_POINTS = 100
"""Fewest suggestions that something can be learned from."""

_PENALTY = 1.0
_STEPS = 50
_CLOSE = 1e-9
_BINS = 10

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Examples:
    """Beginnings of suggestions, and whether they were right."""

    values: Array
    """What the gate weighs, [examples, features]."""

    right: Array
    """1.0 or 0.0, [examples]."""

    weight: Array
    """One over how many examples its suggestion gave, [examples]."""

    repository: NDArray[np.str_]
    """Whose code it was, [examples]."""

    suggestions: int


@dataclass(frozen=True, slots=True)
class Quality:
    """What fitted probabilities are worth, on repositories that they were not fitted to."""

    auc: float
    """How often a right example got more than a wrong one; 0.5 is chance."""

    error: float
    """Mean distance of what was said from what happened, by tenths of probability."""


def model_of(answers: Iterable[Answer]) -> str:
    """The model that gave the suggestions.

    :raises UsageError: none or several did.
    """
    found = {str(said["model"]) for answer in answers if (said := answer.data or {}).get("model")}
    if len(found) != 1:
        raise UsageError(
            f"suggestions of {len(found)} models cannot be calibrated with",
            mend="replay with one model, and more points",
        )
    return found.pop()


def examples_of(answers: Iterable[Answer]) -> Examples:
    """Every beginning of every suggestion that came with its pieces.

    :raises UsageError: there are too few.
    """
    rows: list[tuple[tuple[float, ...], bool, float, str]] = []
    suggestions = 0
    for answer in answers:
        found = list(_of_one(answer))
        suggestions += bool(found)
        rows += [(*one, 1 / len(found), answer.point.repository) for one in found]
    if suggestions < LEAST_POINTS:
        raise UsageError(
            f"{suggestions} suggestions are too few to calibrate with",
            mend=f"replay more points: at least {LEAST_POINTS} have to be answered",
        )
    values, right, weight, repository = zip(*rows, strict=True)
    return Examples(
        np.array(values, np.float64),
        np.array(right, np.float64),
        np.array(weight, np.float64),
        np.array(repository, np.str_),
        suggestions,
    )


def _of_one(answer: Answer) -> Iterator[tuple[tuple[float, ...], bool]]:
    truth = _stripped(answer.point.truth)
    for part in parts(_pieces(answer)):
        values = features(part)
        if values is not None:
            yield values, truth.startswith(_stripped(part.text))


def _stripped(text: str) -> str:
    """*text* without blanks at the ends of its lines."""
    return "\n".join(line.rstrip() for line in text.split("\n")).rstrip()


def _pieces(answer: Answer) -> list[Piece]:
    said = (answer.data or {}).get("pieces")
    if not isinstance(said, list):
        return []
    return [Piece(str(text), None if sure is None else float(sure)) for text, sure in said]


def calibrate(examples: Examples) -> Calibration:
    """The weights that make the examples likeliest."""
    weights = _fit(examples.values, examples.right, examples.weight)
    return Calibration(
        features=FEATURES,
        weights=tuple(round(float(weight), 6) for weight in weights),
        points=examples.suggestions,
        fitted=date.today().isoformat(),
        repositories=tuple(sorted(set(map(str, examples.repository)))),
    )


def quality_of(examples: Examples) -> Quality | None:
    """Leave one repository out after the other; ``None`` where there is only one."""
    names = np.unique(examples.repository)
    if len(names) < 2:
        return None
    said = np.zeros(len(examples.right))
    for name in names:
        out = examples.repository == name
        weights = _fit(examples.values[~out], examples.right[~out], examples.weight[~out])
        said[out] = _sigmoid(examples.values[out] @ weights)
    return Quality(_auc(said, examples.right), _calibration_error(said, examples.right))


def _fit(values: Array, right: Array, weight: Array) -> Array:
    """Weights of [features]; the first feature is the constant, which is not penalised."""
    mean, scale = values.mean(0), values.std(0)
    mean[0], scale[0] = 0.0, 1.0
    scale[scale == 0] = 1.0
    standard = (values - mean) / scale
    penalty = np.diag([0.0, *[_PENALTY] * (values.shape[1] - 1)])
    found = np.zeros(values.shape[1])
    for _ in range(_STEPS):
        sure = _sigmoid(standard @ found)
        slope = standard.T @ (weight * (right - sure)) - penalty @ found
        curve = (standard * (weight * sure * (1 - sure))[:, None]).T @ standard + penalty
        step = np.linalg.lstsq(curve, slope, rcond=None)[0]
        found = found + step
        if float(np.abs(step).max()) < _CLOSE:
            break
    unscaled: Array = found / scale
    unscaled[0] -= float((found[1:] / scale[1:]) @ mean[1:])
    return unscaled


def _sigmoid(score: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(score, -500, 500)))


def _auc(said: Array, right: Array) -> float:
    """Area under the curve, by ranks; ties count half."""
    yes, no = said[right > 0.5], np.sort(said[right <= 0.5])
    if not len(yes) or not len(no):
        return 0.5
    below = np.searchsorted(no, yes, "left") + np.searchsorted(no, yes, "right")
    return float(below.mean() / 2 / len(no))


def _calibration_error(said: Array, right: Array) -> float:
    """Expected calibration error (Guo et al., 2017), in tenths."""
    tenth = np.minimum((said * _BINS).astype(int), _BINS - 1)
    return float(
        sum(
            abs(said[tenth == one].mean() - right[tenth == one].mean()) * (tenth == one).mean()
            for one in np.unique(tenth)
        )
    )
