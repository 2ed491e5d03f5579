"""From any folder that holds a model to any layout, checked: what the command line calls.

    Hugging Face ─┐                         ┌─> CTranslate2 (a model folder, as the store keeps it)
    JAXFORMER ────┼─> Hugging Face folder ──┼─> Hugging Face, Phi, GPT-J
    CTranslate2 ──┘                         └─> GGUF

Everything passes through one Hugging Face folder, so that one reading of the weights is the judge
of every layout. Nothing appears under its name before its logits were compared.

Knows the order of the steps. Does not know formats (the modules beside it), repositories
(``models.hub``) or how models are kept (``models.store``).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, cast

import msgspec

from codegen_lsp.errors import ConversionError, ModelError, UsageError
from codegen_lsp.models.adopt import link
from codegen_lsp.models.jobs import ConversionJob
from codegen_lsp.models.manifest import (
    EXTRAS,
    MANIFEST,
    Check,
    Manifest,
    read_manifest,
    write_manifest,
)
from codegen_lsp.models.reporting import Reporter
from codegen_lsp.models.store import find_model

from . import (
    from_ct2,
    from_jaxformer,
    gguf_vocabulary,
    lora,
    to_ct2,
    to_gguf,
    to_gptj,
    to_hf,
    to_phi,
    tokenizer_files,
    verify,
)
from .checkpoint import open_checkpoint, read_config, write_safetensors
from .shape import Shape
from .tensors import Tensors

__all__ = ["TARGETS", "Target", "check", "convert_to", "is_ct2", "run_job"]

CONTEXT: Final = 2048
"""Context of a model that does not say: CTranslate2's own files do not."""

_CARRIED: Final = ("config.json", "tokenizer.json", "tokenizer_config.json")
"""What a Hugging Face folder holds beside weights that a conversion reads."""

_VOCABULARIES: Final = ("vocabulary.json", "shared_vocabulary.json")


def run_job(job: ConversionJob) -> Manifest:
    """Make the model folder ``job.out`` of the folder ``job.source``; returns its manifest.

    A folder that is CTranslate2's already is taken as it is. Anything else gets a tokenizer
    where it has none, an adapter's changes where one is named, is converted, and is compared.

    :raises ConversionError: it cannot be converted, or computes something else afterwards.
    """
    with _scratch(job.out) as scratch:
        source = _with_tokenizer(job.source, scratch, job.companion)
        family = tokenizer_files.family_of_folder(source)
        draft = msgspec.structs.replace(job.manifest, family=family)
        if is_ct2(source):
            return _adopt(job, source, draft)
        if job.adapter is not None:
            source = _merged(source, job, job.adapter, scratch)
        return _to_model_folder(
            source, job.out, draft, job.compute_type, job.report, compare=job.check
        )


def _to_model_folder(
    source: Path, out: Path, draft: Manifest, kind: str, report: Reporter, *, compare: bool = True
) -> Manifest:
    """Convert to CTranslate2, compare, and note in the manifest what was found."""
    report.step(f"converting to CTranslate2, {kind}")
    manifest = to_ct2.convert(
        source, out, draft, kind, progress=partial(report.progress, "convert")
    )
    if not compare:
        return manifest
    report.step("comparing logits with the checkpoint")
    checks = verify.check_ct2(source, out, kind)
    return write_manifest(out, msgspec.structs.replace(manifest, checks=checks))


def is_ct2(folder: Path) -> bool:
    """Whether *folder* holds weights in CTranslate2's own form."""
    return (folder / "model.bin").is_file() and (folder / "config.json").is_file()


def _with_tokenizer(source: Path, scratch: Path, companion: Path | None = None) -> Path:
    """*source* if it has a ``tokenizer.json``, else a mirror of it in which one was made.

    A user's folder is only read.
    """
    folder = source
    if not (source / tokenizer_files.TOKENIZER).is_file():
        folder = _mirror(source, scratch / "mirror")
    tokenizer_files.ensure_tokenizer(folder, companion=companion)
    return folder


def _mirror(source: Path, folder: Path) -> Path:
    """The new *folder* with the same files as *source*, linked where that can be.

    Scratch may lie on another, smaller file system: a link that can cross over comes first.
    """
    folder.mkdir()
    for path in source.iterdir():
        if not path.is_file():
            continue
        try:
            (folder / path.name).symlink_to(path.resolve())
        except OSError:  # Windows asks for a privilege
            link(path, folder / path.name)
    return folder


def _merged(source: Path, job: ConversionJob, adapter: Path, scratch: Path) -> Path:
    """A copy of *source* with the adapter's changes in its weights."""
    config = read_config(source)
    origin = job.manifest.origin
    # A folder under a mirror's name says nothing of the model; the repository's name does.
    note = lora.base_note({"_name_or_path": origin.repo if origin else ""}, adapter)
    if note is not None:
        job.report.note(note)
    job.report.step(f"merging the adapter {adapter.name}")
    merged = scratch / "merged"
    merged.mkdir()
    write_safetensors(merged, lora.merge(open_checkpoint(source), config, adapter))
    for name in _CARRIED:
        if (source / name).is_file():
            shutil.copyfile(source / name, merged / name)
    return merged


def _adopt(job: ConversionJob, source: Path, draft: Manifest) -> Manifest:
    """Take a CTranslate2 folder as it is: its files, a tokenizer and a manifest."""
    if job.adapter is not None:
        raise ConversionError(
            "an adapter cannot be merged into converted weights",
            mend="pull the repository that the adapter was trained on",
        )
    vocabulary = next((name for name in _VOCABULARIES if (source / name).is_file()), None)
    if vocabulary is None:
        raise ConversionError(
            f"{job.source} has neither {' nor '.join(_VOCABULARIES)}",
            mend="convert the model anew from its original repository",
        )
    job.out.mkdir(parents=True, exist_ok=True)
    for name in ("model.bin", vocabulary, *_CARRIED, *EXTRAS):
        if (source / name).is_file():
            shutil.copyfile(source / name, job.out / name)
    manifest = msgspec.structs.replace(
        draft,
        architecture="decoder" if vocabulary == _VOCABULARIES[0] else "encoder-decoder",
        compute_type=from_ct2.stored_type(source),
    )
    return write_manifest(job.out, manifest)


Write = Callable[[Tensors, Shape, Path, Path, str], object]
"""Plain weights, their shape, ``tokenizer.json``, where to write, how to store."""


@dataclass(frozen=True, slots=True)
class Target:
    """A layout that a CodeGen can be written in."""

    write: Write
    kinds: tuple[str, ...]
    """How weights can be stored, the default first."""

    is_file: bool = False
    """Whether the layout is one file instead of a folder."""


def _hf(plain: Tensors, shape: Shape, tokenizer: Path, out: Path, kind: str) -> object:
    return to_hf.to_hf_folder(plain, shape, tokenizer, out)


def _phi(plain: Tensors, shape: Shape, tokenizer: Path, out: Path, kind: str) -> object:
    return to_phi.write_phi(plain, shape, tokenizer, out, dtype=cast(to_phi.Dtype, kind))


def _gptj(plain: Tensors, shape: Shape, tokenizer: Path, out: Path, kind: str) -> object:
    return to_gptj.write_gptj(plain, shape, tokenizer, out, dtype=cast(to_phi.Dtype, kind))


def _gguf(plain: Tensors, shape: Shape, tokenizer: Path, out: Path, kind: str) -> object:
    return to_gguf.write_gguf(plain, shape, tokenizer, out, kind, name=out.stem)


TARGETS: Final[Mapping[str, Target | None]] = {
    "ct2": None,  # of any architecture, and with a manifest: see _to_model_folder
    "hf": Target(_hf, ("float32",)),
    "phi": Target(_phi, to_phi.DTYPES),
    "gptj": Target(_gptj, to_phi.DTYPES),
    "gguf": Target(_gguf, ("f16", *(kind for kind in to_gguf.TYPES if kind != "f16")), True),
}
"""The layouts ``models convert --to`` offers."""


def convert_to(
    source: str,
    to: str,
    out: Path,
    *,
    quantization: str,
    home: Path,
    report: Reporter,
    tokenizers: Path | None = None,
) -> list[Check]:
    """Write *source* (an installed model's name, or a folder) to *out* in the layout *to*.

    *quantization* is how weights are stored, ``""`` for the layout's default. *tokenizers* is a
    folder with the tokenizer's files, for a checkpoint of JAXFORMER, which has none. *out*
    appears when its logits were compared with the source's; the comparisons are returned.

    :raises UsageError: no such layout, no such way to store, or *out* exists.
    :raises ModelError: *source* is not found or damaged, cannot be converted, or computes
        something else afterwards.
    """
    if to not in TARGETS:
        raise UsageError(f"no layout {to!r}", mend=f"use one of {', '.join(TARGETS)}")
    if out.exists():
        raise UsageError(f"{out} exists", mend="remove it, or name another place")
    target = TARGETS[to]
    kinds = tuple(to_ct2.QUANTIZATIONS) if target is None else target.kinds
    kind = quantization.lower() or kinds[0]
    if kind not in kinds:
        raise UsageError(f"{to} cannot be stored as {kind}", mend=f"use one of {', '.join(kinds)}")
    with _scratch(out) as scratch:
        folder = _as_hf_folder(source, home, scratch, report, tokenizers)
        whole = scratch / "whole" / out.name
        whole.parent.mkdir()
        if target is None:
            family = tokenizer_files.family_of_folder(folder)
            draft = msgspec.structs.replace(
                _known(source, home), name=_plain_name(out), family=family, files={}, checks=()
            )
            checks = _to_model_folder(folder, whole, draft, kind, report).checks
        else:
            checks = _to_layout(folder, target, whole, kind, report)
        whole.rename(out)
    return list(checks)


def _to_layout(
    folder: Path, target: Target, whole: Path, kind: str, report: Reporter
) -> tuple[Check, ...]:
    report.step(f"writing {whole.name}, {kind}")
    shape = Shape.from_folder(folder)
    plain = to_hf.from_hf_tensors(open_checkpoint(folder), shape)
    target.write(plain, shape, folder / "tokenizer.json", whole, kind)
    if target.is_file and not gguf_vocabulary.is_exact(folder / "tokenizer.json"):
        report.note(
            "llama.cpp cuts text into tokens by rules of its own: prompts of token ids are exact,"
            " prompts of text may differ"
        )
    report.step("comparing logits with the source")
    return verify.check(folder, whole)


def check(source: str, converted: Path, *, home: Path, report: Reporter) -> list[Check]:
    """Compare the logits of *converted*, in any layout, with those of *source*.

    Where *source* is a checkpoint of JAXFORMER without a tokenizer, that of *converted* is used.

    :raises ModelError: *source* is not found, or the two differ.
    """
    bare = not (_folder(source, home) / tokenizer_files.TOKENIZER).is_file()
    lent = bare and from_jaxformer.is_jaxformer(_folder(source, home))
    tokenizers = converted if (converted / tokenizer_files.TOKENIZER).is_file() else None
    with _scratch(Path(tempfile.gettempdir()) / "check") as scratch:
        folder = _as_hf_folder(source, home, scratch, report, tokenizers if lent else None)
        report.step("comparing logits")
        return list(verify.check(folder, converted))


def _as_hf_folder(
    source: str, home: Path, scratch: Path, report: Reporter, tokenizers: Path | None = None
) -> Path:
    """A Hugging Face folder with a ``tokenizer.json`` that holds the weights of *source*.

    *tokenizers* is a folder with the tokenizer's files; by default they are in *source*. A
    CodeGen2.5 without a tokenizer has one built from them: its own is published as a program.
    """
    folder = _folder(source, home)
    if tokenizers is not None and tokenizer_files.is_program(folder):
        return _with_tokenizer(folder, scratch, tokenizers)
    tokenizer = _with_tokenizer(tokenizers or folder, scratch) / tokenizer_files.TOKENIZER
    if from_jaxformer.is_jaxformer(folder):
        report.step("reading JAXFORMER's shards")
        from_jaxformer.convert_jaxformer(folder, tokenizer, scratch / "hf")
        return scratch / "hf"
    if tokenizers is None:
        folder = tokenizer.parent
    elif not is_ct2(folder):
        folder = _mirror(folder, scratch / "with-tokenizer")
        (folder / tokenizer.name).unlink(missing_ok=True)
        shutil.copyfile(tokenizer, folder / tokenizer.name)
    if is_ct2(folder):
        report.step("reading CTranslate2's weights")
        plain, shape = from_ct2.read_ct2(folder)
        return to_hf.to_hf_folder(plain, shape, tokenizer, scratch / "hf")
    return folder


def _folder(source: str, home: Path) -> Path:
    folder = Path(source).expanduser()
    return folder if folder.is_dir() else find_model(source, home).path


def _known(source: str, home: Path) -> Manifest:
    """What is known of *source*: what its manifest says, if it has one."""
    folder = _folder(source, home)
    if (folder / MANIFEST).is_file():
        return read_manifest(folder)
    return Manifest(name="model", context_length=CONTEXT)


def _plain_name(out: Path) -> str:
    """A name that a manifest takes, made from the folder's."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in out.name)
    return name.lstrip("._-") or "model"


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """A folder beside *out*, so that what is whole can be renamed into place; then gone."""
    scratch = ""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".convert-", dir=out.parent) as scratch:
            yield Path(scratch)
    except OSError as error:
        if _is_reading(error, out, Path(scratch or out)):
            raise ModelError(
                f"cannot read {error.filename}: {error.strerror}", mend="look at its permissions"
            ) from error
        raise ModelError(
            f"cannot write in {out.parent}: {error.strerror or error}",
            mend="make room there, or name another place",
        ) from error


def _is_reading(error: OSError, out: Path, scratch: Path) -> bool:
    """Whether a source could not be read; everything is written into *scratch* or *out*.

    A full disk names the file that was copied, too.
    """
    if not error.filename or not isinstance(error, PermissionError | FileNotFoundError):
        return False
    place = Path(str(error.filename)).resolve()
    written = any(place.is_relative_to(ours.resolve()) for ours in (scratch, out))
    return not written and not out.parent.resolve().is_relative_to(place)
