"""The manifest of a model folder: ``codegen-lsp.json``, written last and trusted first.

Knows its fields, how to read and write it, and how to digest the files beside it. Does not know
where folders are kept (``store``) or what an engine needs of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from codegen_lsp.errors import ModelDamagedError

__all__ = [
    "EXTRAS",
    "FILES",
    "MANIFEST",
    "Check",
    "FileEntry",
    "Manifest",
    "Origin",
    "describe_file",
    "digest",
    "read_manifest",
    "required_files",
    "write_manifest",
]

MANIFEST: Final = "codegen-lsp.json"
"""The manifest's file name. A folder without it is no model folder."""

FILES: Final = ("model.bin", "config.json", "vocabulary.json", "tokenizer.json")
"""What a decoder's folder holds: CTranslate2's three files and the tokenizer."""

_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "decoder": FILES,
    "encoder-decoder": ("model.bin", "config.json", "shared_vocabulary.json", "tokenizer.json"),
}
"""The files that a model cannot do without, by ``Manifest.architecture``."""

EXTRAS: Final = ("MODEL_CARD.md", "README.md", "LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE")
"""Files that are kept with a model where they lie beside it; a licence often says they must."""

FileName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*\Z", max_length=128)]
"""A file of a model's own folder: a manifest cannot lead out of it."""

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

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z")]
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

    files: dict[FileName, FileEntry] = {}
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


def required_files(manifest: Manifest) -> tuple[str, ...]:
    """The files that a model of this architecture cannot do without."""
    return _REQUIRED[manifest.architecture]


def read_manifest(folder: Path, *, mend: str | None = None) -> Manifest:
    """The manifest of *folder*.

    :param mend: what errors advise, where the caller knows better than that the folder is wrong.
    :raises ModelDamagedError: it is missing, unreadable, or not of a known form.
    """
    path = folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (FileNotFoundError, NotADirectoryError):
        raise ModelDamagedError(
            f"{folder} is no model folder: it has no {MANIFEST}",
            mend=mend or "name a folder that has one",
        ) from None
    except OSError as error:
        raise ModelDamagedError(f"cannot read {path}: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelDamagedError(
            f"{path} is damaged: {error}",
            mend=mend or f"remove {folder} and install the model again",
        ) from None


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Describe the files of *folder* in *manifest* and write it, whole or not at all.

    The files of :func:`required_files` must exist. Beside them those of :data:`EXTRAS` and those
    that *manifest* lists already are described where they exist. Returns what was written.

    :raises ModelDamagedError: a file is missing.
    """
    required = required_files(manifest)
    missing = [name for name in required if not (folder / name).is_file()]
    if missing:
        raise ModelDamagedError(f"{folder} lacks {', '.join(missing)}")
    names = dict.fromkeys((*required, *EXTRAS, *manifest.files))
    files = {name: describe_file(folder / name) for name in names if (folder / name).is_file()}
    complete = msgspec.structs.replace(manifest, files=files)
    content = msgspec.json.format(msgspec.json.encode(complete), indent=2) + b"\n"
    scratch = folder / f".{MANIFEST}.{os.getpid()}"
    scratch.write_bytes(content)
    scratch.replace(folder / MANIFEST)
    return complete
