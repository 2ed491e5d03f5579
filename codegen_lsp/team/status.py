"""The page a person opens: how busy the server is, how fast it answers, who asks how much.

One document without scripts and without anything from elsewhere; a browser loads it again every
few seconds. Knows numbers and HTML.
"""

from __future__ import annotations

import html
import string
import time
from collections.abc import Iterable, Sequence
from typing import Final

from codegen_lsp.team.state import Team

__all__ = ["PAGE_HEADERS", "status_page"]

PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}

_SHARES: Final = (0.5, 0.9, 0.95, 0.99)

_PAGE: Final = string.Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="5">
<title>$model · codegen-lsp team</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0; }
h2 { font-size: 1rem; margin: 2rem 0 .4rem; }
p { margin: .2rem 0; opacity: .8; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
</style>
</head>
<body>
<h1>$model</h1>
<p>$engine</p>
<p>up $up</p>
$tables
<p>Figures of speed are those of the last minute. Prometheus reads <code>/metrics</code>.</p>
</body>
</html>
""")


def status_page(team: Team) -> str:
    """The page as it is now."""
    info = team.served.model.info
    return _PAGE.substitute(
        model=html.escape(team.served.name),
        engine=html.escape(
            f"CTranslate2 on {info.device}, {info.compute_type}, {info.threads} threads, "
            f"context of {info.context_length} tokens"
        ),
        up=_duration(time.time() - team.started_at),
        tables="\n".join((_load(team), _speed(team), _use(team))),
    )


def _load(team: Team) -> str:
    window = team.metrics.window
    rows = [
        ("sequences in the model", f"{team.batcher.running}"),
        ("sequences waiting", f"{team.batcher.waiting}"),
        ("answers a second", f"{window.answers_per_second:.1f}"),
        ("tokens a second", f"{window.tokens_per_second:.0f}"),
    ]
    return _table("load", "Load", ("", "now"), rows)


def _speed(team: Team) -> str:
    found = team.metrics.window.percentiles(*_SHARES)
    rows = [
        (f"p{share * 100:.0f}", f"{1000 * first:.0f} ms", f"{1000 * total:.0f} ms")
        for share, (total, first) in found.items()
    ]
    return _table("latency", "Latency", ("", "first token", "whole answer"), rows)


def _use(team: Team) -> str:
    rows = [
        (name, f"{use.requests}", f"{use.refused}", f"{use.read}", f"{use.written}")
        for name, use in sorted(team.metrics.uses.items())
    ]
    heads = ("key", "requests", "refused", "tokens read", "tokens written")
    return _table("keys", "Use by key", heads, rows)


def _table(name: str, title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heads)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<h2>{html.escape(title)}</h2>\n<table id="{name}">\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table>"
    )


def _duration(seconds: float) -> str:
    minutes, _ = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h {minutes} min" if days else f"{hours} h {minutes} min"
