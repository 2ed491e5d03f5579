"""Where settings come from, and who wins.

From weakest to strongest: the defaults, the user's file, the workspace's file, environment
variables, the editor, the command line. A later layer replaces single values of an earlier one.
A layer that cannot be read is a complaint, never a failure.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from codegen_lsp.config.home import settings_file
from codegen_lsp.config.options import impersonal, parse_options
from codegen_lsp.config.settings import Settings

__all__ = [
    "WORKSPACE_FILE",
    "Layer",
    "Resolved",
    "environment_layer",
    "resolve",
    "user_layer",
    "workspace_layer",
]

WORKSPACE_FILE = ".codegen-lsp.toml"

ENVIRONMENT: Mapping[str, str] = {
    "CODEGEN_LSP_MODEL": "model",
    "CODEGEN_LSP_DEVICE": "device",
    "CODEGEN_LSP_COMPUTE_TYPE": "computeType",
    "CODEGEN_LSP_LOG_LEVEL": "logLevel",
    "CODEGEN_LSP_SERVER": "server",
}
"""Environment variables that stand for a setting, each a string."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings from one place, unchecked."""

    name: str
    """How a complaint names the place, for example the file's path."""

    values: Mapping[str, object] = field(default_factory=dict)

    complaints: tuple[str, ...] = ()
    """What went wrong while the place itself was read."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The settings that hold, and what was ignored on the way."""

    settings: Settings
    complaints: tuple[str, ...]


def resolve(layers: Iterable[Layer]) -> Resolved:
    """Settings from ``layers``, the weakest first."""
    merged: dict[str, Any] = {}
    complaints: list[str] = []
    for layer in layers:
        options = parse_options(layer.values)
        merged.update(options.values)
        complaints += [f"{layer.name}: {line}" for line in (*layer.complaints, *options.complaints)]
    return Resolved(msgspec.structs.replace(Settings(), **merged), tuple(complaints))


def user_layer() -> Layer:
    """The user's settings file; empty if there is none."""
    return _file_layer(settings_file())


def workspace_layer(folder: Path) -> Layer:
    """The settings file of one workspace folder; empty if there is none.

    Where code is sent is not its author's to say: such settings are a complaint.
    """
    layer = _file_layer(folder / WORKSPACE_FILE)
    values, complaints = impersonal(layer.values)
    return Layer(layer.name, values, (*layer.complaints, *complaints))


def environment_layer() -> Layer:
    """The settings that environment variables hold."""
    values = {key: os.environ[name] for name, key in ENVIRONMENT.items() if os.environ.get(name)}
    return Layer("environment", values)


def _file_layer(path: Path) -> Layer:
    try:
        with path.open("rb") as file:
            return Layer(str(path), tomllib.load(file))
    except FileNotFoundError:
        return Layer(str(path))
    except OSError as error:
        return Layer(str(path), complaints=(f"cannot be read ({error.strerror})",))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return Layer(str(path), complaints=(f"is not TOML ({error})",))
