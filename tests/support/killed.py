"""Work on a store in processes of their own, which may kill themselves at any of their steps.

The processes are forked from a small server that has imported the store and nothing else, so one
costs milliseconds and inherits no thread.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from codegen_lsp.errors import CodegenError
from codegen_lsp.models.store import install, remove

__all__ = ["EVENTS", "FULL", "Process", "installing", "removing", "start"]

EVENTS = ("open", "os.", "shutil.", "tempfile.", "fcntl.")
"""Beginnings of the audit events that count as steps: whatever may change a file."""

HARMLESS = ("os.listdir", "os.scandir", "os.putenv")
"""Those among them that change none: a kill before one is as a kill before the next."""

FULL = 28
"""How a process ends that was told that there is no room."""

Process = multiprocessing.context.ForkServerProcess
Work = Callable[[Path, Path, str], object]


def start(work: Work, home: Path, source: Path, name: str, **given: Any) -> Process:
    """Begin *work* in a process; ``join`` it and look at its ``exitcode``.

    :param kill_at: the step before which the process kills itself, from 1.
    :param most_bytes: the largest file that it may write; it dies in the middle of a larger one.
    :param survive: an error it sees instead of that death.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_run, args=(work, home, source, name), kwargs=given)
    process.start()
    return process


def installing(home: Path, source: Path, name: str) -> object:
    """Install *source* as *name*."""
    return install(source, home, name=name)


def removing(home: Path, _: Path, name: str) -> object:
    """Remove *name*."""
    return remove(name, home)


def _run(
    work: Work,
    home: Path,
    source: Path,
    name: str,
    *,
    kill_at: int = 0,
    most_bytes: int = 0,
    survive: bool = False,
) -> None:
    os.fsync = lambda fd: None  # a file outlives its process without it
    if most_bytes:
        _limit(most_bytes, survive)
    if kill_at:
        sys.addaudithook(_Killer(kill_at))
    try:
        work(home, source, name)
    except CodegenError as error:
        if "no space left" not in str(error):
            raise
        os._exit(FULL)
    os._exit(0)  # nothing at the end of the process counts as a step


class _Killer:
    """Counts steps, and ends the process without a word before one of them."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        """One event."""
        if event.startswith(EVENTS) and event not in HARMLESS and not _reads(event, arguments):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def _reads(event: str, arguments: tuple[object, ...]) -> bool:
    """Whether a file is opened, and not for writing."""
    flags = arguments[2] if event == "open" and len(arguments) > 2 else os.O_RDWR
    return isinstance(flags, int) and not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)


def _limit(most_bytes: int, survive: bool) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN if survive else signal.SIG_DFL)
