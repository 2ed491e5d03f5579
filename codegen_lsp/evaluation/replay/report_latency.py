"""The latency plots of a report: how many answers came within which time.

Knows which answers belong together. How a figure gets into a page is :mod:`.report_svg`'s affair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from codegen_lsp.evaluation.replay.report_svg import (
    PERCENT,
    SERIES,
    WIDTH,
    Plot,
    colour,
    draw,
    short,
)
from codegen_lsp.evaluation.replay.report_words import time
from codegen_lsp.evaluation.replay.results import Run
from codegen_lsp.evaluation.replay.summary import percentile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["latency_by_question", "latency_by_source"]

MOST_STEPS: Final = 200
"""Of one curve: more cannot be seen, and would make the page large."""

LEAST_MS: Final = 0.1
"""What is faster is drawn as this; the axis is logarithmic."""

_DASHES: Final = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)), "solid", (0, (3, 1)))


def latency_by_question(run: Run) -> Plot | None:
    """How many answers came within which time, by what was asked.

    What was given up is left out: nobody knows how long it would have taken.
    """
    times = {"hidden code": [answer.ms for answer in run.points]}
    words = {"typed": "typing: goes on", "new": "typing: new", "none": "typing: nothing"}
    for seen, label in words.items():
        times[label] = [ask.ms for line in run.typing for ask in line.asks if ask.seen == seen]
    late = sum(ask.seen == "late" for line in run.typing for ask in line.asks)
    asks = sum(len(line.asks) for line in run.typing)
    caption = "The share of answers that were there after a time, by what was asked."
    if asks:
        caption += (
            f" Left out: {late:,} of {asks:,} questions while typing, given up for the next key."
        )
    return _shares_in_time("asked", "By what was asked", caption, times)


def latency_by_source(run: Run) -> Plot | None:
    """The same by where the server says that it had the suggestion from."""
    times: dict[str, list[float]] = {}
    for answer in run.points:
        source = str((answer.data or {}).get("source", ""))
        times.setdefault(source, []).append(answer.ms)
    for line in run.typing:
        for ask in line.asks:
            times.setdefault(ask.source, []).append(ask.ms)
    times.pop("", None)
    ordered = dict(sorted(times.items(), key=lambda item: percentile(item[1], 50)))
    caption = "The same for suggestions that were shown, by where the server had them from."
    return _shares_in_time("source", "By source", caption, ordered)


def _shares_in_time(
    name: str, title: str, caption: str, times: Mapping[str, Sequence[float]]
) -> Plot | None:
    """A curve for each; as many as there are colours."""
    held = {label: sorted(found) for label, found in times.items() if found}
    held = dict(list(held.items())[: len(SERIES)])
    if not held:
        return None

    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        for turn, (label, found) in enumerate(held.items()):
            _steps(axes, found, turn, f"{short(label)} ({len(found):,})")
        ticks = _decades([one for found in held.values() for one in (found[0], found[-1])])
        axes.set_xscale("log")
        axes.set_xlim(ticks[0], ticks[-1])
        axes.set_xticks(ticks, [_tick(one) for one in ticks])
        axes.minorticks_off()
        axes.set_ylim(0, 1.02)
        axes.set_yticks(*PERCENT)
        axes.grid(visible=True)
        axes.spines["left"].set_visible(False)
        figure.legend(loc="outside upper left", ncols=2)

    alt = "; ".join(f"{label}: half within {time(percentile(held[label], 50))}" for label in held)
    return Plot(draw(name, alt, (WIDTH, 320), plot), title, caption)


def _decades(values: Sequence[float]) -> list[float]:
    """Powers of ten around some milliseconds, at least two."""
    low = math.floor(math.log10(max(min(values), LEAST_MS)))
    high = math.ceil(math.log10(max(max(values), LEAST_MS)))
    return [10.0**power for power in range(low, max(low + 1, high) + 1)]


def _steps(axes: Axes, ordered: Sequence[float], turn: int, label: str) -> None:
    import numpy as np

    shares = np.linspace(0, 1, min(MOST_STEPS, len(ordered) + 1))
    values = np.quantile(ordered, shares, method="inverted_cdf")
    axes.plot(
        np.maximum(values, LEAST_MS),
        shares,
        drawstyle="steps-post",
        color=colour(SERIES[turn]),
        linestyle=_DASHES[turn],
        label=label,
    )


def _tick(ms: float) -> str:
    return f"{ms / 1000:g} s" if ms >= 1000 else f"{ms:g} ms"
