"""The catalog: every model of the field that we know by name, one row each.

A row says what a model is, where it is published, what it may be used for, and what we have
checked of it. Other models can be pulled by their Hugging Face id. Knows facts only: fetches
nothing, and does not know which models are installed (``store``) or fit a machine (``fit``).

Shapes are those of the published ``config.json`` files, and parameters are counted from them; a
comment marks what could only be inferred.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from codegen_lsp.models.dimensions import (
    CHATGLM_6B,
    LLAMA_7B,
    Dimensions,
    bigcode_shape,
    codegen_shape,
    parameters,
    t5_shape,
)

__all__ = ["CATALOG", "Entry", "find_entry", "suggestions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A published model."""

    name: str
    """What ``models pull`` takes and the store calls it."""

    hub_id: str
    """Where it is published today."""

    formerly: tuple[str, ...] = ()
    """Ids and names it had or is known by as well."""

    series: str
    """Models that were published together."""

    family: str
    """Prompt format (``prompts.families``)."""

    architecture: Literal["decoder", "encoder-decoder"] = "decoder"

    shape: Dimensions

    context_length: int
    """Most tokens of prompt and answer together; of each half of an encoder-decoder."""

    tokenizer: str
    """How its ``tokenizer.json`` comes about."""

    companion: str = ""
    """Repository whose tokenizer it is made with, where its own has none that can be read."""

    infill: str = ""
    """How a prompt says what follows the cursor; empty: it can not."""

    languages: tuple[str, ...] = ()
    """LSP language identifiers; of more than these, those with most code. Empty: natural ones."""

    licence: str
    """SPDX identifier, or the hub's where SPDX has none."""

    gated: bool = False
    """Whether the licence must be accepted on the hub, which then wants a token."""

    remote_only: str = ""
    """Why it cannot run here, only on a server; empty if it can."""

    verified: str
    """What was checked, and how."""

    parameters: int = field(init=False)
    """Number of weights, padding included, a tied head counted once."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", parameters(self.shape))


# --- What models of a series share ---------------------------------------------------------------

_SIX: Final = ("c", "cpp", "go", "java", "javascript", "python")

_STACK: Final = (
    *("c", "cpp", "csharp", "dart", "go", "java", "javascript", "kotlin", "lua", "php", "python"),
    *("ruby", "rust", "scala", "shellscript", "sql", "swift", "typescript", "vue"),
)

_STARCODER: Final = (
    *("c", "cpp", "csharp", "css", "dart", "go", "haskell", "html", "java", "javascript", "julia"),
    *("kotlin", "lua", "markdown", "perl", "php", "python", "r", "ruby", "rust", "scala"),
    *("shellscript", "sql", "swift", "typescript"),
)
"""Of 86 in its training data, those with an LSP identifier and most code."""

_PULL: Final = (
    "; on every pull: logits of the converted model against a numpy reading of the checkpoint"
)
_LAYOUT: Final = (
    "layout: tiny checkpoints as published, logits equal to transformers; published weights: not"
    " compared here" + _PULL
)

_EIGHT_PARTS: Final = (
    "layout: tiny checkpoints as published, logits equal to a numpy reading of them (transformers'"
    " own class takes the eight parts of the attention weights for four); published weights: not"
    " compared here" + _PULL
)

_350M: Final = codegen_shape(20, 1024, 16, 64, 32, 4)
_2B: Final = codegen_shape(32, 2560, 32, 80, 64, 4)
_6B: Final = codegen_shape(33, 4096, 16, 256, 64, 4)
_16B: Final = codegen_shape(34, 6144, 24, 256, 64, 4)

# Rows begin as a copy of one of these and say what is theirs.

_CODEGEN1: Final = Entry(
    name="",
    hub_id="",
    series="CodeGen1",
    family="causal",
    shape=_350M,
    context_length=2048,
    tokenizer="published; where only vocab.json and merges.txt are, rebuilt from them",
    licence="BSD-3-Clause",
    verified=_LAYOUT,
)

_CODEGEN2: Final = replace(
    _CODEGEN1,
    series="CodeGen2",
    family="codegen2",
    infill="prefix<mask_1>suffix<|endoftext|><sep><mask_1>",
    languages=_STACK,
    licence="Apache-2.0",
)

_CODEGEN25: Final = replace(
    _CODEGEN2,
    series="CodeGen2.5",
    family="codegen25",
    shape=LLAMA_7B,
    tokenizer="published as Python code over tiktoken; rebuilt from the companion's GPT-2 part",
    companion="Salesforce/codegen-350M-mono",
    languages=_STARCODER,
)

_SANTACODER: Final = replace(
    _CODEGEN1,
    series="SantaCoder",
    family="santacoder",
    shape=bigcode_shape(24, 2048, 16, 49280, 2048),
    tokenizer="published",
    infill="<fim-prefix>prefix<fim-suffix>suffix<fim-middle>",
    languages=("java", "javascript", "python"),
    licence="bigcode-openrail-m",
)

_STARCODERS: Final = replace(
    _SANTACODER,
    series="StarCoder",
    family="starcoder",
    context_length=8192,
    infill="<fim_prefix>prefix<fim_suffix>suffix<fim_middle>",
    languages=_STARCODER,
    gated=True,
)

_CODET5P: Final = replace(
    _CODEGEN1,
    series="CodeT5+",
    family="codet5p",
    architecture="encoder-decoder",
    context_length=512,
    tokenizer="published; where only vocab.json and merges.txt are, rebuilt from them",
    infill="prefix<extra_id_0>suffix, answered between <extra_id_0> and <extra_id_1>",
    languages=("c", "cpp", "csharp", "go", "java", "javascript", "php", "python", "ruby"),
)

# --- The table -----------------------------------------------------------------------------------

_ROWS: Final[tuple[Entry, ...]] = (
    replace(_CODEGEN1, name="codegen-350M-nl", hub_id="Salesforce/codegen-350M-nl", shape=_350M),
    replace(
        _CODEGEN1,
        name="codegen-350M-multi",
        hub_id="Salesforce/codegen-350M-multi",
        shape=_350M,
        languages=_SIX,
    ),
    replace(
        _CODEGEN1,
        name="codegen-350M-mono",
        hub_id="Salesforce/codegen-350M-mono",
        shape=_350M,
        languages=("python",),
    ),
    replace(_CODEGEN1, name="codegen-2B-nl", hub_id="Salesforce/codegen-2B-nl", shape=_2B),
    replace(
        _CODEGEN1,
        name="codegen-2B-multi",
        hub_id="Salesforce/codegen-2B-multi",
        shape=_2B,
        languages=_SIX,
    ),
    replace(
        _CODEGEN1,
        name="codegen-2B-mono",
        hub_id="Salesforce/codegen-2B-mono",
        shape=_2B,
        languages=("python",),
    ),
    replace(_CODEGEN1, name="codegen-6B-nl", hub_id="Salesforce/codegen-6B-nl", shape=_6B),
    replace(
        _CODEGEN1,
        name="codegen-6B-multi",
        hub_id="Salesforce/codegen-6B-multi",
        shape=_6B,
        languages=_SIX,
    ),
    replace(
        _CODEGEN1,
        name="codegen-6B-mono",
        hub_id="Salesforce/codegen-6B-mono",
        shape=_6B,
        languages=("python",),
    ),
    replace(_CODEGEN1, name="codegen-16B-nl", hub_id="Salesforce/codegen-16B-nl", shape=_16B),
    replace(
        _CODEGEN1,
        name="codegen-16B-multi",
        hub_id="Salesforce/codegen-16B-multi",
        shape=_16B,
        languages=_SIX,
    ),
    replace(
        _CODEGEN1,
        name="codegen-16B-mono",
        hub_id="Salesforce/codegen-16B-mono",
        shape=_16B,
        languages=("python",),
    ),
    replace(
        _CODEGEN2,
        name="codegen2-1B",
        hub_id="Salesforce/codegen2-1B_P",
        formerly=("Salesforce/codegen2-1B",),
        shape=codegen_shape(16, 2048, 16, 128, 64, 8),
        verified=_EIGHT_PARTS,
    ),
    replace(
        _CODEGEN2,
        name="codegen2-3_7B",
        hub_id="Salesforce/codegen2-3_7B_P",
        formerly=("Salesforce/codegen2-3_7B", "codegen2-3.7B"),
        shape=codegen_shape(16, 4096, 16, 256, 64, 8),
        verified=_EIGHT_PARTS,
    ),
    # Heads and rotary of this row and the next: as CodeGen1's of that width, not read anywhere.
    replace(
        _CODEGEN2,
        name="codegen2-7B",
        hub_id="Salesforce/codegen2-7B_P",
        formerly=("Salesforce/codegen2-7B",),
        shape=codegen_shape(32, 4096, 16, 256, 64, 4),
    ),
    replace(
        _CODEGEN2,
        name="codegen2-16B",
        hub_id="Salesforce/codegen2-16B_P",
        formerly=("Salesforce/codegen2-16B",),
        shape=_16B,
    ),
    replace(
        _CODEGEN25,
        name="codegen25-7b-multi",
        hub_id="Salesforce/codegen25-7b-multi_P",
        formerly=("Salesforce/codegen25-7b-multi",),
    ),
    replace(
        _CODEGEN25,
        name="codegen25-7b-mono",
        hub_id="Salesforce/codegen25-7b-mono_P",
        formerly=("Salesforce/codegen25-7b-mono",),
        languages=("python",),
    ),
    # Its card says "research purposes only" and names no licence.
    replace(
        _CODEGEN25,
        name="codegen25-7b-instruct",
        hub_id="Salesforce/codegen25-7b-instruct_P",
        formerly=("Salesforce/codegen25-7b-instruct",),
        languages=("python",),
        licence="LicenseRef-research-only",
    ),
    replace(
        _SANTACODER,
        name="santacoder",
        hub_id="bigcode/gpt_bigcode-santacoder",
        formerly=("bigcode/santacoder",),
    ),
    replace(
        _STARCODERS,
        name="starcoderbase-1b",
        hub_id="bigcode/starcoderbase-1b",
        shape=bigcode_shape(24, 2048, 16, 49152, 8192),
    ),
    replace(
        _STARCODERS,
        name="starcoderbase-3b",
        hub_id="bigcode/starcoderbase-3b",
        shape=bigcode_shape(36, 2816, 22, 49152, 8192),
    ),
    replace(
        _STARCODERS,
        name="starcoderbase-7b",
        hub_id="bigcode/starcoderbase-7b",
        shape=bigcode_shape(42, 4096, 32, 49152, 8192),
    ),
    replace(
        _STARCODERS,
        name="starcoderbase",
        hub_id="bigcode/starcoderbase",
        formerly=("starcoderbase-15b",),
        shape=bigcode_shape(40, 6144, 48, 49152, 8192),
    ),
    replace(
        _STARCODERS,
        name="starcoder",
        hub_id="bigcode/starcoder",
        formerly=("starcoder-15b",),
        shape=bigcode_shape(40, 6144, 48, 49152, 8192),
    ),
    replace(
        _CODET5P, name="codet5p-220m", hub_id="Salesforce/codet5p-220m", shape=t5_shape(12, 768, 12)
    ),
    replace(
        _CODET5P,
        name="codet5p-770m",
        hub_id="Salesforce/codet5p-770m",
        shape=t5_shape(24, 1024, 16),
    ),
    Entry(
        name="codegeex2-6b",
        hub_id="THUDM/codegeex2-6b",
        formerly=("zai-org/codegeex2-6b",),  # whose name is new; the hub serves it under both
        series="CodeGeeX2",
        family="causal",
        shape=CHATGLM_6B,
        context_length=8192,
        tokenizer="not needed here: a server has its own",
        languages=_STARCODER,
        licence="LicenseRef-CodeGeeX2",  # MODEL_LICENSE of its repository
        remote_only="its architecture, ChatGLM2, has no converter: run it on a team's server",
        verified="nothing: it runs on servers that are not ours",
    ),
)

CATALOG: Final[Mapping[str, Entry]] = {entry.name: entry for entry in _ROWS}
"""All rows by name, in the order in which they are listed."""


def _spellings(entry: Entry) -> set[str]:
    """Everything an entry is called, in lower case."""
    names = (entry.name, entry.hub_id, *entry.formerly)
    return {name.lower() for name in names}


_BY_SPELLING: Final[Mapping[str, Entry]] = {
    spelling: entry for entry in _ROWS for spelling in _spellings(entry)
}


def find_entry(name: str) -> Entry | None:
    """The row with this name or Hugging Face id, today's or a former one; case does not matter."""
    return _BY_SPELLING.get(name.strip().lower())


def suggestions(name: str) -> list[str]:
    """Names of the catalog that *name* may have meant, the nearest first; at most three."""
    wanted = name.strip().lower().rpartition("/")[2]
    near = difflib.get_close_matches(wanted, _BY_SPELLING, n=6, cutoff=0.6)
    return list(dict.fromkeys(_BY_SPELLING[spelling].name for spelling in near))[:3]
