"""What Neovim draws: a grid of characters with colours, kept up to date from its UI events.

Knows the part of Neovim's UI protocol that a terminal needs (``ext_linegrid``, see ``:h ui``).
Deliberately knows neither how the events arrive nor how a picture is made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Style:
    """How a cell looks; colours are ``0xRRGGBB``."""

    foreground: int
    background: int
    bold: bool = False
    italic: bool = False
    underline: bool = False


@dataclass(frozen=True)
class Cell:
    """One place of the grid."""

    text: str = " "
    """One character with its combining marks; empty right of a character two cells wide."""
    highlight: int = 0
    """The number of a highlight Neovim has defined; 0 is the default."""


@dataclass(frozen=True)
class Shot:
    """The screen at one moment: it no longer changes."""

    rows: tuple[tuple[tuple[str, Style], ...], ...]
    """Cells from top to bottom, left to right."""
    cursor: tuple[int, int]
    """Row and column of the cursor, from 0."""
    mode: str
    """Neovim's name of the cursor shape: ``normal``, ``insert``, …"""
    default: Style

    @property
    def text(self) -> list[str]:
        """The rows without colours and without blanks at their ends."""
        return ["".join(text for text, _ in row).rstrip() for row in self.rows]


@dataclass
class Screen:
    """The grid; :meth:`handle` takes what one ``redraw`` notification carries."""

    columns: int
    lines: int
    cells: list[list[Cell]] = field(default_factory=list)
    highlights: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    default: Style = Style(foreground=0xE0E2EA, background=0x14161B)
    cursor: tuple[int, int] = (0, 0)
    mode: str = "normal"

    def __post_init__(self) -> None:
        self._resize(1, self.columns, self.lines)

    def handle(self, events: Sequence[Sequence[Any]]) -> None:
        """Apply a batch of events: each is a name, then the arguments of one or more calls."""
        table: dict[str, Callable[..., None]] = {
            "grid_resize": self._resize,
            "grid_clear": self._clear,
            "grid_line": self._line,
            "grid_scroll": self._scroll,
            "grid_cursor_goto": self._goto,
            "hl_attr_define": self._define,
            "default_colors_set": self._default_colours,
            "mode_change": self._mode,
        }
        for name, *calls in events:
            apply = table.get(name)
            if apply is not None:
                for arguments in calls:
                    apply(*arguments)

    def shot(self) -> Shot:
        """Return the screen as it is now."""
        rows = tuple(
            tuple((cell.text, self._style(cell.highlight)) for cell in row) for row in self.cells
        )
        return Shot(rows=rows, cursor=self.cursor, mode=self.mode, default=self.default)

    def _style(self, highlight: int) -> Style:
        attributes = self.highlights.get(highlight, {})
        foreground = attributes.get("foreground", self.default.foreground)
        background = attributes.get("background", self.default.background)
        if attributes.get("reverse"):
            foreground, background = background, foreground
        return Style(
            foreground=foreground,
            background=background,
            bold=bool(attributes.get("bold")),
            italic=bool(attributes.get("italic")),
            underline=bool(attributes.get("underline")),
        )

    def _resize(self, _grid: int, columns: int, lines: int) -> None:
        self.columns, self.lines = columns, lines
        self._clear(_grid)

    def _clear(self, _grid: int) -> None:
        self.cells = [[Cell()] * self.columns for _ in range(self.lines)]

    def _line(self, _grid: int, row: int, column: int, cells: Sequence[Any], *_: object) -> None:
        highlight = 0
        for text, *rest in cells:
            highlight = rest[0] if rest else highlight
            for _repeat in range(rest[1] if len(rest) > 1 else 1):
                self.cells[row][column] = Cell(text, highlight)
                column += 1

    def _scroll(
        self, _grid: int, top: int, bottom: int, left: int, right: int, rows: int, _columns: int
    ) -> None:
        """Move a region up by ``rows`` (down where negative); what is uncovered is drawn later."""
        targets = range(top, bottom) if rows > 0 else range(bottom - 1, top - 1, -1)
        for target in targets:
            source = target + rows
            if top <= source < bottom:
                self.cells[target][left:right] = self.cells[source][left:right]

    def _goto(self, _grid: int, row: int, column: int) -> None:
        self.cursor = (row, column)

    def _define(self, number: int, rgb: Mapping[str, Any], *_: object) -> None:
        self.highlights[number] = rgb

    def _default_colours(self, foreground: int, background: int, *_: object) -> None:
        self.default = replace(self.default, foreground=foreground, background=background)

    def _mode(self, name: str, *_: object) -> None:
        self.mode = name
