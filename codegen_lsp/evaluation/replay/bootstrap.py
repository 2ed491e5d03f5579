"""How two runs differ, and how sure that is: a paired bootstrap by repository.

Both runs must have asked the same questions. Repositories are drawn with replacement, because
points of one repository are alike (Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993;
clusters are resampled as wholes); where all points are of one repository, its files are drawn, and
of one file its positions. One position says nothing of how sure anything is. Knows statistics only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.errors import UsageError
from codegen_lsp.evaluation.replay.results import Answer, Point, RepositoryInfo, Run, TypedLine
from codegen_lsp.evaluation.replay.summary import METRICS, TYPING_METRICS, Fraction

__all__ = [
    "Comparison",
    "Difference",
    "Questions",
    "compare",
    "questions",
    "questions_of",
    "require_same",
]

DRAWS: Final = 1000

T = TypeVar("T", Answer, TypedLine)

Array = NDArray[np.float64]


_Question = tuple[str, str, int, int, str]
"""Repository, path, line, column, hidden text."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What makes two runs comparable."""

    hashes: Sequence[tuple[str, str]]
    """Of each repository: its name and what its code hashes to."""

    points: Sequence[_Question]
    lines: Sequence[_Question]


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric in both runs."""

    a: float
    b: float
    difference: float
    """``b - a``."""

    low: float | None
    high: float | None
    """The 95 % interval of the difference; ``None`` where there was only one thing to draw."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs on the same questions."""

    unit: str
    """What was drawn: ``repository`` or ``file``, or ``position`` where all are of one file."""

    units: int
    draws: int
    metrics: Mapping[str, Difference]
    """Metric to difference, without those that nothing counts for in one of the runs."""


def compare(run_a: Run, run_b: Run, *, draws: int = DRAWS, seed: int = 0) -> Comparison:
    """What *run_b* does better or worse than *run_a*.

    :raises UsageError: they did not ask the same questions.
    """
    require_same(questions_of(run_a), questions_of(run_b))
    points = [answer.point for answer in run_a.points]
    places: list[Point | TypedLine] = [*points, *run_a.typing]
    kind, unit = next(
        (kind, unit)
        for kind, unit in UNITS.items()
        if kind == "position" or len({unit(one) for one in places}) > 1
    )
    names = sorted({unit(one) for one in places})
    generator = np.random.default_rng(seed)
    chosen = generator.integers(len(names), size=(draws, len(names)))
    # How often each unit is drawn: [draws, units].
    counts = np.zeros((draws, len(names)))
    np.add.at(counts, (np.arange(draws)[:, None], chosen), 1)
    found: dict[str, Difference | None] = {}
    owners = [names.index(unit(point)) for point in points]
    for name, metric in METRICS.items():
        sums = [_sums(metric, run.points, owners, len(names)) for run in (run_a, run_b)]
        found[name] = _difference(sums[0], sums[1], counts)
    owners = [names.index(unit(line)) for line in run_a.typing]
    for name, typing in TYPING_METRICS.items():
        sums = [_sums(typing, run.typing, owners, len(names)) for run in (run_a, run_b)]
        found[name] = _difference(sums[0], sums[1], counts)
    return Comparison(
        kind,
        len(names),
        draws,
        {name: one for name, one in found.items() if one is not None},
    )


def questions_of(run: Run) -> Questions:
    """What a run asked."""
    return Questions(
        [(one.name, one.sha256) for one in run.repositories],
        [_question(one.point) for one in run.points],
        [_question(one) for one in run.typing],
    )


def questions(
    repositories: Iterable[RepositoryInfo], points: Iterable[Point], lines: Iterable[Point]
) -> Questions:
    """What a run is about to ask."""
    return Questions(
        [(one.name, one.sha256) for one in repositories],
        [_question(one) for one in points],
        [_question(one) for one in lines],
    )


def require_same(one: Questions, other: Questions) -> None:
    """Find out whether two runs can be compared.

    :raises UsageError: they did not ask the same questions, or about other code, or nothing.
    """
    if one.points != other.points or one.lines != other.lines:
        raise UsageError(
            "the two runs did not ask the same questions",
            mend="run both with the same corpora, --seed, --points, --blocks and --lines",
        )
    if one.hashes != other.hashes:
        raise UsageError("the code of the two runs is not the same", mend="run both again")
    if not one.points and not one.lines:
        raise UsageError("the two runs are empty", mend="run both with --points or --lines")


def _question(one: Point | TypedLine) -> _Question:
    return one.repository, one.path, one.line, one.column, one.truth


def _repository(one: Point | TypedLine) -> str:
    return one.repository


def _file(one: Point | TypedLine) -> str:
    return f"{one.repository}/{one.path}"


def _position(one: Point | TypedLine) -> str:
    return f"{_file(one)}:{one.line}:{one.column}"


UNITS: Final[Mapping[str, Callable[[Point | TypedLine], str]]] = {
    "repository": _repository,
    "file": _file,
    "position": _position,
}
"""What may be drawn; the first of which there are several is."""


def _sums(
    metric: Callable[[T], Fraction], of: Sequence[T], owners: Sequence[int], units: int
) -> Array:
    """Numerators and weights by unit: [2, units]."""
    sums = np.zeros((2, units))
    for owner, one in zip(owners, of, strict=True):
        numerator, weight = metric(one)
        sums[0, owner] += numerator
        sums[1, owner] += weight
    return sums


def _difference(a: Array, b: Array, counts: Array) -> Difference | None:
    if not a[1].sum() or not b[1].sum():
        return None
    drawn = _ratio(b, counts) - _ratio(a, counts)
    drawn = drawn[np.isfinite(drawn)]  # a draw in which nothing was shown says nothing
    if not len(drawn):
        return None
    values = [float(sums[0].sum() / sums[1].sum()) for sums in (a, b)]
    if counts.shape[1] < 2:
        return Difference(values[0], values[1], values[1] - values[0], None, None)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Difference(values[0], values[1], values[1] - values[0], float(low), float(high))


def _ratio(sums: Array, counts: Array) -> Array:
    """The metric in every draw."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Array = (counts @ sums[0]) / (counts @ sums[1])
    return ratio
