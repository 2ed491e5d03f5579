"""``codegen-lsp models list``: what is installed, and what can be.

On a terminal two tables that fit its width; elsewhere one line for each model, its fields
separated by tabs; with ``--json`` everything that is known.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from codegen_lsp.cli import state

if TYPE_CHECKING:
    from rich.table import Table

    from codegen_lsp.models.downloads import Waiting
    from codegen_lsp.models.store import ModelFolder

__all__ = ["list_models"]


@click.command("list")
@click.option("--installed", "only_installed", is_flag=True, help="Leave out the catalog.")
@state.json_option
@state.debug_option
def list_models(only_installed: bool, as_json: bool) -> None:
    """What is installed, then the catalog: every model that is known by name.

    MEMORY is what a model takes at most, in int8 with a full context; FITS compares it with this
    machine. In a pipe the fields are: name, "bundled", "installed", "available" or "remote",
    parameters, context length, languages, licence, bytes of memory, "fits", "tight" or "too big",
    and where it is: a folder or a Hugging Face id.
    """
    from codegen_lsp.config.home import home
    from codegen_lsp.models.downloads import waiting
    from codegen_lsp.models.store import damaged, installed

    for error in damaged(home()):
        state.warn(str(error))
    fetched = waiting(home())
    found = installed(home())
    if not found:
        click.echo("no models; reinstall codegen-lsp to get the bundled one", err=True)
    if as_json:
        described = _described(found, only_installed=only_installed)
        downloads = [{"repo": one.repo, "bytes": one.size} for one in fetched]
        state.print_json({**described, "downloads": downloads})
    elif sys.stdout.isatty():
        _tables(found, only_installed=only_installed)
    else:
        for row in _rows(found, only_installed=only_installed):
            click.echo("\t".join(map(str, row)))
    for one in fetched:
        if one.size >= NOTEWORTHY:
            _tell(one)


NOTEWORTHY = 1_000_000
"""Bytes below which a download is no word worth: a configuration of a model that was refused."""


def _tell(fetched: Waiting) -> None:
    """Say what lies on the disk and is in no table."""
    from codegen_lsp.cli.models_text import bytes_text

    click.echo(
        f"{bytes_text(fetched.size)} of {fetched.repo} were fetched and are kept: pull it to go on,"
        f" or run: codegen-lsp models remove {fetched.repo}",
        err=True,
    )


def _described(found: Sequence[ModelFolder], *, only_installed: bool) -> Mapping[str, object]:
    from codegen_lsp.cli import models_text as text
    from codegen_lsp.models.catalog import CATALOG
    from codegen_lsp.models.fit import machine_memory

    models: dict[str, object] = {"models": [text.describe_model(model) for model in found]}
    if not only_installed:
        machine, there = machine_memory(), text.installed_entries(found)
        models["catalog"] = [
            text.describe_entry(entry, machine, installed=name in there)
            for name, entry in CATALOG.items()
        ]
    return models


Row = tuple[str, str, int, int, str, str, int, str, str]


def _rows(found: Sequence[ModelFolder], *, only_installed: bool) -> list[Row]:
    """The fields of the lines in a pipe; nothing in them depends on a terminal."""
    from codegen_lsp.cli import models_text as text
    from codegen_lsp.models.catalog import CATALOG
    from codegen_lsp.models.fit import machine_memory, verdict
    from codegen_lsp.models.store import BUNDLED

    machine, there = machine_memory(), text.installed_entries(found)
    rows: list[Row] = []
    for model in found:
        one = model.manifest
        kind = BUNDLED if model.name == BUNDLED else "installed"
        needed = text.needed(model)
        what = (one.parameters, one.context_length, ",".join(one.languages), one.licence)
        rows.append((model.name, kind, *what, needed, verdict(needed, machine), str(model.path)))
    for entry in () if only_installed else CATALOG.values():
        kind = "remote" if entry.remote_only else "available"
        what = (entry.parameters, entry.context_length, ",".join(entry.languages), entry.licence)
        fit = text.fit_of(entry, machine)
        if entry.name not in there:
            rows.append((entry.name, kind, *what, fit.needed, fit.verdict, entry.hub_id))
    return rows


def _tables(found: Sequence[ModelFolder], *, only_installed: bool) -> None:
    from rich.console import Console

    from codegen_lsp.cli import models_text as text
    from codegen_lsp.models.fit import machine_memory

    console = Console(highlight=False)
    machine, room = machine_memory(), console.width
    if found:
        console.print(_table("Installed", INSTALLED, _installed_cells(found, machine), room))
    if only_installed:
        return
    cells = _catalog_cells(text.installed_entries(found), machine)
    console.print(_table("\nCatalog", PUBLISHED, cells, room))
    console.print("* installed; get another: codegen-lsp models pull NAME", style="dim")
    memory = f"{machine / 2**30:.0f} GiB"
    console.print(f"memory: int8, full context; this machine has {memory}", style="dim")


INSTALLED = ("model", "params>", "context>", "size>", "memory>", "fits", "languages", "description")
PUBLISHED = ("model", "params>", "context>", "memory>", "fits", "languages", "licence")
"""Columns of the two tables; numbers stand at the right."""


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> Table:
    """A table without wrapping: the last column is cut where *room* ends, or left out."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    used = 0
    for index, name in enumerate(columns):
        longest = max(len(name.strip(">")), *(len(row[index]) for row in rows))
        width = longest if name != columns[-1] else min(longest, room - used)
        used += width + 1
        if index and (used > room + 1 or width < LEAST):
            break
        table.add_column(
            name.strip(">"),
            justify="right" if name.endswith(">") else "left",
            no_wrap=True,
            width=min(width, room),
        )
    for row in rows:
        # As text: a description is no markup.
        cells = (Text(cell, overflow="ellipsis", no_wrap=True) for cell in row)
        table.add_row(*list(cells)[: len(table.columns)])
    return table


LEAST = 4
"""Narrower a column says nothing."""


def _installed_cells(found: Sequence[ModelFolder], machine: int) -> list[tuple[str, ...]]:
    from codegen_lsp.cli import models_text as text
    from codegen_lsp.models.fit import verdict

    return [
        (
            model.name,
            text.count_text(model.manifest.parameters),
            str(model.manifest.context_length),
            text.bytes_text(model.size + text.gguf_bytes(model)),
            text.bytes_text(text.needed(model)),
            verdict(text.needed(model), machine),
            text.languages_text(model.manifest.languages),
            model.manifest.description or model.manifest.name,
        )
        for model in found
    ]


def _catalog_cells(there: set[str], machine: int) -> list[tuple[str, ...]]:
    from codegen_lsp.cli import models_text as text
    from codegen_lsp.models.catalog import CATALOG

    return [
        (
            f"{entry.name}{' *' if entry.name in there else ''}",
            text.count_text(entry.parameters),
            str(entry.context_length),
            text.bytes_text(text.fit_of(entry, machine).needed),
            "remote" if entry.remote_only else text.fit_of(entry, machine).verdict,
            text.languages_text(entry.languages, natural=True),
            entry.licence,
        )
        for entry in CATALOG.values()
    ]
