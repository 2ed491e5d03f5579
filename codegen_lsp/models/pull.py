"""Pulling a model: from a name, a repository or a folder to a checked model in the store.

    name ─> catalog ─┐
    org/name ────────┼─> hub: config.json, then all it needs ─┐
    folder ──────────┴────────────────────────────────────────┴─> convert ─> store

Knows the order of the steps, and what is asked before the first byte of weights: is it installed,
is it a model we can run, is there room. A kill at any step leaves the store as it was and what was
fetched where the next pull finds it (``downloads``).

Does not know how weights are converted (the caller hands that in), HTTP (``hub``) or terminals.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from codegen_lsp.errors import (
    CodegenError,
    ConversionError,
    HubError,
    ModelDamagedError,
    UsageError,
)
from codegen_lsp.models import hub, store
from codegen_lsp.models.adopt import with_json_vocabulary
from codegen_lsp.models.catalog import find_entry
from codegen_lsp.models.downloads import downloads, forget, lock_name, part
from codegen_lsp.models.folders import folder_called
from codegen_lsp.models.hub_errors import Asked, meaning
from codegen_lsp.models.jobs import ConversionJob, Convert, PullRequest
from codegen_lsp.models.manifest import MANIFEST, Manifest, Origin, digest, read_manifest
from codegen_lsp.models.naming import Source, resolve
from codegen_lsp.models.preflight import (
    ARCHITECTURES,
    WEIGHT_BYTES,
    amount,
    converted_size,
    needs_companion,
    read_architecture,
    require_room,
)
from codegen_lsp.models.reporting import Reporter, Silent
from codegen_lsp.models.selection import (
    CONFIG,
    Selection,
    select,
    select_adapter,
    select_tokenizer,
)
from codegen_lsp.models.store import ModelFolder

__all__ = [
    "ARCHITECTURES",
    "WEIGHT_BYTES",
    "ConversionJob",
    "Convert",
    "PullRequest",
    "Reporter",
    "pull",
]

_DEFAULT_CONTEXT: Final = 2048
"""Tokens; stands in a manifest until the conversion has read the configuration."""

_COMPANION: Final = "Salesforce/codegen-350M-mono"
"""Whose vocabulary CodeGen2.5 builds on; the catalog says so of those it knows."""


@dataclass(frozen=True, slots=True)
class _Work:
    """One pull: what was asked for, what it means, who converts, and whom to tell."""

    request: PullRequest
    source: Source
    home: Path
    convert: Convert
    report: Reporter

    @property
    def name(self) -> str:
        """What the model will be installed under."""
        return self.source.name


@dataclass(frozen=True, slots=True)
class _Parts:
    """What lies on the disk, ready to be converted."""

    source: Path
    origin: Origin
    pulled: str
    """Whose folder of downloads holds what was fetched: an id, or the name of the model."""

    companion: Path | None = None
    adapter: Path | None = None
    licence: str = ""


def pull(request: PullRequest, home: Path, *, convert: Convert, report: Reporter) -> ModelFolder:
    """Install what *request* names; returns the installed model.

    :raises UsageError: an option makes no sense.
    :raises ModelNotFoundError: there is no such name.
    :raises HubError: it cannot be fetched, or there is no room for it.
    :raises ConversionError: it cannot be converted, or computes something else afterwards.
    :raises ModelError: the store cannot be written.
    """
    if request.compute_type not in WEIGHT_BYTES:
        raise UsageError(
            f"unknown compute type {request.compute_type!r}",
            mend=f"use one of {', '.join(WEIGHT_BYTES)}",
        )
    source = resolve(request)
    work = _Work(request, source, home, convert, report)

    def waiting() -> None:
        report.note(f"another process is changing {source.name}; waiting for it")

    with store.locked(source.name, home, waiting):
        return _from_hub(work) if source.folder is None else _from_folder(work, source.folder)


# --- From a folder -------------------------------------------------------------------------------


def _from_folder(work: _Work, folder: Path) -> ModelFolder:
    """Convert what lies in a folder; the folder is only read."""
    if (folder / MANIFEST).is_file():
        work.report.step(f"copying {folder}")
        return store.install(folder, work.home, name=work.name)
    with _words(work, str(folder)):
        names = [path.name for path in folder.iterdir() if path.is_file()]
        selection = select(names, str(folder))
        weights = sum((folder / name).stat().st_size for name in selection.weights)
        size = _size_of(work, selection, folder, weights)
        kind = _kind(work, selection, folder)
        lacks = needs_companion(names, kind, str(folder))
        require_room(work.home, work.name, 0, size)
        _claim(work, "")
        companion = _companion(work, work.name) if lacks else None
        adapter = _adapter(work, work.name)
        work.report.step(f"reading {folder}")
        origin = Origin(
            folder=str(folder),
            adapter=work.request.adapter or "",
            files={name: digest(folder / name) for name in selection.names},
        )
        return _convert(work, _Parts(folder, origin, work.name, companion, adapter))


# --- From the hub --------------------------------------------------------------------------------


def _from_hub(work: _Work) -> ModelFolder:
    """Fetch what is needed, convert it, and forget the download."""
    repo, revision = work.source.repo, work.request.revision
    work.report.step(f"asking {hub.endpoint()} for {repo}")
    present = _present(work, repo)
    try:
        remote = hub.describe(repo, revision)
    except HubError as error:
        if present is None or revision not in (None, present[1].revision):
            raise
        work.report.note(f"{work.name} is installed; cannot look for a newer one: {error}")
        return present[0]
    present = present or _present(work, remote.repo)  # it may have got another name
    if present is not None and present[1].revision == remote.commit:
        work.report.note(f"{work.name} is installed already, at {remote.commit[:12]}")
        return present[0]
    _claim(work, remote.repo)
    # Two names may be pulled from one repository at once.
    with store.locked(lock_name(work.home, remote.repo), work.home):
        folder = downloads(work.home, remote.repo) / remote.commit
        return _convert(work, _fetch_all(work, remote, folder))


def _present(work: _Work, repo: str) -> tuple[ModelFolder, Origin] | None:
    """What is installed, if it is whole and but for its revision what would be installed now."""
    model = _installed(work)
    origin = None if model is None else model.manifest.origin
    if model is None or origin is None or origin.adapter != (work.request.adapter or ""):
        return None
    # What came converted is stored as it came, whatever is asked for.
    stored = "model.bin" in origin.files or model.manifest.compute_type == work.request.compute_type
    if not stored or not _same(work, origin, repo):
        return None
    with contextlib.suppress(ModelDamagedError):
        store.verify(model)
        return model, origin
    return None


def _installed(work: _Work) -> ModelFolder | None:
    """What is installed under the name."""
    return next((m for m in store.installed(work.home) if m.name == work.name), None)


def _same(work: _Work, origin: Origin, repo: str) -> bool:
    """Whether *origin* is what is pulled: *repo*, under whatever name it had or has."""
    entry = work.source.entry
    known = entry is not None and find_entry(origin.repo) is entry
    return known or origin.repo in {work.source.repo, repo} - {""}


def _claim(work: _Work, repo: str) -> None:
    """Make sure that no model goes because one of somebody else has the same name.

    Whoever gives ``--name`` means it, and who pulls his own folders again does, too.
    """
    model = _installed(work)
    origin = None if model is None else model.manifest.origin
    if origin is None or _same(work, origin, repo):
        return
    came, folder = origin.repo or origin.folder, work.source.folder
    if work.request.name is None and (origin.repo or folder is None):
        raise HubError(
            f"{work.name} is installed already, from {came}",
            mend=f"give --name to have both, or run: codegen-lsp models remove {work.name}",
        )
    if came != str(folder):
        work.report.note(f"replacing {work.name}, which came from {came}")


def _fetch_all(work: _Work, remote: hub.Remote, folder: Path) -> _Parts:
    """Everything a conversion needs; the configuration first, room for all asked before weights."""
    files = {file.name: file for file in remote.files}
    selection = select(files, remote.repo)
    licence = _licence(work, remote)
    work.report.note(f"licence of {remote.repo}: {licence or 'not stated'}")
    digests = dict(hub.fetch(remote, [files[CONFIG]], folder, report=Silent()))
    wanted = [files[name] for name in selection.names if name != CONFIG]
    weights = sum(max(files[name].size, 0) for name in selection.weights)
    missing = sum(max(file.size, 0) - _there(folder, file.name) for file in wanted)
    size = _size_of(work, selection, folder, weights)
    lacks = needs_companion(files, _kind(work, selection, folder), remote.repo)
    require_room(work.home, work.name, missing, size)
    companion = _companion(work, remote.repo) if lacks else None
    adapter = _adapter(work, remote.repo)
    work.report.step(f"fetching {len(wanted)} files of {remote.repo}, {amount(missing)}")
    digests |= hub.fetch(remote, wanted, folder, report=work.report)
    origin = Origin(
        repo=remote.repo,
        revision=remote.commit,
        adapter=work.request.adapter or "",
        files=digests,
    )
    return _Parts(folder, origin, remote.repo, companion, adapter, licence)


def _licence(work: _Work, remote: hub.Remote) -> str:
    """What the repository says; the catalog's spelling where both mean the same."""
    known = work.source.entry.licence if work.source.entry is not None else ""
    return known if remote.licence.lower() in ("", known.lower()) else remote.licence


def _there(folder: Path, name: str) -> int:
    """Bytes of a file that earlier pulls brought."""
    for path in (folder / name, folder / (name + hub.PARTIAL)):
        if path.is_file():
            return path.stat().st_size
    return 0


def _kind(work: _Work, selection: Selection, folder: Path) -> str:
    """The architecture of a checkpoint; empty for what is converted already."""
    if selection.converted:
        return ""
    return str(read_architecture(folder, work.source.repo or str(folder))["model_type"])


def _companion(work: _Work, pulled: str) -> Path:
    """The tokenizer files of another repository, where a model has only code for its own."""
    entry = work.source.entry
    repo = entry.companion if entry is not None and entry.companion else _COMPANION
    return _fetch_some(work, pulled, repo, select_tokenizer)


def _adapter(work: _Work, pulled: str) -> Path | None:
    """The LoRA adapter that was named: a folder, or fetched."""
    named = work.request.adapter
    if named is None:
        return None
    folder = folder_called(named)
    if folder is not None:
        select_adapter([path.name for path in folder.iterdir()], named)
        return folder.resolve()
    return _fetch_some(work, pulled, named, lambda names: select_adapter(names, named))


def _fetch_some(
    work: _Work, pulled: str, repo: str, choose: Callable[[list[str]], Sequence[str]]
) -> Path:
    """The files of the newest *repo* that *choose* names, beside what is *pulled*."""
    remote = hub.describe(repo)
    files = {file.name: file for file in remote.files}
    chosen = [files[name] for name in choose(list(files))]
    folder = part(work.home, pulled, remote.repo, remote.commit)
    work.report.step(f"fetching {len(chosen)} files of {remote.repo}")
    hub.fetch(remote, chosen, folder, report=work.report)
    return folder


# --- Into the store ------------------------------------------------------------------------------


def _size_of(work: _Work, selection: Selection, folder: Path, weights: int) -> int:
    """Bytes the model will take; refuses one that we could not convert.

    An adapter makes a second copy of the checkpoint for a while.
    """
    if selection.converted:
        return weights
    config = read_architecture(folder, work.source.repo or str(folder))
    merged = weights if work.request.adapter is not None else 0
    return merged + converted_size(weights, config, work.request.compute_type)


def _convert(work: _Work, parts: _Parts) -> ModelFolder:
    """Make the model folder in the store's scratch, and install it."""
    with store.staging(work.home) as scratch, _words(work, work.name):
        out = scratch / "model"
        work.convert(
            ConversionJob(
                source=with_json_vocabulary(parts.source, scratch),
                companion=parts.companion,
                adapter=parts.adapter,
                out=out,
                manifest=_manifest(work, parts),
                compute_type=work.request.compute_type,
                check=work.request.check,
                report=work.report,
            )
        )
        work.report.step(f"installing {work.name}")
        model = store.install(out, work.home, name=work.name, move=True)
    if not work.request.keep_source:
        forget(downloads(work.home, parts.pulled), work.home)
    return model


def _manifest(work: _Work, parts: _Parts) -> Manifest:
    """What is known before the conversion: what it says itself, its card, the catalog's row."""
    entry, came = work.source.entry, parts.origin.repo or parts.origin.folder
    manifest = Manifest(
        name=work.name, context_length=_DEFAULT_CONTEXT, description=f"pulled from {came}"
    )
    if (parts.source / MANIFEST).is_file():
        with contextlib.suppress(ModelDamagedError):  # of another version, or nobody's
            manifest = read_manifest(parts.source)
    manifest = msgspec.structs.replace(
        manifest,
        name=work.name,
        licence=parts.licence or manifest.licence,
        origin=parts.origin,
        files={},
        checks=(),
    )
    if entry is None:
        return manifest
    return msgspec.structs.replace(
        manifest,
        family=entry.family,
        context_length=entry.context_length,
        parameters=entry.parameters,
        languages=tuple(entry.languages),
    )


@contextlib.contextmanager
def _words(work: _Work, what: str) -> Iterator[None]:
    """Turn what the system refuses, or a library that is missing, into one line."""
    try:
        yield
    except CodegenError:
        raise
    except ModuleNotFoundError as error:
        raise ConversionError(
            f"converting {what} needs {error.name}",
            mend="run: pip install 'codegen-lsp[convert]'",
        ) from error
    except OSError as error:
        raise meaning(error, Asked(what, hub.endpoint())) from error
