"""The plots of a report that show quality: what was right, wrong and hidden, and where.

Every function gives a :class:`~.report_svg.Plot`, or ``None`` where there is nothing to draw.
Knows which answers belong together. How a figure gets into a page is :mod:`.report_svg`'s affair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from codegen_lsp.evaluation.replay.report_svg import PERCENT, WIDTH, Plot, colour, draw, short
from codegen_lsp.evaluation.replay.report_words import KINDS, NOTHING
from codegen_lsp.evaluation.replay.results import Answer, Run
from codegen_lsp.evaluation.replay.scoring import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["acceptance", "calibration", "quality_by_kind", "quality_by_repository", "wilson"]

LENGTHS: Final = (1, 5, 10, 20, 40, 80)
"""Where classes of suggestions by their visible characters begin."""

TENTHS: Final = 10

_READABLE: Final = 0.085
"""Least share whose number fits into its part of a bar."""

_PARTS: Final = (
    ("right", "right", "inside"),
    ("wrong", "wrong", "inside"),
    ("hidden", "not shown", "ink"),
)
"""Of a bar: its colour, what it says, the colour of its number."""


class _Bar(NamedTuple):
    """One kind or repository, in this run and in the baseline."""

    label: str
    answers: Sequence[Answer]
    before: Sequence[Answer]
    """Empty without a baseline."""


def quality_by_kind(run: Run, baseline: Run | None = None) -> Plot | None:
    """What was right, wrong and hidden, by kind of position."""
    now, then = _grouped(run, "kind"), _grouped(baseline, "kind")
    bars = [_Bar("all", run.points, baseline.points if baseline else [])]
    for kind, label in KINDS.items():
        if kind in now:
            bars.append(_Bar(label, now[kind], then.get(kind, [])))
    caption = "Shares of the positions of each kind; their number stands under the kind."
    return _bars("kinds", "By kind of position", caption, bars if run.points else [], 46)


def quality_by_repository(run: Run, baseline: Run | None = None) -> Plot | None:
    """The same by repository, best first; ``None`` if there is only one."""
    now, then = _grouped(run, "repository"), _grouped(baseline, "repository")
    if len(now) < 2:
        return None
    names = sorted(now, key=lambda name: (-_outcomes(now[name])[0], name))
    bars = [_Bar(name, now[name], then.get(name, [])) for name in names]
    height = 46 if len(bars) <= len(KINDS) + 1 else 22
    return _bars("repositories", "By repository", "The same by repository.", bars, height)


def _grouped(run: Run | None, field: str) -> dict[str, list[Answer]]:
    found: dict[str, list[Answer]] = {}
    for answer in () if run is None else run.points:
        found.setdefault(str(getattr(answer.point, field)), []).append(answer)
    return found


def _outcomes(answers: Sequence[Answer]) -> tuple[float, float, float]:
    """Shares of what was right and shown, wrong and shown, not shown."""
    total = max(1, len(answers))
    right = sum(answer.scores.accepted for answer in answers)
    shown = sum(answer.text is not None for answer in answers)
    return right / total, (shown - right) / total, 1 - shown / total


def _bars(name: str, title: str, caption: str, bars: Sequence[_Bar], height: int) -> Plot | None:
    """A stacked bar for each, *height* pixels apart."""
    if not bars:
        return None
    tall = height > 30

    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        for place, bar in enumerate(bars):
            main = 0.48 if bar.before else 0.66
            _stack(axes, place - (0.12 if bar.before else 0), main, _outcomes(bar.answers), tall)
            if bar.before:
                _stack(axes, place + 0.28, 0.2, _outcomes(bar.before), False)
        gap = "\n" if tall else "  "
        axes.set_yticks(
            range(len(bars)), [f"{short(bar.label)}{gap}{len(bar.answers):,}" for bar in bars]
        )
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.set_xticks(*PERCENT)
        axes.spines[["left", "bottom"]].set_visible(False)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles[:3], labels[:3], loc="outside upper left", ncols=3)

    if any(bar.before for bar in bars):
        caption += " The thin bar is the baseline."
    svg = draw(name, "; ".join(map(_told, bars)), (WIDTH, 64 + height * len(bars)), plot)
    return Plot(svg, title, caption)


def _told(bar: _Bar) -> str:
    right, wrong, hidden = (f"{100 * share:.0f} %" for share in _outcomes(bar.answers))
    return f"{bar.label}: {right} right, {wrong} wrong, {hidden} not shown"


def _stack(
    axes: Axes, place: float, height: float, outcomes: Sequence[float], numbers: bool
) -> None:
    left = 0.0
    for share, (fill, label, ink) in zip(outcomes, _PARTS, strict=True):
        axes.barh(place, share, height, left, color=colour(fill), label=label, linewidth=0)
        if numbers and share >= _READABLE:
            middle, text = left + share / 2, f"{100 * share:.0f}"
            axes.text(middle, place, text, color=colour(ink), ha="center", va="center")
        left += share


class _Length(NamedTuple):
    """Suggestions of some length."""

    label: str
    suggestions: int
    good: int
    """Suggestions that were right."""

    right: int
    """Characters before the first wrong one, in those."""

    characters: int


def acceptance(run: Run) -> Plot | None:
    """Characters of suggestions that were right and that were not, by the suggestion's length."""
    classes = _lengths(run)
    if not any(one.suggestions for one in classes):
        return None

    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        places = range(len(classes))
        right = [one.right for one in classes]
        rest = [one.characters - one.right for one in classes]
        axes.bar(places, right, 0.7, color=colour("right"), label="right, in right suggestions")
        axes.bar(places, rest, 0.7, right, color=colour("hidden"), label="all others")
        for place, one in enumerate(classes):
            text = f"{one.good:,} of {one.suggestions:,}" if one.suggestions else NOTHING
            _over(axes, place, one.characters, text)
        axes.set_xticks(places, [one.label for one in classes])
        axes.set_xlabel("visible characters of the suggestion")
        axes.set_ylabel("characters")
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.margins(y=0.12)
        axes.grid(visible=True, axis="y")
        axes.spines["left"].set_visible(False)
        figure.legend(loc="outside upper left", ncols=2)

    alt = "; ".join(
        f"{one.label} characters: {one.right:,} of {one.characters:,} right" for one in classes
    )
    caption = (
        "Characters of all shown suggestions, by their length. Above a bar: how many suggestions "
        "were right. Right are the characters before the first wrong one, where the first line was."
    )
    return Plot(draw("lengths", alt, (WIDTH, 320), plot), "By length", caption)


def _lengths(run: Run) -> list[_Length]:
    found = []
    for low, high in pairwise((*LENGTHS, math.inf)):
        of = [one for one in run.points if one.text and low <= max(1, visible(one.text)) < high]
        good = [one for one in of if one.scores.accepted]
        found.append(
            _Length(
                f"{low} +" if math.isinf(high) else f"{low} to {high - 1}",
                len(of),
                len(good),
                sum(one.scores.prefix for one in good),
                sum(len(one.text or "") for one in of),
            )
        )
    return found


def _over(axes: Axes, x: float, y: float, text: str) -> None:
    """A small word above a point."""
    style: dict[str, Any] = {"ha": "center", "fontsize": 10, "color": colour("muted")}
    axes.annotate(text, (x, y), (0, 4), textcoords="offset points", **style)


class _Tenth(NamedTuple):
    """Suggestions with about the same confidence."""

    said: float
    """Their mean confidence."""

    good: int
    of: int


def calibration(run: Run) -> Plot | None:
    """How often suggestions were right, against how sure the server said it was of them."""
    tenths = _tenths(run.points)
    if not tenths:
        return None
    total = sum(one.of for one in tenths)
    error = sum(abs(one.said * one.of - one.good) for one in tenths) / total

    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=colour("muted"), linewidth=1, linestyle=(0, (4, 3)))
        for one in tenths:
            low, high = wilson(one.good, one.of)
            axes.plot([one.said] * 2, [low, high], color=colour("right"), solid_capstyle="butt")
            axes.plot(one.said, one.good / one.of, "o", color=colour("right"), markersize=6)
            _over(axes, one.said, high, f"{one.of:,}")
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.08)
        axes.set_xticks(*PERCENT)
        axes.set_yticks(*PERCENT)
        axes.set_xlabel("said to be right")
        axes.set_ylabel("were right")
        axes.grid(visible=True)
        axes.spines[["left", "bottom"]].set_visible(False)

    alt = "; ".join(
        f"said {100 * one.said:.0f} %, right {one.good:,} of {one.of:,}" for one in tenths
    )
    caption = (
        "Shown suggestions by tenths of the confidence that came with them, with 95 % intervals "
        "(Wilson) and their number. On the dashed line what was said is what happened; the mean "
        f"distance from it is {100 * error:.1f} percentage points."
    )
    return Plot(draw("confidence", alt, (WIDTH, 320), plot), "By confidence", caption)


def _tenths(answers: Sequence[Answer]) -> list[_Tenth]:
    """By tenth, without empty ones; none where the server says nothing."""
    held: dict[int, list[tuple[float, bool]]] = {}
    for answer in answers:
        data: Mapping[str, object] = answer.data or {}
        said = data.get("confidence")
        if answer.text is not None and isinstance(said, int | float) and 0 <= said <= 1:
            tenth = min(TENTHS - 1, int(said * TENTHS))
            held.setdefault(tenth, []).append((float(said), answer.scores.accepted))
    return [
        _Tenth(sum(said for said, _ in of) / len(of), sum(good for _, good in of), len(of))
        for _, of in sorted(held.items())
    ]


def wilson(good: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, *J. Am. Stat. Assoc.* 22, 1927)."""
    z = 1.959964
    share, shrink = good / count, 1 + z * z / count
    middle = (share + z * z / (2 * count)) / shrink
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / shrink
    return max(0.0, middle - half), min(1.0, middle + half)
