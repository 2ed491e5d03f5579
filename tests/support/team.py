"""The team's server in a process of its own, on a port of loopback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

__all__ = ["TeamServer"]


class TeamServer:
    """``codegen-lsp team``, started, with what it writes to stderr."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = ("-m", "codegen_lsp", "team"),
    ) -> None:
        """*folder* holds the server's home and its access log."""
        self.log = folder / "access.log"
        own = {**os.environ, "CODEGEN_LSP_HOME": str(folder / "home"), "PYTHONUTF8": "1"}
        self.process = subprocess.Popen(
            [sys.executable, *program, "--port", "0", "--log", str(self.log), *arguments],
            env={**own, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.errors: list[str] = []
        self._ready = threading.Event()
        self.url = ""
        """Where it is, without a slash at the end."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(60) or not self.url:
            self.end()
            raise AssertionError(f"the server did not start: {self.errors}")

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line.rstrip("\n"))
            found = re.search(r" at (https?://\S+)/v1$", self.errors[-1])
            if found:
                self.url = found[1]
                self._ready.set()
        self._ready.set()

    @property
    def port(self) -> int:
        """Its port on loopback."""
        return int(self.url.rpartition(":")[2])

    @property
    def memory(self) -> int:
        """Bytes of its memory."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def stop(self, seconds: float = 30) -> int:
        """Ask it to end; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def end(self) -> None:
        """End it, one way or another."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        self._reader.join(5)
        if self.process.stderr is not None:
            self.process.stderr.close()

    def __enter__(self) -> TeamServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
