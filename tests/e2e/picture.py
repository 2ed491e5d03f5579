"""Makes one animated SVG of a few moments of a screen.

Knows how cells become text with colours (by way of rich) and how the moments follow each other.
Deliberately knows nothing of Neovim. A viewer that does not animate, or a reader who asked for
less motion, sees the moment marked as the key one.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from operator import itemgetter

from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style as RichStyle
from rich.terminal_theme import TerminalTheme

from tests.e2e.screen import Shot, Style

FONT = "ui-monospace, 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"
CELL_WIDTH, CELL_HEIGHT = 12.2, 24.4
"""Size of a cell in the pictures rich draws: 20 units of font, 0.61 wide, 1.22 high."""
MARGIN, TITLE_HEIGHT, CAPTION_HEIGHT = 18, 44, 48
CURSOR_COLOUR = "#e0e2ea"

_FRAGMENT = """\
<style>.{unique_id}-matrix {{ font: {char_height}px %s; }}
{styles}</style>
<defs>{lines}</defs>
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
"""


@dataclass(frozen=True)
class Moment:
    """A shot, the sentence beneath it, and for how long it is shown."""

    shot: Shot
    caption: str
    seconds: float
    key: bool = False
    """Whether it is the one that is seen where nothing moves."""


def render(moments: Sequence[Moment], title: str) -> str:
    """Return the moments as an animated SVG document; ``title`` says what is to be seen."""
    shot = moments[0].shot
    width = len(shot.rows[0]) * CELL_WIDTH + 2 * MARGIN
    height = len(shot.rows) * CELL_HEIGHT + TITLE_HEIGHT + CAPTION_HEIGHT
    background = _hex(shot.default.background)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        f"<style>{_animation(moments)}</style>",
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="10" fill="{background}"/>',
        _window_bar(width, title),
        *(_moment(number, moment, width, height) for number, moment in enumerate(moments)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _animation(moments: Sequence[Moment]) -> str:
    """Return the CSS that shows one moment after the other, for ever."""
    whole = sum(moment.seconds for moment in moments)
    rules, start = [], 0.0
    for number, moment in enumerate(moments):
        first, last = 100 * start / whole, 100 * (start + moment.seconds) / whole
        steps = [f"{first:.3f}%, {last:.3f}% {{ opacity: 1 }}"]
        if first > 0:
            steps.insert(0, f"0%, {first - 0.001:.3f}% {{ opacity: 0 }}")
        if number < len(moments) - 1:
            steps.append(f"{last + 0.001:.3f}%, 100% {{ opacity: 0 }}")
        rules.append(f"@keyframes moment{number} {{ {' '.join(steps)} }}")
        rules.append(
            "@media (prefers-reduced-motion: no-preference) "
            f"{{ #moment{number} {{ animation: moment{number} {whole:.2f}s infinite; }} }}"
        )
        start += moment.seconds
    return "\n".join(rules)


def _window_bar(width: float, title: str) -> str:
    lights = "".join(
        f'<circle cx="{MARGIN + 8 + 22 * place}" cy="22" r="7" fill="{colour}"/>'
        for place, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    return (
        f'{lights}<text x="{width / 2:.0f}" y="28" text-anchor="middle" fill="#9b9ea4" '
        f'style="font: 17px {FONT}">{escape(title)}</text>'
    )


def _moment(number: int, moment: Moment, width: float, height: float) -> str:
    """Return one moment as a group; only the key one is visible by itself."""
    row, column = moment.shot.cursor
    thickness = 2.4 if moment.shot.mode == "insert" else CELL_WIDTH
    cursor = (
        f'<rect x="{column * CELL_WIDTH:.1f}" y="{row * CELL_HEIGHT + 1.5:.1f}" '
        f'width="{thickness}" height="{CELL_HEIGHT}" fill="{CURSOR_COLOUR}" '
        f'fill-opacity="{1 if moment.shot.mode == "insert" else 0.5}"/>'
    )
    return (
        f'<g id="moment{number}" opacity="{1 if moment.key else 0}">'
        f'<g transform="translate({MARGIN}, {TITLE_HEIGHT})">{_cells(number, moment.shot)}{cursor}'
        f'</g><text x="{width / 2:.0f}" y="{height - 17:.0f}" text-anchor="middle" fill="#8cf8f7" '
        f'style="font: 19px {FONT}">{escape(moment.caption)}</text></g>'
    )


def _cells(number: int, shot: Shot) -> str:
    """Let rich turn the cells into SVG text."""
    rows, columns = len(shot.rows), len(shot.rows[0])
    console = Console(
        record=True, width=columns, height=rows, file=io.StringIO(), color_system="truecolor"
    )
    segments = []
    for row in shot.rows:
        for style, run in groupby(row, key=itemgetter(1)):
            text = "".join(text for text, _ in run)
            # Some viewers drop blanks at the start of an SVG text; alone they lose nothing.
            inked = text.lstrip(" ")
            for piece in (text[: len(text) - len(inked)], inked):
                segments.append(Segment(piece, _rich_style(style, shot.default)))
        segments.append(Segment.line())
    console.print(Segments(segments), end="")
    default = shot.default
    theme = TerminalTheme(_rgb(default.background), _rgb(default.foreground), [(0, 0, 0)] * 8)
    return console.export_svg(
        title="", theme=theme, code_format=_FRAGMENT % FONT, unique_id=f"shot{number}"
    )


def _rich_style(style: Style, default: Style) -> RichStyle:
    """Return rich's word for a style; the window's own background need not be drawn again."""
    plain = style.background == default.background
    return RichStyle(
        color=_hex(style.foreground),
        bgcolor=None if plain else _hex(style.background),
        bold=style.bold,
        italic=style.italic,
        underline=style.underline,
    )


def _hex(colour: int) -> str:
    return f"#{colour:06x}"


def _rgb(colour: int) -> tuple[int, int, int]:
    return (colour >> 16 & 255, colour >> 8 & 255, colour & 255)
