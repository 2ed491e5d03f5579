"""What a run says in numbers: every metric is a sum over things over another sum.

Knows the metrics, by name, and how they are grouped. Written as pairs of numerator and weight, so
that means, means over what was shown and resampling (:mod:`.bootstrap`) are one thing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from codegen_lsp.evaluation.replay.results import (
    Answer,
    Measures,
    RepositoryInfo,
    Summary,
    TypedLine,
)

__all__ = ["METRICS", "TYPING_METRICS", "Fraction", "measure", "percentile", "summarize"]

Fraction = tuple[float, float]
"""Numerator and weight of one answer or line."""

_PARSED_LINES: Final = 2
"""Lines from which a suggestion has to parse in place: one line may well be unfinished."""


def _of_all(value: Callable[[Answer], float]) -> Callable[[Answer], Fraction]:
    return lambda answer: (float(value(answer)), 1.0)


def _of_shown(value: Callable[[Answer], float]) -> Callable[[Answer], Fraction]:
    return lambda answer: (0.0, 0.0) if answer.text is None else (float(value(answer)), 1.0)


def _first_line(answer: Answer) -> float:
    return float(answer.scores.first_line)


def _wrong(answer: Answer) -> float:
    return float(answer.text is not None and not answer.scores.accepted)


def _names(answer: Answer) -> Fraction:
    found = answer.scores.identifier_f1
    return (0.0, 0.0) if found is None else (found, 1.0)


def _names_shown(answer: Answer) -> Fraction:
    return (0.0, 0.0) if answer.text is None else _names(answer)


def _parses(answer: Answer) -> Fraction:
    scores = answer.scores
    if scores.parses is None or scores.lines < _PARSED_LINES:
        return 0.0, 0.0
    return float(scores.parses), 1.0


def _saved(line: TypedLine) -> int:
    return len(line.truth) - line.keys - line.accepts


METRICS: Final[Mapping[str, Callable[[Answer], Fraction]]] = {
    "shown": _of_all(lambda answer: answer.text is not None),
    "exact": _of_all(lambda answer: answer.scores.exact),
    "exact_shown": _of_shown(lambda answer: answer.scores.exact),
    "first_line": _of_all(_first_line),
    "first_line_shown": _of_shown(_first_line),
    "similarity": _of_all(lambda answer: answer.scores.similarity),
    "similarity_shown": _of_shown(lambda answer: answer.scores.similarity),
    "identifier_f1": _names,
    "identifier_f1_shown": _names_shown,
    "prefix": _of_all(lambda answer: answer.scores.prefix),
    "prefix_shown": _of_shown(lambda answer: answer.scores.prefix),
    "accepted": _of_all(lambda answer: answer.scores.accepted),
    "accepted_shown": _of_shown(lambda answer: answer.scores.accepted),
    "wrong": _of_all(_wrong),
    "wrong_shown": _of_shown(_wrong),
    "parses": _parses,
    "duplicates": _of_shown(lambda answer: answer.scores.duplicates),
    "loops": _of_shown(lambda answer: answer.scores.loops),
}
"""Of points, by name; what ends in ``_shown``, ``duplicates`` and ``loops`` are means over what was
shown, ``parses`` over suggestions of several lines, ``prefix`` counts characters."""

TYPING_METRICS: Final[Mapping[str, Callable[[TypedLine], Fraction]]] = {
    "saved": lambda line: (_saved(line), len(line.truth)),
    "saved_net": lambda line: (_saved(line) - line.wrong, len(line.truth)),
    "typing_shown": lambda line: (line.shown, 1.0),
    "typing_wrong": lambda line: (line.wrong, 1.0),
    "typing_accepted": lambda line: (line.accepts, 1.0),
}
"""Of typed lines: keystrokes saved of all characters, and what is left of that where every wrong
suggestion costs as much as a key; suggestions per line that were seen, that were wrong, that were
taken."""


def measure(answers: Sequence[Answer], lines: Sequence[TypedLine] = ()) -> Measures:
    """Every metric of some answers and typed lines, and how many there are of each."""
    found: Measures = {"points": float(len(answers)), "lines": float(len(lines))}
    for name, metric in METRICS.items():
        found[name] = _mean(metric(answer) for answer in answers)
    for name, typing in TYPING_METRICS.items():
        found[name] = _mean(typing(line) for line in lines)
    return found


def _mean(fractions: Iterable[Fraction]) -> float | None:
    value = weight = 0.0
    for numerator, counts in fractions:
        value += numerator
        weight += counts
    return value / weight if weight else None


def summarize(
    repositories: Sequence[RepositoryInfo], answers: Sequence[Answer], lines: Sequence[TypedLine]
) -> Summary:
    """Means over everything, over corpora, kinds and repositories; latencies."""
    corpus_of = {one.name: str(one.corpus) for one in repositories}
    corpora = dict.fromkeys(corpus_of.values())
    kinds = dict.fromkeys(answer.point.kind for answer in answers)
    return Summary(
        all=measure(answers, lines),
        corpora={
            corpus: measure(
                [one for one in answers if corpus_of[one.point.repository] == corpus],
                [one for one in lines if corpus_of[one.repository] == corpus],
            )
            for corpus in corpora
        },
        kinds={
            str(kind): measure([one for one in answers if one.point.kind == kind])
            for kind in sorted(kinds)
        },
        repositories={
            name: measure(
                [one for one in answers if one.point.repository == name],
                [one for one in lines if one.repository == name],
            )
            for name in corpus_of
        },
        latency=_latencies(answers, lines),
    )


def _latencies(
    answers: Sequence[Answer], lines: Sequence[TypedLine]
) -> dict[str, dict[str, float]]:
    times: dict[str, list[float]] = {}
    if answers:
        times["point"] = [answer.ms for answer in answers]
    for answer in answers:
        source = (answer.data or {}).get("source")
        if source:
            times.setdefault(f"point {source}", []).append(answer.ms)
    for line in lines:
        for ask in line.asks:
            times.setdefault(ask.seen, []).append(ask.ms)
            if ask.source:
                times.setdefault(f"source {ask.source}", []).append(ask.ms)
    return {
        name: {
            "p50": percentile(found, 50),
            "p95": percentile(found, 95),
            "count": float(len(found)),
        }
        for name, found in times.items()
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank of at least one value."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
