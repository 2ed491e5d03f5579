"""The forest plots of a report: differences between runs, with their intervals.

Knows which metrics stand in which plot. What differs is ``bootstrap``'s affair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from codegen_lsp.evaluation.replay.bootstrap import Comparison, Difference
from codegen_lsp.evaluation.replay.report_svg import WIDTH, Plot, colour, draw, short
from codegen_lsp.evaluation.replay.report_words import MEASURES, MINUS, Verdict, number, verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ablation_forests", "difference_forests"]

DIFFERENCES: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
    "all": (
        "Of all positions",
        (
            "shown",
            "exact",
            "first_line",
            "similarity",
            "identifier_f1",
            "accepted",
            "wrong",
            "saved",
            "saved_net",
        ),
    ),
    "shown": (
        "Of what was shown",
        (
            "exact_shown",
            "first_line_shown",
            "similarity_shown",
            "identifier_f1_shown",
            "wrong_shown",
            "parses",
            "duplicates",
            "loops",
        ),
    ),
}
"""Name of a plot to its title and its metrics, all of them shares."""

ABLATED: Final = ("similarity", "accepted", "wrong", "saved")
"""One plot for each, of all runs."""

_MARKS: Final[Mapping[Verdict, str]] = {"better": "right", "worse": "wrong", "unclear": "muted"}

_Row = tuple[str, str, Difference]
"""Label, metric, what differs."""


def difference_forests(comparison: Comparison) -> list[Plot]:
    """How a run differs from its baseline."""
    found = []
    for name, (title, metrics) in DIFFERENCES.items():
        rows = [
            (MEASURES[metric].label.removesuffix(", of shown"), metric, comparison.metrics[metric])
            for metric in metrics
            if metric in comparison.metrics
        ]
        found.append(
            _forest(
                f"difference-{name}",
                title,
                "This run minus the baseline, with 95 % intervals.",
                rows,
            )
        )
    return [plot for plot in found if plot is not None]


def ablation_forests(compared: Sequence[tuple[str, Comparison]]) -> list[Plot]:
    """How other runs, by name, differ from a run."""
    found = []
    for metric in ABLATED:
        rows = [
            (name, metric, one.metrics[metric]) for name, one in compared if metric in one.metrics
        ]
        title = MEASURES[metric].label.capitalize()
        found.append(
            _forest(
                f"ablation-{metric}", title, "Each run minus this one, with 95 % intervals.", rows
            )
        )
    return [plot for plot in found if plot is not None]


def _forest(name: str, title: str, caption: str, rows: Sequence[_Row]) -> Plot | None:
    if not rows:
        return None

    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        for place, (_, metric, one) in enumerate(rows):
            ink = colour(_MARKS[verdict(metric, one.low, one.high)])
            if one.low is None or one.high is None:
                fill = "none"
            else:
                fill = "none" if one.low <= 0 <= one.high else ink
                ends = [100 * one.low, 100 * one.high]
                axes.plot(ends, [place, place], color=ink, solid_capstyle="butt")
            axes.plot(100 * one.difference, place, "o", ms=6, color=ink, markerfacecolor=fill)
        axes.axvline(0, color=colour("muted"), linewidth=1)
        axes.set_yticks(range(len(rows)), [short(label) for label, _, _ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel("difference in percentage points")
        axes.xaxis.set_major_formatter(_signed)
        axes.grid(visible=True, axis="x")
        axes.spines[["left", "bottom"]].set_visible(False)

    alt = "; ".join(
        f"{label}: {number(metric, one.difference, signed=True)}" for label, metric, one in rows
    )
    return Plot(draw(name, alt, (WIDTH, 58 + 24 * len(rows)), plot), title, caption)


def _signed(value: float, _: float) -> str:
    """A tick of an axis of differences."""
    return f"{value:+g}".replace("-", MINUS) if value else "0"
