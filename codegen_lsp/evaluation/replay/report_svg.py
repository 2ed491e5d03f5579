"""From a matplotlib figure to SVG that stands inside a page.

Knows colours and type: every colour is one of a palette and becomes a CSS variable, so that a
page in light or dark colours its plots too. Knows nothing of what is drawn.

The same figure gives the same bytes: no dates, identifiers from the figure's name.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PALETTE", "PERCENT", "SERIES", "WIDTH", "Plot", "colour", "draw", "short"]

WIDTH: Final = 460
"""Pixels of a plot; two stand side by side on a desk, one on a phone."""

PALETTE: Final[Mapping[str, tuple[str, str]]] = {
    "ink": ("#1d2129", "#e4e7ec"),
    "muted": ("#5b6472", "#9aa4b2"),
    "rule": ("#d9dde4", "#363d48"),
    "right": ("#0072b2", "#56b4e9"),
    "wrong": ("#b94a00", "#f08a4b"),
    "hidden": ("#c9ced6", "#4a5361"),
    "one": ("#0072b3", "#56b4ea"),
    "two": ("#b94a01", "#f08a4c"),
    "three": ("#007f5f", "#3cc19a"),
    "four": ("#a8558a", "#d997c0"),
    "five": ("#8a6d00", "#e3c440"),
    "six": ("#454c58", "#b8c0cc"),
    "inside": ("#ffffff", "#0e1116"),
}
"""Name to its colour on light and on dark; each light one stands for its name in a figure.

From Okabe and Ito's palette, which people with any common colour blindness can tell apart.
``inside`` is text on ``right`` and ``wrong``."""

PERCENT: Final = ((0, 0.25, 0.5, 0.75, 1), ("0", "25", "50", "75", "100 %"))
"""Ticks of an axis of shares."""

SERIES: Final = ("one", "two", "three", "four", "five", "six")
"""Colours of lines, in their order."""

LONGEST: Final = 28
"""Most characters of a name in a plot."""

_DPI: Final = 72  # one unit of the SVG is one pixel

_STYLE: Final[Mapping[Any, Any]] = {
    "axes.axisbelow": True,
    "axes.labelsize": 11,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": _DPI,
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the layout is the same anywhere
    "font.size": 11,
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.8,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name with dollars is a name
    "xtick.labelsize": 11,
    "xtick.major.pad": 6,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.labelsize": 11,
    "ytick.major.pad": 6,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}

_COLOURS: Final[Mapping[Any, str]] = {
    "axes.edgecolor": "rule",
    "axes.labelcolor": "muted",
    "grid.color": "rule",
    "legend.labelcolor": "ink",
    "text.color": "ink",
    "xtick.labelcolor": "muted",
    "ytick.labelcolor": "ink",
}

_NO_METADATA: Final[Mapping[str, None]] = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True, slots=True)
class Plot:
    """One figure of a page."""

    svg: str
    """An ``<svg>`` element."""

    title: str
    caption: str


def colour(name: str) -> str:
    """The colour of the palette, as a figure takes it."""
    return PALETTE[name][0]


def short(label: str) -> str:
    """A name on one line that leaves room for what it stands beside, without odd characters."""
    shown = "".join(one if one.isprintable() else "?" for one in label)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def draw(name: str, alt: str, size: tuple[int, int], plot: Callable[[Figure], None]) -> str:
    """What *plot* puts on an empty figure of *size* pixels, as an ``<svg>`` element.

    *name* is a word that no other figure of the page has; *alt* is read to those who cannot see.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        # The page's own fonts show what matplotlib's has no glyph for.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        matplotlib.rcdefaults()  # whatever the user has in a matplotlibrc
        matplotlib.rcParams.update(_STYLE)
        matplotlib.rcParams.update({key: colour(one) for key, one in _COLOURS.items()})
        matplotlib.rcParams["svg.hashsalt"] = name
        figure = Figure(figsize=(size[0] / _DPI, size[1] / _DPI), layout="constrained")
        plot(figure)
        raw = io.StringIO()
        figure.savefig(raw, format="svg", transparent=True, metadata=dict(_NO_METADATA))
    return _inline(raw.getvalue(), name, alt)


def _inline(raw: str, name: str, alt: str) -> str:
    """A whole SVG file as an element among others of an HTML page."""
    from markupsafe import escape

    inner = re.sub(r"<metadata>.*?</metadata>", "", raw, flags=re.DOTALL)
    inner = inner[inner.index(">", inner.index("<svg")) + 1 :]
    box = re.search(r'viewBox="([^"]*)"', raw)
    assert box is not None  # noqa: S101 - matplotlib always writes one
    inner = re.sub(r'\bid="', f'id="{name}-', inner)
    inner = re.sub(r'(?:xlink:)?href="#', f'href="#{name}-', inner)
    inner = inner.replace("url(#", f"url(#{name}-")
    inner = re.sub(r"<!--.*?-->\s*", "", inner, flags=re.DOTALL)
    for variable, (light, _) in PALETTE.items():
        inner = inner.replace(light, f"var(--{variable})")
    head = f'<svg viewBox="{box[1]}" role="img" aria-label="{escape(alt)}">'
    return f"{head}{inner.strip()}"
