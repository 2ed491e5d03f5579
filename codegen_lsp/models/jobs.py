"""What is asked of a pull, and what a pull asks of a conversion.

Knows the words only: who pulls is ``pull``, who converts is handed in by the command line, because
models know no converters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codegen_lsp.models.manifest import Manifest
from codegen_lsp.models.reporting import Reporter

__all__ = ["ConversionJob", "Convert", "PullRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """What a user asks for."""

    what: str
    """A name of the catalog, a Hugging Face id, or a folder."""

    name: str | None = None
    """The name to install it under; by default the catalog's, or that of repository or folder."""

    revision: str | None = None
    """Branch, tag or commit hash; the newest by default."""

    compute_type: str = "int8"
    """How weights are stored: a key of ``pull.WEIGHT_BYTES``."""

    adapter: str | None = None
    """A LoRA adapter to merge: a Hugging Face id or a folder."""

    keep_source: bool = False
    """Whether the download stays after the conversion."""

    check: bool = True
    """Whether logits are compared after the conversion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionJob:
    """What is to be converted, and into what."""

    source: Path
    """A Hugging Face folder, or one that is CTranslate2's already. It is only read."""

    companion: Path | None = None
    """A folder with tokenizer files, where *source* has none of its own."""

    adapter: Path | None = None
    """A folder with a LoRA adapter to merge first."""

    out: Path
    """The model folder to be made; its parent exists and may be used for scratch."""

    manifest: Manifest
    """What is known before; the conversion fills in what it finds."""

    compute_type: str
    """How weights are stored."""

    check: bool
    """Whether logits are compared with those of *source*."""

    report: Reporter


Convert = Callable[[ConversionJob], Manifest]
"""Makes a model folder with its manifest; raises ``ConversionError``."""
