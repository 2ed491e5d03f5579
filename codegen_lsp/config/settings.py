"""What the program uses: total, frozen settings, one field per decision a user can take.

The wire form of a field is its name in camelCase under ``codegen``; the same names stand in the
TOML files. This module neither reads files nor judges foreign input (``options``, ``sources``).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ["ContextSource", "Settings", "engine_part"]

ContextSource = Literal["open", "imports", "definitions", "similar", "header"]

Count = Annotated[int, Meta(ge=1, le=2048)]

Milliseconds = Annotated[int, Meta(ge=0, le=60_000)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Every setting, with its default."""

    enabled: bool = True
    """Whether automatic completions are offered; an explicit invocation always is."""

    model: Annotated[str, Meta(min_length=1)] = "bundled"
    """``bundled``, the name of an installed model, or the path of a model folder."""

    engine: Literal["auto", "ct2", "llama"] = "auto"
    """What runs the model; ``auto`` is what ``bench engine`` found faster on this machine, and
    CTranslate2 where it was not asked."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto`` takes a CUDA device where CTranslate2 sees one."""

    compute_type: Literal[
        "auto",
        "int8",
        "int8_float32",
        "int8_float16",
        "int8_bfloat16",
        "float16",
        "bfloat16",
        "float32",
        "q8_0",
        "q4_0",
    ] = "auto"
    """``auto`` is int8 on a CPU, float16 on a GPU, q8_0 with llama.cpp, whose are the last two."""

    threads: Annotated[int, Meta(ge=0, le=256)] = 0
    """CPU threads for one completion; 0 takes what suits the model: one for a small one, else the
    physical cores, at most 8."""

    cache_memory: Annotated[int, Meta(ge=0, le=1 << 20)] = 0
    """Most MiB that an engine may keep of what it has read; 0 takes what suits the machine."""

    drafts: bool = False
    """Whether llama.cpp guesses what is said before to be said again, and checks several tokens at
    once: the same answers, sooner where code repeats, but how likely a guessed token was is not
    known, so that more is shown."""

    deadline: Milliseconds = 400
    """Milliseconds in which a suggestion while typing should be there: prompts and answers are as
    long as this machine reads and writes in that time. 0 takes no account of time."""

    invoked_deadline: Milliseconds = 2000
    """The same for a suggestion that was asked for."""

    prefetch: bool = True
    """Whether what follows a suggestion is computed while the suggestion is looked at."""

    copies: bool = True
    """Whether a long passage that stands elsewhere is suggested without asking the model."""

    max_new_tokens: Count = 128
    """Upper bound for an answer of several lines."""

    max_line_tokens: Count = 48
    """Upper bound for an answer of one line."""

    multiline: Literal["auto", "always", "never"] = "auto"
    """Whether an answer may have several lines; ``auto`` decides from the code."""

    suggestions: Literal["eager", "balanced", "quiet"] = "balanced"
    """How sure a suggestion must be to be shown while typing."""

    context_sources: tuple[ContextSource, ...] | None = None
    """What a prompt may hold beside the text around the cursor: similar code of open documents,
    what imported modules offer, definitions of names near the cursor, similar code of the
    workspace, and the document's own imports and enclosing signatures. ``None``: what pays for the
    model."""

    disabled_languages: tuple[str, ...] = ()
    """LSP language identifiers in which nothing is offered automatically."""

    completion_items: bool = False
    """Offer ``textDocument/completion`` too, for editors without inline completion."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is written to stderr and to the editor's log."""


def engine_part(settings: Settings) -> tuple[object, ...]:
    """What makes another model or engine when it is another value; of no use but to be compared."""
    return (
        settings.model,
        settings.engine,
        settings.device,
        settings.compute_type,
        settings.threads,
        settings.cache_memory,
        settings.drafts,
    )
