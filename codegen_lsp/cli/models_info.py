"""``codegen-lsp models info``: all that is known of one model, installed or published."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from codegen_lsp.cli import state
from codegen_lsp.errors import ModelNotFoundError

__all__ = ["info"]


@click.command()
@click.argument("name", metavar="NAME|FOLDER")
@state.json_option
@state.debug_option
def info(name: str, as_json: bool) -> None:
    """What one model is: an installed one after its files were checked, or one of the catalog."""
    from codegen_lsp.config.home import home

    described = _described(name, home())
    if as_json:
        state.print_json(described)
        return
    for key, value in described.items():
        for line in _lines(key.replace("_", " "), value):
            click.echo(line)


def _described(name: str, home: Path) -> Mapping[str, Any]:
    from codegen_lsp.cli.models_text import describe_entry, describe_model, installed_entries
    from codegen_lsp.models.catalog import find_entry
    from codegen_lsp.models.fit import machine_memory
    from codegen_lsp.models.store import find_model, installed, verify

    try:
        model = find_model(name, home)
    except ModelNotFoundError as error:
        entry = find_entry(name)
        if entry is None:
            raise (_not_found(name, home) or error) from None
        there = entry.name in installed_entries(installed(home))
        described = dict(describe_entry(entry, machine_memory(), installed=there))
        if not entry.remote_only:
            described["get_it"] = f"codegen-lsp models pull {entry.name}"
        return described
    verify(model, deep=True)
    return describe_model(model)


def _not_found(name: str, home: Path) -> ModelNotFoundError | None:
    """An error that names what *name* may have meant, here and in the catalog."""
    from codegen_lsp.models.catalog import CATALOG, suggestions
    from codegen_lsp.models.store import installed

    if "/" in name or os.sep in name:
        return None  # a folder: the store's own error is better
    here = [model.name for model in installed(home)]
    near = difflib.get_close_matches(name, here, n=3, cutoff=0.5)
    near += [other for other in suggestions(name) if other not in near]
    known = ", ".join(near[:4] or [*here, next(iter(CATALOG))])
    return ModelNotFoundError(f"no model {name!r}", mend=f"known: {known}; see: models list")


VERBATIM = ("origin files", "memory bytes", "fits")
"""Facts whose parts have names of their own."""


def _lines(key: str, value: Any) -> Iterator[str]:
    """One fact in words, on as many lines as it has parts."""
    if isinstance(value, Mapping):
        for part, inner in value.items():
            # Names of files and of compute types are no words.
            name = part if key in VERBATIM else part.replace("_", " ")
            yield from _lines(f"{key} {name}", inner)
    elif isinstance(value, list | tuple) and any(isinstance(part, Mapping) for part in value):
        for part in value:
            yield f"{key.removesuffix('s')}: {_check(part)}"
    else:
        yield f"{key}: {_plain(key, value)}"


def _check(check: Mapping[str, Any]) -> str:
    return (
        f"{check['name']}: differs by at most {check['max_abs']:.2g}, same likeliest token in"
        f" {check['agreement']:.2%}, divergence {check['divergence']:.2g}"
    )


def _plain(key: str, value: Any) -> str:
    from codegen_lsp.cli.models_text import bytes_text

    if value is None or value in ("", [], ()):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, int):
        return f"{value:,}" + (f" ({bytes_text(value)})" if "bytes" in key else "")
    return str(value)
