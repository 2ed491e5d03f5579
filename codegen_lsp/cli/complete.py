"""``codegen-lsp complete FILE:LINE:COL``: one completion, on a terminal or for a script.

Knows how a completion is shown. On a terminal: the code around the cursor with the ghost text
in place; in a pipe: the text alone; with ``--json``: everything that is known about it.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping

import click

from codegen_lsp.cli import state
from codegen_lsp.cli.documents import Document, parse_target, read_document
from codegen_lsp.engines.base import EngineInfo
from codegen_lsp.types import Completion, Timings

__all__ = ["complete", "report", "summary"]

UNHURRIED: Mapping[str, object] = {"invokedDeadline": 0}
"""Who runs a command waits for it: the whole prompt is read and the answer written to its end."""


@click.command()
@click.argument("target", metavar="FILE:LINE[:COL]")
@click.option("--show-prompt", is_flag=True, help="Print what the model would read instead.")
@state.json_option
@state.model_options
@state.debug_option
def complete(
    target: str,
    show_prompt: bool,
    as_json: bool,
    model: str | None,
    device: str | None,
    compute_type: str | None,
) -> None:
    """Complete the code at a position, counted from 1 in code points.

    FILE:LINE is the end of that line; nothing is written to the file.
    """
    place = parse_target(target)
    document = read_document(place.path)
    offset = document.offset(place.line, place.column)
    folder = place.path.absolute().parent
    given = {**UNHURRIED, **state.overrides(model, device, compute_type)}
    settings = state.settings_for(folder, given)
    from codegen_lsp.completer import Completer

    with Completer(settings, folder=state.project_of(folder)) as completer:
        if show_prompt:
            _show_prompt(completer.explain(document.text, offset, path=str(place.path)), as_json)
            return
        completion = completer.complete(document.text, offset, path=str(place.path))
        info = completer.info
    if as_json:
        state.print_json(report(document, offset, completion, info))
    elif completion is None:
        click.echo("nothing to suggest here", err=True)
    else:
        bundled = settings.model == "bundled"
        _show(document, offset, completion, summary(completion, info, bundled=bundled))


def report(
    document: Document, offset: int, completion: Completion | None, info: EngineInfo | None
) -> Mapping[str, object]:
    """What ``--json`` prints; without a suggestion ``text`` is empty and ``range`` too."""
    start, end = (offset, offset) if completion is None else (completion.start, completion.end)
    timings = Timings() if completion is None else completion.timings
    return {
        "file": str(document.path),
        "position": _position(document, offset),
        "text": "" if completion is None else completion.text,
        "range": {"start": _position(document, start), "end": _position(document, end)},
        "source": None if completion is None else completion.source.value,
        "model": None if info is None else info.model,
        "log_prob": None if completion is None else completion.log_prob,
        "engine": None if info is None else dataclasses.asdict(info),
        "timings": {name: round(value, 3) for name, value in dataclasses.asdict(timings).items()},
    }


def summary(completion: Completion, info: EngineInfo | None, *, bundled: bool) -> str:
    """One line: what computed this, and how long it took."""
    timings = completion.timings
    what = f"{'bundled ' if bundled else ''}model {completion.model}"
    if info is not None:
        on = f"{info.threads} threads" if info.threads else info.device
        what += f", {info.compute_type} on {'1 thread' if info.threads == 1 else on}"
    ms = timings.total_ms - timings.queue_ms
    return f"{what}: {timings.new_tokens} tokens in {ms:.0f} ms (load {timings.queue_ms:.0f} ms)"


def _position(document: Document, offset: int) -> dict[str, int]:
    line, column = document.position(offset)
    return {"line": line, "column": column}


def _show_prompt(prompt: str, as_json: bool) -> None:
    if as_json:
        state.print_json({"prompt": prompt})
    else:
        click.echo(prompt)


def _show(document: Document, offset: int, completion: Completion, line: str) -> None:
    if not sys.stdout.isatty():
        click.echo(completion.text)
        return
    from codegen_lsp.cli.ghost import show_ghost

    show_ghost(document, offset, completion)
    click.secho(line, dim=True, err=True)
