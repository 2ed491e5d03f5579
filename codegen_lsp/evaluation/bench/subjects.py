"""What is measured side by side: engines of ours, and the peers they are compared with.

Knows which engine and type of weights stands beside which peer, and why one is absent. Does not
know what is measured or how long it takes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.base import Engine, EngineInfo
from codegen_lsp.engines.hardware import default_threads, machine
from codegen_lsp.engines.table import EngineSpec, create_engine
from codegen_lsp.errors import CodegenError
from codegen_lsp.evaluation.bench.llama_peer import LlamaPeer, available
from codegen_lsp.models.store import ModelFolder
from codegen_lsp.types import GenerationRequest, Prompt, Token

__all__ = [
    "NO_LLAMA",
    "Absent",
    "FindGguf",
    "Subject",
    "Unanchored",
    "choose",
    "label_of",
    "llama_threads",
]

EngineName = Literal["ct2", "llama"]

QUANTIZATIONS: Final = ("q8_0", "q4_0")

NO_LLAMA: Final = "llama.cpp is not installed: pip install 'codegen-lsp[llama]'"

FindGguf = Callable[[ModelFolder, str], Path]
"""The GGUF file of a model in a quantization, made where there is none; a ``CodegenError`` says
why there can be none."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that turns tokens into tokens, and what it is to be compared with."""

    label: str
    make: Callable[[], Engine]
    """A new engine, not loaded."""

    peer: str = ""
    """The label of the subject that it is compared with; empty for a peer itself."""

    stands_for: str = ""
    """The engine that runs like this where the settings say no more than its name."""

    remote: bool = False
    """Whether it is behind a connection, so that nobody sees when it is free again."""


@dataclass(frozen=True, slots=True)
class Absent:
    """What is not measured, and why."""

    label: str
    why: str


class Unanchored:
    """An engine that is never told which part of a prompt is stable, so that it keeps nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def info(self) -> EngineInfo:
        """As the engine's own."""
        return self._engine.info

    async def load(self) -> None:
        """As the engine's own."""
        await self._engine.load()

    def generate(self, request: GenerationRequest) -> AsyncGenerator[Token, None]:
        """As the engine's own, every token read anew."""
        prompt = Prompt((), request.prompt.tokens)
        return self._engine.generate(replace(request, prompt=prompt))

    def warm(self, prompt: Prompt) -> int:
        """Nothing is kept."""
        return 0

    async def prewarm(self, prompt: Prompt) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """As the engine's own."""
        await self._engine.close()


def label_of(engine: EngineName, stored_as: str, *, peer: bool = False) -> str:
    """How a subject is called in reports."""
    if not peer:
        return f"{engine} {stored_as}"
    return f"CTranslate2 {stored_as}, no anchors" if engine == "ct2" else f"llama.cpp {stored_as}"


def choose(
    folder: ModelFolder,
    settings: Settings,
    engines: Sequence[EngineName],
    find_gguf: FindGguf,
) -> tuple[list[Subject], list[Absent]]:
    """Subjects and their peers, and what cannot be measured here."""
    spec = _spec(folder, settings)
    subjects: list[Subject] = []
    absent: list[Absent] = []
    if "ct2" in engines:
        subjects += _ct2(spec)
    if "llama" in engines and not available():
        absent.append(Absent("llama", NO_LLAMA))
    elif "llama" in engines:
        for quantization in QUANTIZATIONS:
            _add_llama(subjects, absent, folder, spec, quantization, find_gguf)
    return subjects, absent


def _spec(folder: ModelFolder, settings: Settings) -> EngineSpec:
    return EngineSpec(
        folder=folder.path,
        name=folder.manifest.name,
        context_length=folder.manifest.context_length,
        device=settings.device,
        compute_type=settings.compute_type,
        threads=settings.threads,
        architecture=folder.manifest.architecture,
        cache_memory=settings.cache_memory,
    )


def _ct2(spec: EngineSpec) -> list[Subject]:
    stored_as = "int8" if spec.compute_type == "auto" else spec.compute_type
    peer = label_of("ct2", stored_as, peer=True)
    ours = Subject(label_of("ct2", stored_as), lambda: create_engine("ct2", spec), peer, "ct2")
    theirs = Subject(peer, lambda: Unanchored(create_engine("ct2", spec)))
    return [ours, theirs]


def _add_llama(
    subjects: list[Subject],
    absent: list[Absent],
    folder: ModelFolder,
    spec: EngineSpec,
    quantization: str,
    find_gguf: FindGguf,
) -> None:
    label = label_of("llama", quantization)
    try:
        gguf = find_gguf(folder, quantization)
    except CodegenError as error:
        absent.append(Absent(label, str(error)))
        return
    peer = label_of("llama", quantization, peer=True)
    own = replace(spec, compute_type=quantization, gguf=gguf)
    default = quantization == QUANTIZATIONS[0]
    stands_for = "llama" if default else ""
    threads = llama_threads(spec.threads, gguf)
    ours = Subject(label, lambda: create_engine("llama", own), peer, stands_for)
    theirs = Subject(
        peer,
        lambda: LlamaPeer(gguf, spec.context_length, spec.name, quantization, threads),
        remote=True,
    )
    subjects += [ours, theirs]
    if default:
        drafting = replace(own, drafts=True)
        subjects.append(Subject(f"{label}, drafts", lambda: create_engine("llama", drafting), peer))


def llama_threads(asked: int, gguf: Path) -> int:
    """The threads that our llama.cpp takes for *gguf*, and so its peer; *asked* are the settings'.

    Its own default are all cores, which wait for each other longer than they compute where a model
    is small.
    """
    return asked or default_threads(machine(), gguf.stat().st_size)
