"""``codegen-lsp models``: what models there are, and what is known about one.

Shows what ``models.store`` finds; fetches and changes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from codegen_lsp.cli import state

if TYPE_CHECKING:
    from codegen_lsp.models.store import ModelFolder

__all__ = ["models"]


@click.group()
def models() -> None:
    """List and describe models."""


@models.command("list")
@state.json_option
@state.debug_option
def list_models(as_json: bool) -> None:
    """The bundled model and the installed ones, by name."""
    from codegen_lsp.config.home import home
    from codegen_lsp.models.store import installed

    found = installed(home())
    if as_json:
        state.print_json({"models": [_described(model) for model in found]})
    elif sys.stdout.isatty():
        _table(found)
    else:
        for model in found:
            click.echo(f"{_handle(model)}\t{model.manifest.description}")
    if not found:
        click.echo("no models; reinstall codegen-lsp to get the bundled one", err=True)


@models.command()
@click.argument("name", metavar="NAME|FOLDER")
@state.json_option
@state.debug_option
def info(name: str, as_json: bool) -> None:
    """What one model is, after its files were checked."""
    from codegen_lsp.config.home import home
    from codegen_lsp.models.store import find_model, verify

    model = find_model(name, home())
    verify(model, deep=True)
    described = _described(model)
    if as_json:
        state.print_json(described)
        return
    for key, value in described.items():
        click.echo(f"{key.replace('_', ' ')}: {_plain(value)}")


def _handle(model: ModelFolder) -> str:
    """The name that ``--model`` takes."""
    return model.path.name


def _size(model: ModelFolder) -> int:
    return sum(entry.size for entry in model.manifest.files.values())


def _described(model: ModelFolder) -> Mapping[str, object]:
    manifest = model.manifest
    return {
        "model": _handle(model),
        "name": manifest.name,
        "description": manifest.description,
        "family": manifest.family,
        "parameters": manifest.parameters,
        "compute_type": manifest.compute_type,
        "context_length": manifest.context_length,
        "languages": list(manifest.languages),
        "licence": manifest.licence,
        "bytes": _size(model),
        "folder": str(model.path),
    }


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(found: list[ModelFolder]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "name", "parameters", "size", "stored as", "description")
    for model in found:
        manifest = model.manifest
        table.add_row(
            _handle(model),
            manifest.name,
            f"{manifest.parameters / 1e6:,.1f} M",
            f"{_size(model) / 1e6:,.1f} MB",
            manifest.compute_type,
            manifest.description,
        )
    Console().print(table)
