"""The manifest of a model folder: ``codegen-lsp.json``, written last and trusted first.

Knows its fields, how to read and write it, and how to digest the files beside it. Does not know
where folders are kept (``store``) or what an engine needs of them.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from codegen_lsp.errors import ModelDamagedError

__all__ = [
    "FILES",
    "MANIFEST",
    "Check",
    "FileEntry",
    "Manifest",
    "Origin",
    "describe_file",
    "digest",
    "read_manifest",
    "reinstall_hint",
    "write_manifest",
]

MANIFEST: Final = "codegen-lsp.json"
"""The manifest's file name. A folder without it is no model folder."""

FILES: Final = ("model.bin", "config.json", "vocabulary.json", "tokenizer.json")
"""What every model folder holds: CTranslate2's three files and the tokenizer."""

_CHUNK: Final = 1 << 20


class FileEntry(msgspec.Struct, frozen=True):
    """What a file must be."""

    size: Annotated[int, msgspec.Meta(ge=0)]
    """Bytes."""

    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    """Hexadecimal digest of the content."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where the weights came from."""

    repo: str = ""
    """Hugging Face id; empty for a folder."""

    revision: str = ""
    """Commit hash of the repository."""

    folder: str = ""
    """The folder that was converted, where there was no repository."""

    adapter: str = ""
    """Hugging Face id or folder of a LoRA adapter that was merged."""

    files: dict[str, str] = {}
    """SHA-256 of each file that was read, by name."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of logits that was made when the model was converted."""

    name: str
    """What was compared with what."""

    max_abs: float
    """Largest difference of a log-probability."""

    agreement: float
    """Share of positions with the same likeliest token."""

    divergence: float
    """Mean Kullback-Leibler divergence, nats per token."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is and which files make it up."""

    format: Literal[1] = 1
    """Version of this file's form."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """The name it is installed and shown under."""

    family: str = "causal"
    """Prompt format and tokenizer rules (``prompts.families``)."""

    context_length: Annotated[int, msgspec.Meta(ge=2)]
    """Most tokens of prompt and answer together."""

    parameters: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Number of weights, padding included, a tied head counted once; 0 if unknown."""

    compute_type: str = ""
    """How the weights are stored, for example ``int8``."""

    licence: str = ""
    """SPDX identifier of the weights' licence."""

    languages: tuple[str, ...] = ()
    """LSP language identifiers the model was trained on; empty if unknown."""

    description: str = ""
    """One line for ``models list``."""

    architecture: Literal["decoder", "encoder-decoder"] = "decoder"
    """Whether the prompt is read by the same network that writes the answer."""

    origin: Origin | None = None
    """Where the weights came from, where that is known."""

    checks: tuple[Check, ...] = ()
    """What was compared when the model was made."""

    files: dict[str, FileEntry] = {}
    """Size and digest of each file, by name."""


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal.

    :raises OSError: it cannot be read.
    """
    state = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def describe_file(path: Path) -> FileEntry:
    """The entry of an existing file.

    :raises OSError: it cannot be read.
    """
    return FileEntry(size=path.stat().st_size, sha256=digest(path))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of *folder*.

    :raises ModelDamagedError: it is missing, unreadable, or not of a known form.
    """
    path = folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise ModelDamagedError(
            f"{folder} is no model folder: it has no {MANIFEST}",
            mend=reinstall_hint(folder) if _bundled(folder) else "name a folder that has one",
        ) from None
    except OSError as error:
        raise ModelDamagedError(f"cannot read {path}: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelDamagedError(
            f"{path} is damaged: {error}", mend=reinstall_hint(folder)
        ) from None


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Describe the files of *folder* in *manifest* and write it, whole or not at all.

    Every file of :data:`FILES` must exist; ``manifest.files`` is replaced. Returns what was
    written.

    :raises ModelDamagedError: a file is missing.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ModelDamagedError(f"{folder} lacks {', '.join(missing)}")
    files = {name: describe_file(folder / name) for name in FILES}
    complete = msgspec.structs.replace(manifest, files=files)
    content = msgspec.json.format(msgspec.json.encode(complete), indent=2) + b"\n"
    scratch = folder / f".{MANIFEST}.{os.getpid()}"
    scratch.write_bytes(content)
    scratch.replace(folder / MANIFEST)
    return complete


def reinstall_hint(folder: Path) -> str:
    """How to mend the model in *folder*."""
    if _bundled(folder):
        return "reinstall codegen-lsp"
    return f"remove {folder} and install the model again"


def _bundled(folder: Path) -> bool:
    """Whether the folder came with the package and is mended with it."""
    return folder.name == "bundled"
