"""What a report calls things: measures, kinds of positions, what was asked; and its numbers.

Knows words, units and which way is better. Knows no run and no page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "ASKED",
    "KINDS",
    "MEASURES",
    "MINUS",
    "NOTHING",
    "Better",
    "Measure",
    "Verdict",
    "asked",
    "duration",
    "interval",
    "number",
    "time",
    "verdict",
]

Better = Literal["more", "less", "neither"]

Verdict = Literal["better", "worse", "unclear"]

NOTHING: Final = "\N{EN DASH}"
"""Stands where there is no number."""

MINUS: Final = "\N{MINUS SIGN}"
SPACE: Final = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Measure:
    """How one metric is told."""

    label: str
    meaning: str
    better: Better = "more"
    share: bool = True
    """Whether it is a share of something, shown in per cent; else a number."""


def _shown(label: str, better: Better = "more", *, share: bool = True) -> Measure:
    return Measure(f"{label}, of shown", "the same, of what was shown only", better, share)


MEASURES: Final[Mapping[str, Measure]] = {
    "shown": Measure("shown", "positions at which something was shown", "neither"),
    "exact": Measure("exact match", "all of the suggestion is what the author wrote"),
    "exact_shown": _shown("exact match"),
    "first_line": Measure("first line exact", "its first line is what the author wrote"),
    "first_line_shown": _shown("first line exact"),
    "similarity": Measure(
        "edit similarity",
        "one minus the edit distance over the longer length; nothing shown counts as 0",
    ),
    "similarity_shown": _shown("edit similarity"),
    "identifier_f1": Measure(
        "identifier F1", "names of the suggestion against names that the author wrote"
    ),
    "identifier_f1_shown": _shown("identifier F1"),
    "prefix": Measure(
        "correct characters", "characters before the first wrong one, by position", share=False
    ),
    "prefix_shown": _shown("correct characters", share=False),
    "accepted": Measure(
        "right suggestions",
        "its first line begins what the author wrote with at least 4 visible characters, "
        "or is all of that line",
    ),
    "accepted_shown": _shown("right suggestions"),
    "wrong": Measure("wrong suggestions", "shown, and not right", "less"),
    "wrong_shown": _shown("wrong suggestions", "less"),
    "parses": Measure(
        "several lines that parse",
        "suggestions of several lines of Python with which the document parses",
    ),
    "duplicates": Measure(
        "repeats what follows", "shown suggestions that repeat the code behind the cursor", "less"
    ),
    "loops": Measure("loops", "shown suggestions that repeat themselves", "less"),
    "saved": Measure(
        "keystrokes saved", "of the characters of lines that were typed key by key; Tab costs one"
    ),
    "saved_net": Measure(
        "keystrokes saved, net", "the same if every wrong suggestion seen costs a keystroke, too"
    ),
    "typing_shown": Measure(
        "seen per typed line", "different suggestions seen", "neither", share=False
    ),
    "typing_wrong": Measure(
        "wrong per typed line",
        "those that did not begin the rest of the line",
        "less",
        share=False,
    ),
    "typing_accepted": Measure("taken per typed line", "those that were taken", share=False),
}
"""Every metric of ``summary``, in the order of reading."""

KINDS: Final[Mapping[str, str]] = {
    "line": "start of a line",
    "token": "between tokens",
    "identifier": "inside a name",
    "block": "function body",
}
"""Kind of a position to what a reader sees, in the order of reading."""

ASKED: Final[Mapping[str, str]] = {
    "point": "hidden code, waited for",
    "typed": "typing: the suggestion goes on",
    "new": "typing: a new suggestion",
    "none": "typing: nothing to suggest",
    "late": "typing: given up at the next key",
}
"""What was asked, as in a summary's latencies, to what a reader sees."""

_SOURCES: Final = {"source ": "typing: from", "point ": "hidden code: from"}


def asked(name: str) -> str:
    """What a reader sees for a key of a summary's latencies."""
    for prefix, words in _SOURCES.items():
        if name.startswith(prefix):
            return f"{words} {name.removeprefix(prefix)}"
    return ASKED.get(name, name)


def number(metric: str, value: float | None, *, signed: bool = False) -> str:
    """A value of a metric, or (signed) a difference; a dash where there is none."""
    if value is None:
        return NOTHING
    text = _digits(metric, value, signed=signed)
    if not MEASURES[metric].share:
        return text
    return text + SPACE + ("pp" if signed else "%")


def interval(metric: str, low: float | None, high: float | None) -> str:
    """The bounds of a difference, without their unit; a dash where nobody knows them."""
    if low is None or high is None:
        return NOTHING
    return f"{_digits(metric, low, signed=True)} … {_digits(metric, high, signed=True)}"


def _digits(metric: str, value: float, *, signed: bool) -> str:
    text = f"{100 * value:.1f}" if MEASURES[metric].share else f"{value:.2f}"
    if float(text) == 0:
        return text.removeprefix("-")
    sign = "+" if signed and value > 0 else ""
    return sign + text.replace("-", MINUS)


def verdict(metric: str, low: float | None, high: float | None) -> Verdict:
    """What an interval of differences says; ``unclear`` also where neither way is better, and
    where there is no interval.
    """
    better = MEASURES[metric].better
    if better == "neither" or low is None or high is None or low <= 0 <= high:
        return "unclear"
    return "better" if (low > 0) == (better == "more") else "worse"


def time(ms: float) -> str:
    """Milliseconds with three digits at most, or seconds."""
    if ms >= 1000:
        return f"{ms / 1000:.1f}{SPACE}s"
    return f"{ms:.1f}{SPACE}ms" if ms < 10 else f"{ms:.0f}{SPACE}ms"


def duration(seconds: float) -> str:
    """How long something took, in its two largest units."""
    whole = round(seconds)
    parts = ((whole // 3600, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    told = [f"{count}{SPACE}{unit}" for count, unit in parts if count]
    return " ".join(told[:2]) or f"0{SPACE}s"
