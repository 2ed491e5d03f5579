"""The tables of a report: captions, headings and cells, all of them texts.

Knows which numbers stand where. What they are called is :mod:`.report_words`' affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from codegen_lsp.evaluation.replay.bootstrap import Comparison, Difference
from codegen_lsp.evaluation.replay.report_words import (
    ASKED,
    KINDS,
    MEASURES,
    NOTHING,
    Verdict,
    asked,
    interval,
    number,
    time,
    verdict,
)
from codegen_lsp.evaluation.replay.results import Measures, Run

__all__ = [
    "Cell",
    "KeyFigure",
    "Table",
    "ablations",
    "by_kind",
    "by_repository",
    "differences",
    "key_figures",
    "latencies",
    "resampling",
]

KEY: Final = ("exact", "similarity", "accepted", "wrong", "saved")
"""Metrics of the key figures."""

ABLATED: Final = ("exact", "similarity", "accepted", "wrong", "saved")
"""Metrics of other runs."""

BY_REPOSITORY: Final = ("shown", "exact", "similarity", "accepted", "wrong", "saved")


@dataclass(frozen=True, slots=True)
class Cell:
    """One number, and what is said of it."""

    text: str
    note: str = ""
    """A smaller second line."""

    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a label and cells."""

    caption: str
    head: Sequence[str]
    """One more than a row has cells: the first is the labels' heading."""

    rows: Sequence[tuple[str, Sequence[Cell]]]


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """One number that matters."""

    label: str
    value: str
    meaning: str
    difference: str = ""
    """To the baseline."""

    interval: str = ""
    """What is said below that: the difference's interval, or another number."""

    verdict: Verdict | None = None


def key_figures(run: Run, comparison: Comparison | None) -> list[KeyFigure]:
    """The few numbers that are read first."""
    found = [
        _key_figure(metric, run.summary.all, comparison)
        for metric in KEY
        if run.summary.all.get(metric) is not None
    ]
    times = run.summary.latency.get("point")
    if times is not None:
        meaning = "median time from a request for hidden code to its answer, and 95th percentile"
        found.append(
            KeyFigure(
                "answer time", time(times["p50"]), meaning, interval=f"p95 {time(times['p95'])}"
            )
        )
    return found


def _key_figure(metric: str, measures: Measures, comparison: Comparison | None) -> KeyFigure:
    told = MEASURES[metric]
    value = number(metric, measures[metric])
    one = None if comparison is None else comparison.metrics.get(metric)
    if one is None:
        return KeyFigure(told.label, value, told.meaning)
    return KeyFigure(
        told.label,
        value,
        told.meaning,
        number(metric, one.difference, signed=True),
        interval(metric, one.low, one.high),
        verdict(metric, one.low, one.high),
    )


def by_kind(run: Run) -> Table:
    """Every measure, over everything, by corpus where there are several, and by kind."""
    summary = run.summary
    columns: list[tuple[str, Measures]] = [("all", summary.all)]
    if len(summary.corpora) > 1:
        columns += summary.corpora.items()
    columns += [(KINDS[kind], summary.kinds[kind]) for kind in KINDS if kind in summary.kinds]
    rows = [_counts(columns)]
    for metric, told in MEASURES.items():
        if metric.endswith("_shown") and metric != "typing_shown":
            continue  # stands in the row of the metric without
        cells = [_with_shown(metric, measures) for _, measures in columns]
        if any(cell.text != NOTHING for cell in cells):
            rows.append((told.label, cells))
    caption = "What was measured; the smaller number is of what was shown only."
    return Table(caption, ["measure", *(name for name, _ in columns)], rows)


def _counts(columns: Sequence[tuple[str, Measures]]) -> tuple[str, list[Cell]]:
    return "positions", [Cell(f"{measures['points'] or 0:,.0f}") for _, measures in columns]


def _with_shown(metric: str, measures: Measures) -> Cell:
    shown = measures.get(f"{metric}_shown")
    note = "" if shown is None else number(metric, shown)
    return Cell(number(metric, measures.get(metric)), note)


def by_repository(run: Run) -> Table:
    """The measures that matter, by repository."""
    rows = [
        (
            name,
            [
                Cell(f"{measures['points'] or 0:,.0f}"),
                *(Cell(number(metric, measures.get(metric))) for metric in BY_REPOSITORY),
            ],
        )
        for name, measures in run.summary.repositories.items()
    ]
    head = ["repository", "positions", *(MEASURES[metric].label for metric in BY_REPOSITORY)]
    return Table("The same by repository.", head, rows)


def latencies(run: Run) -> Table:
    """Median, 95th percentile and count by what was asked."""
    rows = [
        (
            asked(name),
            [Cell(time(found["p50"])), Cell(time(found["p95"])), Cell(f"{found['count']:,.0f}")],
        )
        for name, found in sorted(run.summary.latency.items(), key=lambda item: _turn(item[0]))
    ]
    caption = "Time to an answer; for what was given up, time until the next key."
    return Table(caption, ["answer", "median", "95th percentile", "count"], rows)


def _turn(name: str) -> tuple[int, str]:
    """What was asked in the order of reading, then sources by name."""
    known = list(ASKED)
    return (known.index(name) if name in known else len(known)), name


def differences(comparison: Comparison) -> Table:
    """Every measure in both runs, and what differs."""
    rows = [
        (
            MEASURES[metric].label,
            [
                Cell(number(metric, one.a)),
                Cell(number(metric, one.b)),
                _difference(metric, one),
            ],
        )
        for metric, one in comparison.metrics.items()
    ]
    caption = f"This run and the baseline; {resampling(comparison)}."
    return Table(caption, ["measure", "baseline", "this run", "difference"], rows)


def ablations(compared: Sequence[tuple[str, Comparison]]) -> Table:
    """Runs by name: what each does better or worse than this one."""
    rows = [
        (
            name,
            [
                Cell(NOTHING)
                if (one := found.metrics.get(metric)) is None
                else _difference(metric, one)
                for metric in ABLATED
            ],
        )
        for name, found in compared
    ]
    caption = f"What differs from this run; {resampling(compared[0][1])}."
    return Table(caption, ["run", *(MEASURES[metric].label for metric in ABLATED)], rows)


def _difference(metric: str, one: Difference) -> Cell:
    return Cell(
        number(metric, one.difference, signed=True),
        interval(metric, one.low, one.high),
        verdict(metric, one.low, one.high),
    )


def resampling(comparison: Comparison) -> str:
    """How sure an interval is, in words."""
    words = {"repository": "repositories", "file": "files", "position": "positions"}
    units = comparison.unit if comparison.units == 1 else words[comparison.unit]
    return (
        f"95 % intervals from a paired bootstrap over {comparison.units} {units}, "
        f"{comparison.draws:,} draws"
    )
