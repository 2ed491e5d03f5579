"""The page that a person opens: as a document, and in Chromium where there is one."""

from __future__ import annotations

import html.parser
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.support.team import TeamServer

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


class Outline(html.parser.HTMLParser):
    """Elements in order, and what they point to."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "link", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(server: TeamServer) -> None:
    """No script, no link, every element closed; and it says what was asked."""
    body = {"prompt": "import os\n", "max_tokens": 4}
    assert httpx.post(f"{server.url}/v1/completions", json=body).status_code == 200
    response = httpx.get(f"{server.url}/status")
    outline = Outline()
    outline.feed(response.text)
    assert outline.links == []
    assert "script" not in outline.tags
    assert outline.tags.count("table") == 3
    assert re.search(r"<td>anybody</td><td>[1-9]", response.text)
    assert "default-src 'none'" in response.headers["content-security-policy"]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_in_chromium(server: TeamServer, tmp_path: Path) -> None:
    """What a browser makes of it: three tables with figures, and a picture that is not empty."""
    body = {"prompt": "import os\n", "max_tokens": 4}
    assert httpx.post(f"{server.url}/v1/completions", json=body).status_code == 200
    picture = tmp_path / "status.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'p'}"]

    def browse(*more: str) -> str:
        return subprocess.run(
            [str(CHROMIUM), *options, *more, f"{server.url}/status"],
            capture_output=True,
            text=True,
            timeout=90,
            check=True,
        ).stdout

    shown = browse("--dump-dom")
    assert shown.count("<table") == 3
    assert re.search(r"<td>p95</td><td>\d+ ms</td><td>[1-9]\d* ms</td>", shown)
    assert re.search(r"<td>anybody</td><td>[1-9]", shown)
    browse("--window-size=800,900", f"--screenshot={picture}")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 10_000
