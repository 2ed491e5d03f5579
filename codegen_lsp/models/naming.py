"""What a user means by NAME, HUB_ID or FOLDER, and what the model will be called.

Knows the catalog and what names look like. Does not fetch or read anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codegen_lsp.errors import HubError, ModelError, ModelNotFoundError, UsageError
from codegen_lsp.models.catalog import Entry, find_entry, suggestions
from codegen_lsp.models.folders import folder_called
from codegen_lsp.models.jobs import PullRequest
from codegen_lsp.models.store import BUNDLED, check_name

__all__ = ["Source", "resolve"]

_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from, and what it will be called."""

    name: str
    """What it will be installed under."""

    repo: str = ""
    """Hugging Face id; empty for a folder."""

    folder: Path | None = None
    entry: Entry | None = None
    """The catalog's row, where it has one."""


def resolve(request: PullRequest) -> Source:
    """What *request* means: the catalog first, then a folder, then a repository.

    :raises ModelNotFoundError: none of these; the nearest names are offered.
    :raises HubError: a model that only a server can run.
    :raises UsageError: the name to install it under is the bundled model's.
    :raises ModelError: the name to install it under cannot be one.
    """
    what = request.what.strip()
    entry = find_entry(what)
    if entry is not None:
        _refuse_remote(entry)
        return Source(_name(request, entry.name), entry.hub_id, entry=entry)
    folder = folder_called(what)
    if folder is not None:
        folder = folder.resolve()
        return Source(_name(request, folder.name), folder=folder)
    if _HUB_ID.fullmatch(what):
        return Source(_name(request, what.rpartition("/")[2]), what)
    near = suggestions(what)
    raise ModelNotFoundError(
        f"no model, repository or folder {what!r}",
        mend=f"known models: {', '.join(near)}" if near else "see: codegen-lsp models list",
    )


def _refuse_remote(entry: Entry) -> None:
    if entry.remote_only:
        raise HubError(f"{entry.name} does not run here: {entry.remote_only}")


def _name(request: PullRequest, default: str) -> str:
    """The name to install under; a default is made of what names can be made of."""
    if request.name is not None:
        if request.name.lower() == BUNDLED:
            raise UsageError(
                f"{request.name!r} is the name of the bundled model", mend="choose another"
            )
        return check_name(request.name)
    if request.adapter is not None:
        default = Path(request.adapter).name
    name = re.sub(r"[^A-Za-z0-9._-]+|\.\.+", "-", default).lstrip("-._")[:100].rstrip("-.")
    try:
        return check_name(name) if name.lower() != BUNDLED else "model"
    except ModelError:
        return "model"
