"""A replay, and the difference of two, as tables on stdout. Knows words and columns only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from codegen_lsp.evaluation.replay.bootstrap import Comparison, Difference
from codegen_lsp.evaluation.replay.report_words import MEASURES
from codegen_lsp.evaluation.replay.results import Measures, Run

__all__ = ["show_comparison", "show_run"]

BY_REPOSITORY: Sequence[str] = (
    "shown",
    "exact",
    "similarity",
    "accepted",
    "wrong",
    "saved",
)


def show_run(run: Run) -> None:
    """What was measured: metrics by kind, repositories, latencies."""
    console = Console()
    summary = run.summary
    columns: list[tuple[str, Measures]] = [("all", summary.all)]
    if len(summary.corpora) > 1:
        columns += summary.corpora.items()
    columns += summary.kinds.items()
    model, seconds = run.settings.get("model"), run.seconds
    table = Table(title=f"{model}: {len(run.points)} points, {len(run.typing)} typed lines")
    table.add_column("measured")
    for name, measures in columns:
        table.add_column(f"{name} ({measures['points'] or 0:.0f})", justify="right")
    for metric, measure in MEASURES.items():
        values = [_pair(metric, measures) for _, measures in columns]
        if any(values) and not _of_shown(metric):
            table.add_row(measure.label, *values)
    table.caption = (
        f"shares in %, in brackets of what was shown; seed {run.seed}, "
        f"codegen-lsp {run.version}, {seconds:.0f} s"
    )
    console.print(table)
    console.print(_repositories(summary.repositories))
    console.print(_latencies(summary.latency))


def _of_shown(metric: str) -> bool:
    """Whether a metric stands in brackets beside the one that it is named after."""
    return metric.removesuffix("_shown") in MEASURES and metric.endswith("_shown")


def _pair(metric: str, measures: Measures) -> str:
    """A metric over all points and, in brackets, over those where something was shown."""
    shown = _value(metric, measures.get(f"{metric}_shown"))
    return _value(metric, measures.get(metric)) + (f" ({shown})" if shown else "")


def _repositories(found: Mapping[str, Measures]) -> Table:
    table = Table(title="repositories", caption="shares in %")
    table.add_column("name")
    for heading in ("points", *BY_REPOSITORY):
        label = MEASURES[heading].label if heading in MEASURES else heading
        table.add_column(label, justify="right")
    for name, measures in found.items():
        values = [_value(metric, measures.get(metric)) for metric in BY_REPOSITORY]
        table.add_row(name, f"{measures['points'] or 0:.0f}", *values)
    return table


def _latencies(found: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table(title="latency")
    table.add_column("answer")
    for heading in ("p50", "p95", "count"):
        table.add_column(heading, justify="right")
    for name, times in found.items():
        table.add_row(
            name, f"{times['p50']:.1f} ms", f"{times['p95']:.1f} ms", f"{times['count']:.0f}"
        )
    return table


def show_comparison(comparison: Comparison) -> None:
    """Each metric in both runs, and the 95 % interval of its difference."""
    table = Table(title=f"difference by {comparison.units} {_plural(comparison)}")
    table.add_column("measured")
    for heading in ("A", "B", "B - A", "95 % interval"):
        table.add_column(heading, justify="right")
    for metric, one in comparison.metrics.items():
        table.add_row(MEASURES[metric].label, *_difference(metric, one))
    table.caption = f"shares in %; paired bootstrap, {comparison.draws} draws"
    Console().print(table)


def _plural(comparison: Comparison) -> str:
    words = {"repository": "repositories", "file": "files", "position": "positions"}
    return comparison.unit if comparison.units == 1 else words[comparison.unit]


def _difference(metric: str, one: Difference) -> tuple[str, str, str, str]:
    if one.low is None or one.high is None:
        bounds = ""
    else:
        sure = "*" if one.low > 0 or one.high < 0 else " "
        low, high = (_value(metric, end, signed=True) for end in (one.low, one.high))
        bounds = f"{low} … {high} {sure}"
    return (
        _value(metric, one.a),
        _value(metric, one.b),
        _value(metric, one.difference, signed=True),
        bounds,
    )


def _value(metric: str, value: float | None, *, signed: bool = False) -> str:
    """Shares in percent."""
    if value is None:
        return ""
    sign = "+" if signed else ""
    return f"{100 * value:{sign}.1f}" if MEASURES[metric].share else f"{value:{sign}.2f}"
