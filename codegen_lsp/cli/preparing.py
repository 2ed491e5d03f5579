"""Making a model ready for llama.cpp, and measuring which engine is faster for a keystroke.

The one place that joins the store, the converters and the evaluation for it: ``models pull`` and
``bench engine`` do it, nothing else does. What is remembered is read by ``completion.choosing``.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codegen_lsp.errors import CodegenError, EngineUnavailableError

if TYPE_CHECKING:
    from codegen_lsp.engines.base import Engine
    from codegen_lsp.models.folders import ModelFolder
    from codegen_lsp.models.reporting import Reporter

__all__ = ["measure", "prepare_and_measure", "prepare_gguf", "remember", "what_lacks"]


SCRATCH_BYTES: Final = 6
"""Bytes on the disk for each weight while a file is made: plain weights, and the file itself."""


def what_lacks(model: ModelFolder) -> str:
    """Why *model* cannot be run by llama.cpp here, as far as that is known without trying."""
    for package, extra in (("xllamacpp", "llama"), ("gguf", "gguf")):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed: pip install 'codegen-lsp[{extra}]'"
    if model.manifest.architecture != "decoder":
        return "llama.cpp is used for decoders only"
    return ""


def prepare_gguf(model: ModelFolder, home: Path, report: Reporter, kind: str = "q8_0") -> Path:
    """The GGUF file of *model*, made and compared with it where there is none.

    :raises EngineUnavailableError: a package is missing, or there is no such kind.
    :raises ModelError: the model's network cannot be written so, or the store not be written.
    """
    from codegen_lsp.models.gguf import gguf_file, prepare
    from codegen_lsp.models.preflight import require_room

    if gguf_file(model, home, kind).is_file():
        return gguf_file(model, home, kind)
    lack = what_lacks(model)
    if lack:
        raise EngineUnavailableError(f"{model.name} cannot be prepared for llama.cpp", mend=lack)

    def write(folder: Path, out: Path, kind: str, report: Reporter) -> None:
        from codegen_lsp.converters.pipeline import convert_to

        convert_to(str(folder), "gguf", out, quantization=kind, home=home, report=report)

    report.step(f"preparing {model.name} for llama.cpp, {kind}")
    require_room(home, model.name, 0, SCRATCH_BYTES * model.manifest.parameters)
    return prepare(model, home, report, write=write, kind=kind)


def measure(model: ModelFolder, gguf: Path) -> Mapping[str, float]:
    """Milliseconds of a keystroke by engine. Loads both, one beside the other.

    :raises EngineError: one of them cannot run here.
    """
    from codegen_lsp.engines.table import EngineSpec, create_engine
    from codegen_lsp.evaluation.keystroke import measure_keystrokes, sample_ids
    from codegen_lsp.prompts.tokenizer import CodeTokenizer

    spec = EngineSpec(
        folder=model.path,
        name=model.manifest.name,
        context_length=model.manifest.context_length,
        architecture=model.manifest.architecture,
        gguf=gguf,
    )
    ids = sample_ids(CodeTokenizer.from_folder(model.path).encode)
    engines = {name: create_engine(name, spec) for name in ("ct2", "llama")}

    async def run(engines: Mapping[str, Engine]) -> Mapping[str, float]:
        try:
            return await measure_keystrokes(engines, ids)
        finally:
            for engine in engines.values():
                await engine.close()

    return asyncio.run(run(engines))


def remember(
    model: ModelFolder, keystroke_ms: Mapping[str, float], home: Path, report: Reporter
) -> str | None:
    """Write down what a keystroke takes each engine; the name of the faster one.

    :raises ModelError: the home cannot be written.
    """
    from codegen_lsp.engines.hardware import fingerprint
    from codegen_lsp.models import choice

    choice.remember(model, fingerprint(), keystroke_ms, home)
    winner = choice.faster(keystroke_ms)
    told = ", ".join(f"{name} {ms:.0f} ms" for name, ms in sorted(keystroke_ms.items()))
    report.note(f"a keystroke takes {told}" + (f"; engine auto is {winner}" if winner else ""))
    return winner


def prepare_and_measure(model: ModelFolder, home: Path, report: Reporter) -> str | None:
    """Make *model* ready for llama.cpp, measure, remember; the faster engine, ``None`` if unknown.

    What was measured here before is not measured again; the file for llama.cpp, which goes with the
    model, is made again. What stands against it is a note, no failure: the model works without.
    """
    from codegen_lsp.engines.ct2 import cuda_devices
    from codegen_lsp.engines.hardware import fingerprint
    from codegen_lsp.models import choice
    from codegen_lsp.models.gguf import find_gguf

    known = choice.faster(choice.measured(model, fingerprint(), home))
    if known is not None and (known != "llama" or find_gguf(model, home) is not None):
        return known
    lack = "CTranslate2 runs it on CUDA" if cuda_devices() else what_lacks(model)
    if lack:
        report.note(f"not measured which engine is faster: {lack}")
        return None
    try:
        gguf = prepare_gguf(model, home, report)
        if known is not None:
            return known
        report.step("measuring which engine is faster")
        return remember(model, measure(model, gguf), home, report)
    except CodegenError as error:
        report.note(f"not measured which engine is faster: {error}")
        return None
