"""Has files read and parsed by a process of its own, which is felt by nobody.

Knows when there is a worker (:mod:`~codegen_lsp.context.reader`): from the first file on, until
there has been nothing to do for a while, and anew after it died. A file it died of twice is left
out. Does not know which files are worth reading, nor what becomes of results.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from codegen_lsp.context.facts import FileFacts
from codegen_lsp.context.files import Refusal
from codegen_lsp.context.frames import Reply, Request, receive, reply_of, request_bytes

__all__ = ["OnResult", "Reader"]

logger = logging.getLogger(__name__)

OnResult = Callable[[Path, str, FileFacts | Refusal], None]
"""Called with the folder, the path relative to it, and what came of it."""

# -P: what lies in the folder where the server was started, perhaps somebody else's project, is
# never imported.
_COMMAND: Final = (sys.executable, "-P", "-m", "codegen_lsp.context.reader")

_FLIGHT: Final = 8
"""Requests the worker has at once, so that it need not wait for us..."""

_FLIGHT_BYTES: Final = 3_000
"""...and how large they are together: less than the smallest buffer a pipe has, because whoever
writes is not reading."""

_ATTEMPTS: Final = 2
_PAUSE: Final = 0.05
"""Seconds before a worker is started after a second death in a row, doubled with each: where the
system has no room for a process, it may have some soon."""

_MOST_IN_A_ROW: Final = 6
"""Deaths without a result in between, after which the worker is not started again..."""

_MOST: Final = 50
"""...and deaths in all."""

_PATIENCE: Final = 1.0
"""Seconds for a process or a thread that was ended to be gone."""


@dataclass(slots=True, eq=False)
class _Job:
    """One file to be read."""

    root: Path
    path: str
    deaths: int = 0
    """How often the worker died of it."""

    void: bool = False
    """Nobody wants the result any more."""

    @property
    def frame(self) -> bytes:
        return request_bytes(Request(os.fsencode(self.root), os.fsencode(self.path)))


class Reader:
    """Reads files elsewhere, one after another, in the order they were submitted in."""

    def __init__(
        self,
        on_result: OnResult,
        *,
        idle_seconds: float = 30.0,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        """Starts nothing yet.

        :param on_result: called on the reader's thread, one call after another; every file that
            was submitted comes to it once, except those withdrawn and those left at the end
        :param idle_seconds: after which a worker without work is ended, to free its memory
        :param command: what to run as the worker
        """
        self._on_result = on_result
        self._idle_seconds = idle_seconds
        self._command = tuple(command)
        self._changed = threading.Condition()
        self._waiting: dict[tuple[Path, str], _Job] = {}
        self._urgent: dict[tuple[Path, str], _Job] = {}
        self._flight: deque[_Job] = deque()
        """What the worker was told and has not answered, in that order."""
        self._worker: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._in_a_row = self._deaths = 0
        self._hopeless = self._closed = False

    def submit(self, root: Path, paths: Iterable[str], *, first: bool = False) -> None:
        """Have files read; with *first* before all that wait. Who waits already waits once.

        :param root: the folder that *paths* are relative to
        """
        with self._changed:
            if self._closed:
                return
            for path in paths:
                key = root, path
                job = self._urgent.pop(key, None) or self._waiting.pop(key, None)
                (self._urgent if first else self._waiting)[key] = job or _Job(root, path)
            if self._thread is None and self.pending:
                self._thread = threading.Thread(
                    target=self._run, name="codegen-reading", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    def withdraw(self, root: Path) -> None:
        """Forget the files of a folder; there are no results for them, but for one under way."""
        with self._changed:
            for jobs in (self._urgent, self._waiting):
                for key in [key for key in jobs if key[0] == root]:
                    del jobs[key]
            for job in self._flight:
                job.void = job.void or job.root == root
            self._changed.notify_all()

    @property
    def pending(self) -> int:
        """How many files have been submitted whose result has not been taken yet."""
        with self._changed:
            return len(self._waiting) + len(self._urgent) + len(self._flight)

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id; ``None`` where there is none just now."""
        worker = self._worker
        return None if worker is None else worker.pid

    def close(self) -> None:
        """End the worker, whatever it does; afterwards there are no results."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._urgent.clear()
            worker = self._worker
            self._changed.notify_all()
        if worker is not None:
            _kill(worker)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_PATIENCE)

    # The reader's thread. --------------------------------------------------------------------

    def _run(self) -> None:
        while self._wait():
            if self._hopeless:
                self._refuse_all()
            elif not self._exchange():
                self._died()
        self._dismiss()

    def _wait(self) -> bool:
        """Wait until there is work; whether there will be any."""
        with self._changed:
            while not self._closed and not self.pending:
                patience = None if self._worker is None else self._idle_seconds
                if not self._changed.wait_for(lambda: self._closed or self.pending, patience):
                    self._dismiss()
            return not self._closed

    def _exchange(self) -> bool:
        """Tell the worker what fits, take one result; whether it is alive."""
        worker = self._started()
        if worker is None or worker.stdin is None or worker.stdout is None:
            return False
        frames = self._next()
        # If it died, its last results are still to be read: that is seen below.
        with contextlib.suppress(OSError):
            worker.stdin.write(b"".join(frames))
            worker.stdin.flush()
        try:
            message = receive(worker.stdout)
            reply = None if message is None else reply_of(message)
        except (OSError, ValueError, msgspec.DecodeError) as error:
            logger.debug("the process that reads files says what cannot be read: %s", error)
            reply = None
        if reply is None:
            return False
        self._in_a_row = 0
        self._deliver(_outcome(reply))
        return True

    def _started(self) -> subprocess.Popen[bytes] | None:
        """The worker, started if need be; ``None`` where that is impossible or too late."""
        if self._worker is not None:
            return self._worker
        try:
            worker = _start(self._command)
        except (OSError, ValueError) as error:
            logger.debug("the process that reads files cannot be started: %s", error)
            return None
        with self._changed:
            if not self._closed:
                self._worker = worker
                return worker
        _kill(worker)
        return None

    def _next(self) -> list[bytes]:
        """Frames of the next files, which are under way from now on."""
        frames: list[bytes] = []
        with self._changed:
            room = _FLIGHT_BYTES - sum(len(job.frame) for job in self._flight)
            while (jobs := self._urgent or self._waiting) and len(self._flight) < _FLIGHT:
                key, job = next(iter(jobs.items()))
                frame = job.frame
                if len(frame) > room and self._flight:
                    break
                del jobs[key]
                self._flight.append(job)
                frames.append(frame)
                room -= len(frame)
        return frames

    def _deliver(self, outcome: FileFacts | Refusal) -> None:
        """Give the result of the file that was first under way to who wants it."""
        job = self._flight[0]
        if not job.void and not self._closed:
            try:
                self._on_result(job.root, job.path, outcome)
            except Exception:
                logger.exception("what was read of %s could not be taken", job.path)
        with self._changed:
            self._flight.popleft()
            self._changed.notify_all()

    def _died(self) -> None:
        """The worker is gone in the middle of its work: find out whether to go on, and how."""
        if self._closed:
            return
        self._dismiss()
        self._deaths += 1
        self._in_a_row += 1
        logger.debug("the process that reads files ended, %d times in all", self._deaths)
        if self._in_a_row >= _MOST_IN_A_ROW or self._deaths >= _MOST:
            logger.warning(
                "the process that reads files for completions ended %d times and is not started "
                "again: what other files hold is known in part; `codegen-lsp doctor` may say why",
                self._deaths,
            )
            self._hopeless = True
            return
        if self._flight:
            guilty = self._flight[0]
            guilty.deaths += 1
            if guilty.deaths >= _ATTEMPTS:
                logger.info("%s is left out: reading it fails", guilty.root / guilty.path)
                # Until it changes: it would only happen again.
                self._deliver(Refusal.FAILED)
        with self._changed:
            if self._in_a_row > 1:
                self._changed.wait_for(lambda: self._closed, _PAUSE * 2**self._in_a_row)
            again = {(job.root, job.path): job for job in self._flight if not job.void}
            self._flight.clear()
            self._urgent = again | self._urgent

    def _refuse_all(self) -> None:
        """Without a worker nothing can be read."""
        with self._changed:
            self._flight.extend([*self._urgent.values(), *self._waiting.values()])
            self._urgent.clear()
            self._waiting.clear()
        while self._flight:
            self._deliver(Refusal.UNREADABLE)

    def _dismiss(self) -> None:
        """End the worker, if there is one; what it has not answered is lost."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        _kill(worker)
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _outcome(reply: Reply) -> FileFacts | Refusal:
    if reply.facts is not None:
        return reply.facts
    # A worker started after an update may know reasons that we do not.
    return Refusal.__members__.get(reply.refusal or "", Refusal.UNREADABLE)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Run the worker, which has nothing of ours but two pipes.

    Our own stdin and stdout are the editor's. It is not of our group of processes: what a terminal
    sends to us must not look like its death.
    """
    quiet = not logger.isEnabledFor(logging.DEBUG)
    return subprocess.Popen(  # noqa: S603 - our own module
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None,
        close_fds=True,
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """End a process that holds nothing worth keeping."""
    with contextlib.suppress(OSError):
        worker.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        worker.wait(_PATIENCE)
