"""``codegen-lsp bench``: speed on this machine, as a table or as one line of JSON."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from codegen_lsp.cli import state
from codegen_lsp.errors import CodegenError

if TYPE_CHECKING:
    from codegen_lsp.config.settings import Settings
    from codegen_lsp.evaluation.bench.backends import Backend
    from codegen_lsp.evaluation.bench.script import Page, Script
    from codegen_lsp.evaluation.bench.subjects import EngineName
    from codegen_lsp.evaluation.bench.typed import TypingPlan, TypingSpeed
    from codegen_lsp.evaluation.speed import Speed
    from codegen_lsp.models.store import ModelFolder

__all__ = ["bench"]

ENGINES = ("ct2", "llama")

FILES = 4
"""That are typed in, where nothing else is asked for."""

BUSY = 0.5
"""Load per processor from which figures are not to be relied on."""


@click.group()
def bench() -> None:
    """Measure speed on this machine."""


@bench.command()
@state.json_option
@state.model_options
@click.option(
    "--engine", "engines", multiple=True, type=click.Choice(ENGINES), help="Default: all of them."
)
@click.option("--rounds", type=click.IntRange(1, 100), help="How often each engine is measured.")
@click.option("--quick", is_flag=True, help="Fewer rounds, no long contexts.")
@state.debug_option
def engine(
    as_json: bool,
    model: str | None,
    device: str | None,
    compute_type: str | None,
    engines: Sequence[str],
    rounds: int | None,
    quick: bool,
) -> None:
    """Engines side by side with their peers, then the server: a minute or several."""
    settings = state.settings_for(Path.cwd(), state.overrides(model, device, compute_type))
    _warn_if_busy()
    from codegen_lsp.cli import bench_tables
    from codegen_lsp.evaluation.speed import QUICK, Plan, measure_speed

    plan = QUICK if quick else Plan()
    plan = dataclasses.replace(plan, rounds=rounds or plan.rounds)
    names = cast("Sequence[EngineName]", engines or ENGINES)
    with state.progress() as show:
        speed = asyncio.run(
            measure_speed(settings, show, find_gguf=_gguf_of, engines=names, plan=plan)
        )
    _remember(settings, speed)
    if as_json:
        state.print_json(dataclasses.asdict(speed))
    else:
        bench_tables.print_engines(speed)


def _warn_if_busy() -> None:
    """What else runs makes every figure worse, and those of llama.cpp many times: it spins."""
    from codegen_lsp.evaluation.machine import machine

    now = machine()
    load, cpus = float(str(now["load"])), int(str(now["cpus"]))
    if load > BUSY * cpus:
        state.warn(f"the machine is busy (load {load:.1f} on {cpus} CPUs): wait for better figures")


def _gguf_of(folder: ModelFolder, kind: str) -> Path:
    """The GGUF of a model, made and kept where there is none."""
    from codegen_lsp.cli.preparing import prepare_gguf
    from codegen_lsp.config.home import home
    from codegen_lsp.models.reporting import Silent

    return prepare_gguf(folder, home(), Silent(), kind)


def _remember(settings: Settings, speed: Speed) -> None:
    """Keep in mind which engine is faster, where both were measured as ``auto`` would run them."""
    usual = settings.compute_type == "auto" and settings.device == "auto"
    if len(speed.keystroke_ms) < 2 or not usual:
        return
    from codegen_lsp.cli.preparing import remember
    from codegen_lsp.config.home import home
    from codegen_lsp.models.reporting import Silent
    from codegen_lsp.models.store import find_model

    try:
        remember(find_model(settings.model, home()), speed.keystroke_ms, home(), Silent())
    except CodegenError as error:
        state.warn(f"which engine is faster could not be kept: {error}")


@bench.command()
@click.argument(
    "folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@state.json_option
@state.model_options
@click.option("--keystrokes", default=300, type=click.IntRange(1), help="Default: 300.")
@click.option(
    "--files",
    type=click.IntRange(1),
    help=f"Files to jump between, all of which are visited. Default: {FILES}, for few keys fewer.",
)
@click.option("--seed", default=0, help="Another seed types something else.")
@click.option(
    "--editor",
    default="vscode",
    type=click.Choice(["vscode", "neovim"]),
    help="Whether every change asks, or only a pause of 200 ms.",
)
@click.option("--fast", is_flag=True, help="No human gaps: to watch memory, not latency.")
@click.option("--idle", default=10.0, help="Seconds without a key at the end. Default: 10.")
@click.option(
    "--peer", is_flag=True, help="Then the same keys to llama.cpp's server, as llama.vim asks it."
)
@state.debug_option
def typing(
    folder: Path | None,
    as_json: bool,
    model: str | None,
    device: str | None,
    compute_type: str | None,
    keystrokes: int,
    files: int | None,
    seed: int,
    editor: str,
    fast: bool,
    idle: float,
    peer: bool,
) -> None:
    """Type real code at the real server, as someone at an editor would; in real time.

    What is typed is code of FOLDER; without it, code that the bundled model has not seen in
    training: this program's own, and that of some installed packages.
    """
    settings = state.settings_for(Path.cwd(), state.overrides(model, device, compute_type))
    _warn_if_busy()
    from codegen_lsp.cli import bench_tables
    from codegen_lsp.evaluation.bench.hands import FAST, HUMAN
    from codegen_lsp.evaluation.bench.typed import TypingPlan
    from codegen_lsp.evaluation.bench.visits import make_script
    from codegen_lsp.evaluation.machine import machine

    pages = _pages(folder, files, keystrokes)
    plan = TypingPlan(
        keys=keystrokes,
        files=len(pages),
        editor=editor,
        pace=FAST if fast else HUMAN,
        idle_seconds=max(0.0, idle),
    )
    script = make_script(pages, seed, keystrokes)
    speeds = _sessions(settings, script, plan, peer)
    if as_json:
        report = {
            "machine": machine(),
            "model": settings.model,
            "editor": editor,
            "human": not fast,
            "files": len(pages),
            "sessions": [dataclasses.asdict(speed) for speed in speeds],
        }
        state.print_json(report)
    else:
        bench_tables.print_typing(speeds, plan, machine())


def _pages(folder: Path | None, files: int | None, keystrokes: int) -> list[Page]:
    """The files that are typed in; fewer than were asked for are worth a warning."""
    from codegen_lsp.evaluation.bench.corpus import pages_from, unseen_pages
    from codegen_lsp.evaluation.bench.visits import FEWEST_KEYS

    wanted = files or max(1, min(FILES, keystrokes // FEWEST_KEYS))
    pages = pages_from(folder.resolve(), wanted) if folder else unseen_pages(wanted)
    if files and len(pages) < files:
        state.warn(f"there are only {len(pages)} files long enough to be typed in")
    return pages


def _sessions(
    settings: Settings, script: Script, plan: TypingPlan, peer: bool
) -> list[TypingSpeed]:
    """Our server's session and, on wish and where it can be, the peer's."""
    import msgspec

    from codegen_lsp.evaluation.bench.backends import OwnServer
    from codegen_lsp.evaluation.bench.typed import measure_typing

    backends: list[tuple[str, Backend]] = [
        ("codegen-lsp", OwnServer(dict(msgspec.to_builtins(settings))))
    ]
    if peer:
        backends.append(("llama.cpp, as llama.vim", _vim_peer(settings)))
    with state.progress() as show:
        return [
            asyncio.run(measure_typing(name, backend, script, plan, show))
            for name, backend in backends
        ]


def _vim_peer(settings: Settings) -> Backend:
    from codegen_lsp.config.home import home
    from codegen_lsp.errors import EngineUnavailableError
    from codegen_lsp.evaluation.bench.llama_peer import LlamaPeer, available
    from codegen_lsp.evaluation.bench.subjects import llama_threads
    from codegen_lsp.evaluation.bench.vim_peer import VimPeer
    from codegen_lsp.models.store import find_model
    from codegen_lsp.prompts.tokenizer import CodeTokenizer

    if not available():
        raise EngineUnavailableError(
            "llama.cpp is not installed", mend="pip install 'codegen-lsp[llama,gguf]'"
        )
    folder = find_model(settings.model, home())
    gguf, context = _gguf_of(folder, "q8_0"), folder.manifest.context_length
    threads = llama_threads(settings.threads, gguf)
    peer = LlamaPeer(gguf, context, folder.name, "q8_0", threads)
    return VimPeer(peer, CodeTokenizer.from_folder(folder.path))
