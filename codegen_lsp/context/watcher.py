"""When to look at a folder again: by events of the system where there are any, else by the clock.

The only module that knows watchdog. Says where something may have changed, never what: events
get lost, come late and come twice, so whoever is told looks at the disk. Does not know which
files count (``ignoring``), nor what is known of them (``index``).
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import watchdog.events
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from codegen_lsp.context.folders import ANY_CASE
from codegen_lsp.context.hints import Hint, counts
from codegen_lsp.context.inotify import FolderEvents
from codegen_lsp.context.mounts import tells_of_changes

__all__ = ["ByWatchdog", "Listener", "Mode", "Pace", "Watcher"]

Mode = Literal["starting", "events", "polling", "missing"]

logger = logging.getLogger(__name__)

_EVENTS: Final = (
    "FileCreatedEvent",
    "FileModifiedEvent",
    "FileAttribEvent",
    "FileDeletedEvent",
    "FileMovedEvent",
    "DirCreatedEvent",
    "DirDeletedEvent",
    "DirMovedEvent",
)
"""What is listened to, as far as this watchdog has it. Not that files are opened, read and
closed: that is what the answer to an event does, which would be the next event. Not that folders
are modified: what was modified is something in them, and that has an event of its own."""

_MANY: Final = 4096
"""After so many events some may have been lost: systems keep only so many unread."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often is looked without being told, in seconds."""

    check: float = 3.0
    """Whether the root is still the same folder."""

    poll: float = 5.0
    """At files, where there are no events..."""

    poll_share: float = 50.0
    """...and at least so many times as long as a look takes."""

    safety: float = 300.0
    """At files, where there are events..."""

    safety_share: float = 100.0
    """...and at least so many times as long as a look takes."""


class Listener(Protocol):
    """Tells of the system's events below one root, on threads of its own."""

    def start(self) -> None:
        """Begin; from its return on nothing is missed.

        :raises OSError: it cannot be listened to.
        """

    def stop(self) -> None:
        """End, whatever has begun."""

    def alive(self) -> bool:
        """Whether it still listens."""


Listen = Callable[[str, Hint, Callable[[], None], Callable[[], bool]], Listener]
"""Makes a listener for a root without links, which tells by the second, says by the third that
it can no longer be trusted, and gives up where the fourth says so."""


class Watcher:
    """Calls *on_hint* on threads of its own, first of all with ``None`` once it watches."""

    def __init__(
        self,
        root: Path,
        on_hint: Hint,
        *,
        pace: Pace | None = None,
        listen: Listen | None = None,
    ) -> None:
        """*listen* makes the listener; without it, this system's best one."""
        self._root = root
        self._on_hint = on_hint
        self._listen = listen or _LISTENERS.get(sys.platform, ByWatchdog)
        self._pace = pace or Pace()
        self._took = 0.0
        self._mode: Mode = "starting"
        self._listener: Listener | None = None
        self._identity: tuple[int, int] | None = None
        self._doubt = True
        """Whether what is watched may no longer be the root."""
        self._due = 0.0
        self._stopping = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="codegen-watcher", daemon=True)

    @property
    def mode(self) -> Mode:
        """How changes are noticed at present."""
        return self._mode

    def start(self) -> None:
        """Begin to watch, in the background."""
        self._thread.start()

    def stop(self) -> None:
        """End; returns at once, and no hint is given afterwards."""
        self._stopping = True
        self._wake.set()

    def join(self, timeout: float) -> None:
        """Wait until the threads have ended after :meth:`stop`, at most *timeout* seconds."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, timeout))

    def took(self, seconds: float) -> None:
        """Be told how long a look at everything takes: who looks longer is asked less often."""
        self._took = seconds

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._check_safely()
                self._wake.wait(self._pace.check)
                self._wake.clear()
        finally:
            self._disarm()

    def _check_safely(self) -> None:
        try:
            self._check()
        except Exception as error:
            # A library that fails in a way nobody has thought of must not end all looking.
            self._disarm()
            self._mode = self._give_up(type(error).__name__)
            logger.debug("watching a folder", exc_info=error)
            self._look()

    def _check(self) -> None:
        """Watch what the root is now, and say when it is time for a look at everything."""
        identity = _identity(self._root)
        deaf = self._listener is not None and not self._listener.alive()
        if self._doubt or deaf or identity != self._identity:
            self._doubt = False
            self._disarm()
            self._identity = identity
            self._mode = "missing" if identity is None else self._arm()
            self._look()
        elif identity is not None and time.monotonic() >= self._due:
            self._look()

    def _look(self) -> None:
        pace = self._pace
        if self._mode == "polling":
            pause = max(pace.poll, pace.poll_share * self._took)
        else:
            pause = max(pace.safety, pace.safety_share * self._took)
        self._due = time.monotonic() + pause
        self._tell(None)

    def _arm(self) -> Mode:
        """Begin to listen; how changes will be noticed."""
        real = os.path.realpath(self._root)
        if not tells_of_changes(real):
            logger.info("%s is on a file system without events: polling", self._root)
            return "polling"
        self._listener = self._listen(real, self._tell, self._suspect, lambda: self._stopping)
        try:
            self._listener.start()
        except (OSError, RuntimeError) as error:
            self._disarm()
            if _identity(self._root) is None:  # gone meanwhile, and looked for at the next check
                self._doubt = True
                return "missing"
            return self._give_up(getattr(error, "strerror", None) or str(error))
        return "events"

    def _give_up(self, reason: str) -> Mode:
        mend = ""
        if sys.platform == "linux":
            mend = "; raise fs.inotify.max_user_watches or fs.inotify.max_user_instances"
        logger.warning("%s cannot be watched (%s): polling%s", self._root, reason, mend)
        return "polling"

    def _disarm(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.stop()

    def _suspect(self) -> None:
        """What is listened to may not be the root any more: look at once."""
        self._doubt = True
        self._wake.set()

    def _tell(self, path: str | None) -> None:
        if not self._stopping:
            self._on_hint(path)


class ByWatchdog:
    """Listens by watchdog: on macOS and Windows, where the system itself watches whole trees."""

    def __init__(
        self,
        root: str,
        tell: Hint,
        suspect: Callable[[], None],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._root = root
        self._handler = _Handler(root, tell, suspect)
        self._complaints = _Complaints(tell)
        self._observer = Observer()

    def start(self) -> None:
        """Begin to listen.

        :raises OSError: the root cannot be watched.
        """
        logging.getLogger("watchdog").addHandler(self._complaints)
        kinds = [kind for name in _EVENTS if (kind := getattr(watchdog.events, name, None))]
        self._observer.schedule(self._handler, self._root, recursive=True, event_filter=kinds)
        self._observer.start()

    def stop(self) -> None:
        """End, also after a failed start, which holds threads and handles."""
        # Whatever fails there has no one to be told to.
        with contextlib.suppress(Exception):
            self._observer.stop()
            self._observer.join(1.0)
        logging.getLogger("watchdog").removeHandler(self._complaints)

    def alive(self) -> bool:
        """Whether it still listens; not, where the root was deleted."""
        observer = self._observer
        return observer.is_alive() and all(emitter.is_alive() for emitter in observer.emitters)


class _Handler(FileSystemEventHandler):
    """Turns events of one root into hints."""

    def __init__(self, root: str, tell: Hint, suspect: Callable[[], None]) -> None:
        self._root = root
        self._prefix = root.rstrip(os.sep) + os.sep
        self._tell = tell
        self._suspect = suspect
        self._count = 0

    def dispatch(self, event: FileSystemEvent) -> None:
        """Say where *event* happened; overrides watchdog's sorting by kind."""
        self._count += 1
        if self._count % _MANY == 0:
            self._tell(None)
        for place in (event.src_path, event.dest_path):
            if place:
                self._happened(os.fsdecode(place))

    def _happened(self, place: str) -> None:
        begin = place[: len(self._prefix)]
        if _same(place, self._root):
            self._suspect()
        elif _same(begin, self._prefix):
            relative = place[len(begin) :].replace(os.sep, "/")
            if counts(relative):
                self._tell(relative)


def _same(path: str, other: str) -> bool:
    """Whether two spellings mean one path: the editor's, and the disk's."""
    return path == other or (ANY_CASE and path.lower() == other.lower())


class _Complaints(logging.Handler):
    """The library warns, for example that events were lost: a reason to look at everything."""

    def __init__(self, tell: Hint) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Take any warning for a loss."""
        logger.debug("watchdog: %s", record.getMessage())
        self._tell(None)


def _identity(root: Path) -> tuple[int, int] | None:
    """Which folder *root* is; ``None`` where there is none that can be read."""
    try:
        found = root.stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISDIR(found.st_mode) or not os.access(root, os.R_OK | os.X_OK):
        return None
    return found.st_dev, found.st_ino


_LISTENERS: Final[dict[str, Listen]] = {"linux": FolderEvents}
"""System to how it is listened to; all others by watchdog."""
