"""The model that is served: its weights, its tokenizer, its names.

Knows how a name or folder becomes all of that. Does not know requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codegen_lsp.config.home import home
from codegen_lsp.engines.ct2_batch import BatchModel
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.models.store import find_model
from codegen_lsp.prompts.families import Family, family_of
from codegen_lsp.prompts.infill import FORMATS
from codegen_lsp.prompts.tokenizer import CodeTokenizer

__all__ = ["Served", "open_served"]


@dataclass(frozen=True, slots=True)
class Served:
    """Everything that answering takes."""

    model: BatchModel
    tokenizer: CodeTokenizer
    family: Family

    name: str
    """What ``/v1/models`` calls it."""

    names: frozenset[str]
    """What requests may call it."""

    context_length: int
    """Most tokens of prompt and answer together."""

    created: int
    """When its files were written, seconds since 1970."""

    @property
    def infill(self) -> bool:
        """Whether it can be asked with a suffix."""
        return self.family.name in FORMATS

    @property
    def stop_ids(self) -> frozenset[int]:
        """What ends an answer that fills in: marks are no text."""
        return frozenset(self.tokenizer.special_ids.values())

    @property
    def marks(self) -> int:
        """Tokens that filling in takes beside the texts, the beginning of a document included."""
        form = FORMATS[self.family.name]
        return len(form.before + form.between + form.behind) + 1


def open_served(
    name: str, *, device: str = "auto", compute_type: str = "auto", threads: int = 0
) -> Served:
    """The model called *name*, or in the folder *name*, its weights loaded.

    :raises ModelError: it is missing or damaged.
    :raises EngineError: it cannot run here, or not for several at a time.
    """
    folder = find_model(name, home())
    manifest = folder.manifest
    spec = EngineSpec(
        folder=folder.path,
        name=manifest.name,
        context_length=manifest.context_length,
        device=device,
        compute_type=compute_type,
        threads=threads,
        architecture=manifest.architecture,
    )
    family = family_of(manifest.family)
    tokenizer = CodeTokenizer.from_folder(folder.path)
    return Served(
        model=BatchModel(spec),
        tokenizer=tokenizer,
        family=family,
        name=manifest.name,
        names=frozenset({manifest.name, folder.name, Path(folder.name).name}),
        context_length=manifest.context_length,
        created=int((folder.path / "model.bin").stat().st_mtime),
    )
