"""What ``doctor`` looks at: an ordered table of checks, each of which says how to mend.

A check never raises what can be expected and changes nothing on the machine. How rows are shown
is ``doctor``'s.
"""

from __future__ import annotations

import asyncio
import enum
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from codegen_lsp import __version__
from codegen_lsp.cli.complete import summary
from codegen_lsp.cli.state import PROGRAM, workspace_of
from codegen_lsp.completer import Completer
from codegen_lsp.completion.calibration import Calibration, calibration_of, calibrations
from codegen_lsp.completion.choosing import choose_engine, llama_there
from codegen_lsp.config.home import home, settings_file
from codegen_lsp.config.settings import Settings
from codegen_lsp.config.sources import WORKSPACE_FILE, Resolved
from codegen_lsp.engines import hardware
from codegen_lsp.errors import CodegenError, RemoteAwayError, SettingsError
from codegen_lsp.models.store import damaged, find_model, verify

__all__ = ["Row", "Status", "examine"]

LIBRARIES: Sequence[str] = (
    "ctranslate2",
    "tokenizers",
    "numpy",
    "pygls",
    "lsprotocol",
    "click",
    "msgspec",
    "rich",
    "httpx2",
    "huggingface_hub",
    "safetensors",
    "filelock",
)
"""Distributions without which completing, or pulling a model, does not work."""

NEOVIM_WITH_GHOST_TEXT = (0, 12)
"""The first Neovim with inline completion of its own."""

TRIAL = "def add(first, second):\n    return "
"""What the model is asked to complete, to see that it can."""


class Status(enum.Enum):
    """How a row ends."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Row:
    """One finding."""

    name: str
    status: Status
    detail: str
    mend: str = ""
    """What to do about it; empty when all is well."""


@dataclass(frozen=True, slots=True)
class Case:
    """What the checks start from."""

    folder: Path
    """The folder whose workspace settings count."""

    resolved: Resolved

    @property
    def settings(self) -> Settings:
        """The settings that hold in ``folder``."""
        return self.resolved.settings


def examine(case_folder: Path, resolved: Resolved) -> Iterator[Row]:
    """All rows, one after the other as they are found."""
    case = Case(case_folder, resolved)
    for check in CHECKS:
        try:
            yield from check(case)
        except Exception as error:  # a doctor that falls ill must still say so
            detail = f"{type(error).__name__}: {' '.join(str(error).split())}"
            yield Row(check.__name__.strip("_"), Status.FAIL, detail, "report this as a bug")


def _program(_: Case) -> Iterator[Row]:
    python = f"Python {platform.python_version()} ({sys.executable}), {platform.platform()}"
    yield Row(PROGRAM, Status.OK, f"{__version__} on {python}")
    if shutil.which(PROGRAM) is None:
        mend = f"add {Path(sys.executable).parent} to PATH, or give editors the full path"
        yield Row("command", Status.WARN, f"{PROGRAM} is not on PATH", mend)


def _libraries(_: Case) -> Iterator[Row]:
    found: list[str] = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            yield Row(name, Status.FAIL, "is not installed", f"run: pip install {name}")
    yield Row("libraries", Status.OK, ", ".join(found))


def _machine(_: Case) -> Iterator[Row]:
    machine = hardware.machine()
    cores = f"{machine.physical_cores} cores, {machine.usable_cores} usable logical ones"
    memory = psutil.virtual_memory()
    free = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB memory free"
    detail = f"{cores}, {hardware.default_threads(machine)} threads for a completion, {free}"
    yield Row("machine", Status.OK, detail)


ASK_ENGINE = """
import ctranslate2, json
types = {"cpu": sorted(ctranslate2.get_supported_compute_types("cpu"))}
for i in range(ctranslate2.get_cuda_device_count()):
    types[f"cuda:{i}"] = sorted(ctranslate2.get_supported_compute_types("cuda", i))
print(json.dumps(types))
"""
"""Asked in a process of its own: a native library that does not fit the processor ends it."""


def _engine(_: Case) -> Iterator[Row]:
    answer = subprocess.run(  # noqa: S603 - this interpreter, a constant program
        [sys.executable, "-c", ASK_ENGINE], capture_output=True, text=True, timeout=60, check=False
    )
    if answer.returncode != 0:
        lines = answer.stderr.strip().splitlines() or [f"ended with {answer.returncode}"]
        mend = "run: pip install --force-reinstall ctranslate2"
        yield Row("engine", Status.FAIL, f"CTranslate2 cannot be used ({lines[-1]})", mend)
        return
    devices: dict[str, list[str]] = json.loads(answer.stdout.splitlines()[-1])
    shown = [f"{device} ({', '.join(types)})" for device, types in devices.items()]
    yield Row("engine", Status.OK, f"CTranslate2 on {'; '.join(shown)}")
    if len(devices) == 1:
        yield Row("cuda", Status.OK, "no device; models run on the CPU")
    there = (
        "is installed" if llama_there() else "is not installed (pip install 'codegen-lsp[llama]')"
    )
    yield Row("llama.cpp", Status.OK, f"{there}; what runs a model is said below")


def _settings(case: Case) -> Iterator[Row]:
    files = [
        path
        for path in (settings_file(), workspace_of(case.folder) / WORKSPACE_FILE)
        if path.is_file()
    ]
    names = ", ".join(map(str, files)) or f"defaults; {settings_file()} may be written"
    yield Row("settings", Status.OK, names)
    for complaint in case.resolved.complaints:
        yield Row("settings", Status.WARN, complaint, "correct or remove this line")


def _home(_: Case) -> Iterator[Row]:
    folder = home()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        yield Row("home", Status.OK, f"{folder}{'' if folder == existing else ' (not made yet)'}")
    else:
        mend = "set CODEGEN_LSP_HOME to a folder that can be written"
        yield Row("home", Status.WARN, f"{folder} cannot be written", mend)


def _store(_: Case) -> Iterator[Row]:
    for error in damaged(home()):
        yield Row("store", Status.WARN, error.message, error.mend or "")


def _model(case: Case) -> Iterator[Row]:
    try:
        model = find_model(case.settings.model, home())
        verify(model, deep=True)
    except CodegenError as error:
        yield _failed("model", error)
        return
    manifest = model.manifest
    size = f"{manifest.parameters / 1e6:.1f} M parameters, {manifest.compute_type or 'unknown'}"
    yield Row("model", Status.OK, f"{manifest.name}, {size}, intact in {model.path}")
    try:
        choice = choose_engine(model, case.settings, home())
    except CodegenError as error:
        yield _failed("runs on", error)
        return
    yield Row("runs on", Status.OK, f"{ENGINE_NAMES[choice.engine]}, {choice.why}")
    yield from _completion(case)


ENGINE_NAMES = {"ct2": "CTranslate2", "llama": "llama.cpp"}


def _completion(case: Case) -> Iterator[Row]:
    with Completer(case.settings) as completer:
        try:
            completion = completer.complete(TRIAL, len(TRIAL), path="trial.py")
        except CodegenError as error:
            yield _failed("completion", error)
            return
        info = completer.info
    if completion is None:
        mend = "nothing to mend if completions appear in your code; else try another --model"
        yield Row("completion", Status.WARN, "the model suggested nothing for a trial", mend)
        return
    bundled = case.settings.model == "bundled"
    text = f"{completion.text!r} by {summary(completion, info, bundled=bundled)}"
    yield Row("completion", Status.OK, text)


def _server(case: Case) -> Iterator[Row]:
    settings = case.settings
    if not settings.server:
        return
    from codegen_lsp.completion.serving import like, server_of
    from codegen_lsp.engines.remote_access import host_of
    from codegen_lsp.engines.remote_probe import served_model

    host = host_of(settings.server)
    try:
        served = asyncio.run(served_model(server_of(settings)))
        known = like(served, settings.server_family, host)
    except RemoteAwayError as error:
        who = "nobody" if settings.answers == "remote" else "this machine"
        mend = error.mend or "nothing, if it is to come back: it is asked again by itself"
        yield Row("server", Status.WARN, f"{error.message}; {who} answers meanwhile", mend)
        return
    except CodegenError as error:
        yield _failed("server", error)
        return
    tokens = "its own tokenizer is here" if known.same_tokens else "prompts go as text"
    shown = {"both": "with this machine's", "local": "not used", "remote": "alone"}
    detail = f"{host} serves {served.id}, {tokens}; its answers: {shown[settings.answers]}"
    yield Row("server", Status.OK, detail)


def _gate(case: Case) -> Iterator[Row]:
    try:
        model = find_model(case.settings.model, home()).manifest.name
    except CodegenError:  # a row of its own says so
        return
    try:
        found, others = calibration_of(model), sorted(set(calibrations()) - {model})
    except SettingsError as error:
        detail = f"{error.message}; the built-in weights are used"
        yield Row("gate", Status.WARN, detail, error.mend or "")
        return
    detail = "built-in weights" if found is None else _calibrated(model, found)
    if others:
        detail += f"; calibrated as well: {', '.join(others)}"
    yield Row("gate", Status.OK, detail)


def _calibrated(model: str, found: Calibration) -> str:
    of = f" of {', '.join(found.repositories)}" if found.repositories else ""
    return f"calibrated for {model} on {found.points} suggestions{of}, {found.fitted}"


def _editors(_: Case) -> Iterator[Row]:
    found: list[str] = []
    for name, command in EDITORS.items():
        path = shutil.which(command)
        if path is None:
            continue
        version = _neovim_version(path) if command == "nvim" else None
        if version is not None and version < NEOVIM_WITH_GHOST_TEXT:
            shown, needed = (".".join(map(str, v)) for v in (version, NEOVIM_WITH_GHOST_TEXT))
            mend = f"install Neovim {needed} or newer"
            yield Row(name, Status.WARN, f"{shown} shows no inline completion", mend)
        else:
            found.append(name if version is None else f"{name} {version[0]}.{version[1]}")
    yield Row("editors", Status.OK, ", ".join(found) or "none on PATH (that may be fine)")


EDITORS = {
    "Neovim": "nvim",
    "Visual Studio Code": "code",
    "VSCodium": "codium",
    "Vim": "vim",
    "Emacs": "emacs",
    "Helix": "hx",
    "Sublime Text": "subl",
    "Kate": "kate",
    "Zed": "zed",
}
"""Editors' names and the commands that start them."""


def _neovim_version(path: str) -> tuple[int, int] | None:
    try:
        shown = subprocess.run(  # noqa: S603 - the program that PATH calls nvim
            [path, "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"NVIM v(\d+)\.(\d+)", shown)
    return None if match is None else (int(match[1]), int(match[2]))


def _failed(name: str, error: CodegenError) -> Row:
    return Row(name, Status.FAIL, error.message, error.mend or "")


CHECKS: Sequence[Callable[[Case], Iterator[Row]]] = (
    _program,
    _libraries,
    _machine,
    _engine,
    _settings,
    _home,
    _store,
    _model,
    _server,
    _gate,
    _editors,
)
"""In the order in which they are shown."""
