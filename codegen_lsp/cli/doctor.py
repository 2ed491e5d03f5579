"""``codegen-lsp doctor``: what is installed, what is wrong, and how to mend it.

Runs the checks of ``checks`` and shows their rows; ends with 1 when one of them failed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from codegen_lsp.cli import state

if TYPE_CHECKING:
    from codegen_lsp.cli.checks import Row

__all__ = ["doctor"]

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@state.json_option
@state.model_options
@state.debug_option
def doctor(as_json: bool, model: str | None, device: str | None, compute_type: str | None) -> int:
    """Say what is installed, what is wrong, and how to mend it."""
    from codegen_lsp.cli.checks import Status, examine

    folder = Path.cwd()
    resolved = state.resolve_for(folder, state.overrides(model, device, compute_type))
    rows: list[Row] = []
    for row in examine(folder, resolved):
        rows.append(row)
        if not as_json:
            _show(row)
    failed = any(row.status is Status.FAIL for row in rows)
    if as_json:
        state.print_json({"ok": not failed, "checks": [_plain(row) for row in rows]})
    return int(failed)


def _show(row: Row) -> None:
    word = row.status.value
    click.echo(f"{click.style(f'{word:4}', fg=COLOURS[word])}  {row.name}: {row.detail}")
    if row.mend:
        click.echo(f"      -> {row.mend}")


def _plain(row: Row) -> dict[str, str]:
    return {
        "name": row.name,
        "status": row.status.value,
        "detail": row.detail,
        "mend": row.mend,
    }
