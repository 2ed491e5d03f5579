"""The report of a replay as a picture, for the README.

    python -m tests.bench.report_picture REPORT.html PICTURE.png [--sections ID ...] [--width 1000]
    python -m tests.bench.report_picture REPORT.html PICTURE.svg

A PNG is what a headless Chromium shows of the page's sections, in 256 colours; an SVG, which needs
no browser, is the plots alone. Whatever the report says is in the picture: make it from a report
of public code.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from html import unescape
from pathlib import Path

from codegen_lsp.errors import CodegenError, DocumentError, UsageError

SECTIONS = ("key", "quality", "differences", "ablations")
"""Those of a report that say most in the least room."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
TALL = 6000
"""Pixels that the page is given; what it leaves empty is cut off."""

MARGIN = 32

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
"""Nothing is fetched, and no window is opened."""

FIGURE = re.compile(
    r'<figure>\s*<h3>(.*?)</h3>\s*<svg viewBox="0 0 (\S+) (\S+)"(.*?)</figure>', re.DOTALL
)
"""Title, width, height and the rest of a plot."""

COLUMN, GAP, TITLE = 460, 40, 30
"""Pixels of a picture of plots."""


def picture_of_page(page: str, out: Path, sections: Sequence[str], width: int) -> None:
    """A PNG of the head and of some sections of a report.

    :raises UsageError: there is no browser, or it shows nothing.
    """
    from PIL import Image, ImageChops

    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise UsageError("there is no Chromium", mend="install it, or name a picture.svg")
    kept = ",".join(f'[aria-labelledby="{name}"]' for name in sections)
    rule = f"<style>details, main > section:not({kept}) {{ display: none; }}</style></head>"
    with tempfile.TemporaryDirectory() as scratch:
        shown, shot = Path(scratch, "page.html"), Path(scratch, "page.png")
        shown.write_text(page.replace("</head>", rule, 1), encoding="utf-8")
        places = [f"--user-data-dir={scratch}/home", f"--screenshot={shot}", shown.as_uri()]
        command = [browser, *FLAGS, f"--window-size={width},{TALL}", *places]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if not shot.exists():
            raise UsageError(f"{browser} shows nothing: {done.stderr[-300:]}")
        with Image.open(shot) as whole:
            image = whole.convert("RGB")
    blank = Image.new("RGB", image.size, image.getpixel((0, image.height - 1)))
    box = ImageChops.difference(image, blank).getbbox()
    bottom = image.height if box is None else min(image.height, box[3] + MARGIN)
    cut = image.crop((0, 0, width, bottom)).quantize(256)
    cut.save(out, optimize=True)


def picture_of_plots(page: str, out: Path) -> None:
    """An SVG of a report's plots, two beside each other, in the light colours.

    :raises DocumentError: the page has none.
    """
    plots = FIGURE.findall(page)
    if not plots:
        raise DocumentError("the page has no plots", mend="name a report of a replay")
    y, parts = 0.0, []
    for row in (plots[place : place + 2] for place in range(0, len(plots), 2)):
        for column, (title, width, height, rest) in enumerate(row):
            x = GAP / 2 + column * (COLUMN + GAP)
            inner = rest[rest.index(">") + 1 : rest.index("</svg>")]
            name = re.sub(r"[<>&]", "", unescape(title))
            parts.append(f'<text x="{x}" y="{y + 20}" font-weight="bold">{name}</text>')
            parts.append(
                f'<svg x="{x}" y="{y + TITLE}" width="{width}" height="{height}">{inner}</svg>'
            )
        y += TITLE + max(float(height) for _, _, height, _ in row) + GAP / 2
    colours = dict(reversed(re.findall(r"--([a-z]+): (#[0-9a-f]+);", page)))
    body = re.sub(r"var\(--([a-z]+)\)", lambda found: colours[found[1]], "\n".join(parts))
    size = f'viewBox="0 0 {2 * (COLUMN + GAP)} {y}" width="{2 * (COLUMN + GAP)}" height="{y}"'
    out.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="14">\n'
        f'<rect width="100%" height="100%" fill="{colours["paper"]}"/>\n{body}\n</svg>\n',
        encoding="utf-8",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests.bench.report_picture", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path, help="a .png or .svg file")
    parser.add_argument("--sections", nargs="+", default=SECTIONS, metavar="ID")
    parser.add_argument("--width", type=int, default=1000, help="of a PNG, in pixels")
    given = parser.parse_args(arguments)
    try:
        page = given.report.read_text(encoding="utf-8")
        if given.picture.suffix == ".svg":
            picture_of_plots(page, given.picture)
        else:
            picture_of_page(page, given.picture, given.sections, given.width)
    except (CodegenError, OSError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{given.picture}: {given.picture.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
