"""Judging foreign settings: each value alone, so that one mistake never costs the others.

What comes over the wire or from a file is a mapping of camelCase names to JSON values. What is
unknown or wrong is named in a complaint and left out; nothing here raises for a user's mistake.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from codegen_lsp.config.settings import PERSONAL, Settings

__all__ = ["Options", "impersonal", "parse_options", "takes_list"]


@dataclass(frozen=True, slots=True)
class Options:
    """The good part of one foreign mapping, and what was wrong with the rest."""

    values: Mapping[str, Any]
    """Python field name to checked value."""

    complaints: tuple[str, ...]
    """One line each: the key, what was found, what is expected."""


def parse_options(raw: Mapping[str, object]) -> Options:
    """Check every entry of ``raw`` against the field of :class:`Settings` it names."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(Settings)}
    types = get_type_hints(Settings, include_extras=True)
    values: dict[str, Any] = {}
    complaints: list[str] = []
    for key, value in raw.items():
        field = fields.get(key)
        if field is None:
            complaints.append(_unknown(key, list(fields)))
            continue
        try:
            values[field.name] = msgspec.convert(value, types[field.name])
        except msgspec.ValidationError as error:
            complaints.append(f"setting '{key}' is ignored: {error}")
    return Options(values, tuple(complaints))


def impersonal(raw: Mapping[str, object]) -> tuple[dict[str, object], tuple[str, ...]]:
    """*raw* without what only a user may set for himself, and a complaint for each such setting."""
    personal = {
        field.encode_name for field in msgspec.structs.fields(Settings) if field.name in PERSONAL
    }
    kept = {key: value for key, value in raw.items() if key not in personal}
    complaints = tuple(
        f"setting '{key}' is ignored: only you can set it, in your own settings"
        for key in raw
        if key in personal
    )
    return kept, complaints


def takes_list(key: str) -> bool:
    """Whether a value of the setting called *key* may be a list; not of one there is not."""
    types = get_type_hints(Settings)
    kinds = {field.encode_name: types[field.name] for field in msgspec.structs.fields(Settings)}
    kind = kinds.get(key)
    return any(get_origin(one) is tuple for one in (kind, *get_args(kind)))


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"unknown setting '{key}' is ignored{hint}"
