"""Finding cuBLAS for CTranslate2, which opens ``libcublas.so.12`` by that name and no other.

Where a system has it, nothing is to be done. NVIDIA's Python packages bring it into a folder that
no loader looks into: there it is loaded beforehand. Where only CUDA 13 is installed, a link of the
old name to the new library may do, as long as the functions that CTranslate2 calls are the same;
a loader looks for it in ``LD_LIBRARY_PATH`` as it was when the process began. Each way is tried in
a process of its own, which may die of it; the first that generates a token is taken.

Knows files, processes and the name. Does not know what is measured.

    python -m tests.bench.gpu_cublas MODEL [LIBRARY...]

is such a process: it loads the libraries, then one token of the model folder on the first device.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Way", "apply", "choose", "folders", "probe", "ways"]

WANTED: Final = "libcublas.so.12"
NEWER: Final = "libcublas.so.13"
BESIDE: Final = {WANTED: "libcublasLt.so.12", NEWER: "libcublasLt.so.13"}
"""What each of them needs."""

SYSTEM: Final = ("/usr/local", "/usr/lib", "/usr/lib64")
"""Where CUDA is usually installed, apart from Python's packages."""

PATTERNS: Final = ("cuda*/lib64", "cuda*/targets/*/lib", "*-linux-gnu")

SECONDS: Final = 120.0
"""How long one try may take; a machine's first use of CUDA is slow."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to let CTranslate2 find what it opens."""

    name: str
    preload: tuple[Path, ...] = ()
    """Libraries to load before CTranslate2 wants them, in this order."""

    search: tuple[Path, ...] = ()
    """Folders that ``LD_LIBRARY_PATH`` must begin with when a process starts."""

    missing: str = ""
    """Why it cannot be tried here; empty where it can."""

    def environment(self) -> dict[str, str]:
        """The environment of a process that goes this way."""
        own = os.environ.get("LD_LIBRARY_PATH")
        path = [*map(str, self.search), *([own] if own else [])]
        return dict(os.environ) | ({"LD_LIBRARY_PATH": os.pathsep.join(path)} if path else {})


Probe = Callable[[Way], str]
"""Tries a way; why it failed, or ``""``."""


def folders(python: Iterable[str] | None = None, system: Iterable[str] = SYSTEM) -> list[Path]:
    """Folders in which NVIDIA's libraries may lie: of Python's packages, then of the system."""
    found: dict[Path, None] = {}
    for entry in sys.path if python is None else python:
        found |= dict.fromkeys(sorted(Path(entry, "nvidia").glob("*/lib")))
    for root in system:
        found[Path(root)] = None
        for pattern in PATTERNS:
            found |= dict.fromkeys(sorted(Path(root).glob(pattern)))
    return [folder for folder in found if folder.is_dir()]


def ways(places: Sequence[Path], scratch: Path) -> Iterator[Way]:
    """What can be tried, in this order; links are made in *scratch* when they are asked for."""
    yield Way(f"{WANTED}, as the system finds it")
    yield _preloaded(places)
    yield _linked(places, scratch)


def _preloaded(places: Sequence[Path]) -> Way:
    name = f"{WANTED}, loaded beforehand from where it was found"
    found = _first(places, WANTED)
    if found is None:
        return Way(name, missing=f"there is no {WANTED}")
    beside = found.with_name(BESIDE[WANTED])
    return Way(f"{name}, {found}", (beside, found) if beside.exists() else (found,))


def _linked(places: Sequence[Path], scratch: Path) -> Way:
    name = f"a link {WANTED} to {NEWER}"
    found = _first(places, NEWER)
    if found is None:
        return Way(name, missing=f"there is no {NEWER}")
    scratch.mkdir(parents=True, exist_ok=True)
    link = scratch / WANTED
    link.unlink(missing_ok=True)
    link.symlink_to(found.resolve())
    # What the library needs it looks for beside itself, which is beside the link, or on the path.
    return Way(f"{name}, {found}", search=(scratch, found.parent))


def _first(places: Sequence[Path], name: str) -> Path | None:
    return next((place / name for place in places if (place / name).exists()), None)


def choose(candidates: Iterable[Way], probe: Probe) -> tuple[Way | None, list[str]]:
    """The first way that works, if one does; and what was tried, a line each."""
    lines = []
    for way in candidates:
        why = way.missing or probe(way)
        outcome = f"not tried, {why}" if way.missing else f"failed, {why}" if why else "works"
        lines.append(f"{way.name}: {outcome}")
        if not why:
            return way, lines
    return None, lines


def probe(way: Way, model: Path) -> str:
    """Generate a token of the model folder *model* in a process that goes this way."""
    command = [sys.executable, "-m", "tests.bench.gpu_cublas", str(model)]
    try:
        ran = subprocess.run(
            [*command, *map(str, way.preload)],
            cwd=Path(__file__).parents[2],
            env=way.environment(),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return " ".join(str(error).split())
    said = ran.stderr.strip().splitlines()
    return (said[-1] if said else f"exit status {ran.returncode}") if ran.returncode else ""


def apply(way: Way) -> None:
    """Load what is to be loaded beforehand into this process.

    :raises OSError: a library cannot be loaded.
    """
    for library in way.preload:
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def main(arguments: Sequence[str]) -> int:
    """Try; what failed is the last line of stderr."""
    model, *libraries = arguments
    try:
        apply(Way("asked for", tuple(map(Path, libraries))))
        import ctranslate2

        generator = ctranslate2.Generator(model, device="cuda")
        generator.generate_batch([["<|endoftext|>"]], max_length=1)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
