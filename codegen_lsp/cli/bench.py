"""``codegen-lsp bench``: speed on this machine, as a table or as one line of JSON."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codegen_lsp.cli import state

if TYPE_CHECKING:
    from codegen_lsp.evaluation.speed import Speed, Spread

__all__ = ["bench"]


@click.group()
def bench() -> None:
    """Measure speed on this machine."""


@bench.command()
@state.json_option
@state.model_options
@state.debug_option
def engine(as_json: bool, model: str | None, device: str | None, compute_type: str | None) -> None:
    """Server start, first and warm completions, memory; about a minute."""
    settings = state.settings_for(Path.cwd(), state.overrides(model, device, compute_type))
    from codegen_lsp.evaluation.speed import measure_speed

    with state.progress() as show:
        speed = asyncio.run(measure_speed(settings, show))
    if as_json:
        state.print_json(dataclasses.asdict(speed))
    else:
        _table(speed)


def _table(speed: Speed) -> None:
    from rich.console import Console
    from rich.table import Table

    runs, machine = speed.runs, speed.machine
    table = Table(title=f"{runs.model}, {runs.compute_type}, {runs.threads} threads")
    table.add_column("measured")
    for heading in ("p50", "p95", "calls"):
        table.add_column(heading, justify="right")
    for name, values in _rows(speed):
        table.add_row(name, *values)
    table.caption = (
        f"{machine['cpus']} CPUs (load {machine['load']}), {machine['memory_gib']} GiB, "
        f"Python {machine['python']}, "
        f"{machine['platform']}"
    )
    Console().print(table)


def _rows(speed: Speed) -> list[tuple[str, tuple[str, ...]]]:
    server, engine = speed.server, speed.engine
    prompt = f"prompt of {engine.prompt_tokens:.0f} tokens"
    return [
        ("server start to initialize answered", _times(server.initialize_ms)),
        ("first completion after start", _times(server.first_completion_ms)),
        (f"engine: {speed.new_tokens} new tokens, {prompt}", _times(engine.completion_ms)),
        (
            f"server: up to {speed.new_tokens} new tokens ({server.shown_tokens:.0f} shown)",
            _times(server.completion_ms),
        ),
        ("prefill", (f"{engine.prefill_tokens_per_s:.0f} tok/s", "", "")),
        ("decode", (f"{engine.decode_ms_per_token:.2f} ms/tok", "", "")),
        ("resident memory of the server", (f"{server.resident_mib:.0f} MiB", "", "")),
    ]


def _times(values: Spread) -> tuple[str, str, str]:
    return f"{values.p50:.0f} ms", f"{values.p95:.0f} ms", str(values.count)
