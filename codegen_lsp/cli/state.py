"""What all commands share: the flags with one meaning everywhere, settings, warnings.

Knows nothing about any single command and imports nothing heavy: the server starts through it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from codegen_lsp.config.settings import Settings
    from codegen_lsp.config.sources import Resolved

__all__ = [
    "PROGRAM",
    "State",
    "debug_option",
    "json_option",
    "model_options",
    "overrides",
    "print_json",
    "progress",
    "project_of",
    "resolve_for",
    "settings_for",
    "warn",
    "workspace_of",
]

PROGRAM = "codegen-lsp"

PROJECT_MARKS = (
    ".git",
    ".hg",
    "pyproject.toml",
    "setup.py",
    "package.json",
    "go.mod",
    "Cargo.toml",
    "pom.xml",
    "build.gradle",
    "CMakeLists.txt",
)
"""What a project's folder holds, beside our own settings file."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class State:
    """What ``main`` must know of a command that is running."""

    debug: bool = False
    """A failure prints its traceback, and log lines of level DEBUG go to stderr."""


def _set_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(State).debug = True


def debug_option(command: F) -> F:
    """Add ``--debug``."""
    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_set_debug,
        help="Log everything; show tracebacks.",
    )(command)


def json_option(command: F) -> F:
    """Add ``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="One JSON object on the last line of stdout."
    )(command)


def model_options(command: F) -> F:
    """Add ``--model``, ``--device`` and ``--compute-type``; each stands for one setting."""
    command = click.option("--compute-type", type=Setting("compute_type"), help="Default: auto.")(
        command
    )
    command = click.option("--device", type=Setting("device"), help="Default: auto.")(command)
    return click.option(
        "--model", metavar="NAME|FOLDER", help="An installed model or a model folder."
    )(command)


class Setting(click.Choice[str]):
    """The choices of one setting, read from ``Settings`` so that they are written once."""

    def __init__(self, field: str) -> None:
        from codegen_lsp.config.settings import Settings

        super().__init__(typing.get_args(typing.get_type_hints(Settings)[field]))


def overrides(
    model: str | None, device: str | None, compute_type: str | None
) -> Mapping[str, object]:
    """The settings that the command line sets, by their names on the wire."""
    given = {"model": model, "device": device, "computeType": compute_type}
    return {key: value for key, value in given.items() if value is not None}


def resolve_for(folder: Path, given: Mapping[str, object]) -> Resolved:
    """Settings for work in ``folder``: files, environment, then the command line."""
    from codegen_lsp.config import sources

    workspace = workspace_of(folder)
    return sources.resolve(
        (
            sources.user_layer(),
            sources.workspace_layer(workspace),
            sources.environment_layer(),
            sources.Layer("command line", given),
        )
    )


def workspace_of(folder: Path) -> Path:
    """The nearest folder with a workspace settings file, from ``folder`` upwards, or itself."""
    from codegen_lsp.config.sources import WORKSPACE_FILE

    above = (folder, *folder.parents)
    return next((at for at in above if (at / WORKSPACE_FILE).is_file()), folder)


def project_of(folder: Path) -> Path:
    """The nearest folder that looks like a project's, from ``folder`` upwards, or itself."""
    from codegen_lsp.config.sources import WORKSPACE_FILE

    marks = (WORKSPACE_FILE, *PROJECT_MARKS)
    above = (folder, *folder.parents)
    return next((at for at in above if any((at / mark).exists() for mark in marks)), folder)


def settings_for(folder: Path, given: Mapping[str, object]) -> Settings:
    """Like :func:`resolve_for`, with each complaint as a warning and logging set up, on stderr."""
    resolved = resolve_for(folder, given)
    for complaint in resolved.complaints:
        warn(complaint)
    _start_logging(resolved.settings)
    return resolved.settings


def _start_logging(settings: Settings) -> None:
    """Warnings and worse on stderr; all of it with ``--debug``. The server logs its own way."""
    state = click.get_current_context().ensure_object(State)
    level = logging.DEBUG if state.debug else max(logging.WARNING, _level(settings.log_level))
    logging.basicConfig(level=level, format=f"{PROGRAM}: %(levelname)s %(name)s: %(message)s")


def _level(name: str) -> int:
    return logging.getLevelNamesMapping()[name.upper()]


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A line on stderr that is rewritten as work goes on; silent where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield status.update


def warn(line: str) -> None:
    """One line on stderr that does not stop the command."""
    click.echo(f"{PROGRAM}: warning: {line}", err=True)


def print_json(value: Mapping[str, object]) -> None:
    """One JSON object on one line of stdout, in ASCII so that any pipe carries it."""
    click.echo(json.dumps(value, ensure_ascii=True, allow_nan=False))
