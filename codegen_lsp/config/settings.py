"""What the program uses: total, frozen settings, one field per decision a user can take.

The wire form of a field is its name in camelCase under ``codegen``; the same names stand in the
TOML files. This module neither reads files nor judges foreign input (``options``, ``sources``).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ["PERSONAL", "ContextSource", "Settings", "engine_part", "server_part"]

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

    server: str = ""
    """URL of a team's server, or of any other that speaks OpenAI's ``/v1/completions``; empty:
    none, and nothing leaves this machine."""

    answers: Literal["both", "local", "remote"] = "both"
    """Whose answers are shown where there is a server: those of both, or of one of them."""

    server_model: str = ""
    """Which of the server's models is asked; empty: its first."""

    server_family: str = ""
    """A model of the catalog that the server's is like, where its own name does not say so."""

    server_key_command: tuple[str, ...] = ()
    """Program and arguments that print the server's key, where ``CODEGEN_LSP_API_KEY`` is not
    set."""

    server_keyring: str = ""
    """The service under which this machine's keyring has the key, the server's host being the
    user; empty: the keyring is not asked."""

    server_ca: str = ""
    """PEM file of the authority that alone is trusted to vouch for the server; empty: those that
    this machine trusts."""

    server_certificate: str = ""
    """PEM file of a certificate that the server asks for."""

    server_certificate_key: str = ""
    """PEM file of its private key, where that is in another file."""

    server_deadline: Annotated[int, Meta(ge=100, le=600_000)] = 10_000
    """Milliseconds in which an answer of the server has to be whole."""

    completion_items: bool = False
    """Offer ``textDocument/completion`` too, for editors without inline completion."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is written to stderr and to the editor's log."""


PERSONAL: frozenset[str] = frozenset(
    {
        "server",
        "server_ca",
        "server_certificate",
        "server_certificate_key",
        "server_key_command",
        "server_keyring",
    }
)
"""Fields that a workspace's file must not set: whoever wrote a repository could otherwise have code
and keys sent to himself, or a program run."""


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


def server_part(settings: Settings) -> tuple[object, ...]:
    """The same for what a server is asked with."""
    return (
        settings.server,
        settings.server_model,
        settings.server_family,
        settings.server_key_command,
        settings.server_keyring,
        settings.server_ca,
        settings.server_certificate,
        settings.server_certificate_key,
        settings.server_deadline,
    )
