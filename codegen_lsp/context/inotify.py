"""Events of all folders below a root, on Linux: what is watched is always known by its path.

Knows inotify, and that folders come, go and move: nothing is carried along, whatever happens to
a folder, its watches are given up and made anew where it is now.

Not by watchdog (7.1). Its wrong paths of moved folders could be cured: watching anew after each
move, the soak ends clean. But it watches what does not count (a project with 20,000 folders of
packages: 20,622 watches instead of 421, out of what all programs share; 0.6 s for watching anew)
and passes over folders for which the system has no watch left: with room for 3 of 11, changes in
8 of 10 folders went unseen while all seemed well. Here no watches means polling.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import select
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Final

from codegen_lsp.context.hints import Hint, counts, leads

__all__ = ["FolderEvents"]

_MODIFY: Final = 0x2
_ATTRIB: Final = 0x4
_CLOSE_WRITE: Final = 0x8
_MOVED_FROM: Final = 0x40
_MOVED_TO: Final = 0x80
_CREATE: Final = 0x100
_DELETE: Final = 0x200
_DELETE_SELF: Final = 0x400
_MOVE_SELF: Final = 0x800
_UNMOUNT: Final = 0x2000
_OVERFLOW: Final = 0x4000
_IGNORED: Final = 0x8000
_ONLYDIR: Final = 0x1000000
_DONT_FOLLOW: Final = 0x2000000
_ISDIR: Final = 0x40000000

_SELF: Final = _DELETE_SELF | _MOVE_SELF | _UNMOUNT
_ASKED: Final = (
    _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
    | _DELETE_SELF | _MOVE_SELF | _ONLYDIR | _DONT_FOLLOW
)  # fmt: skip
"""Not that files are opened, read and closed: that is what the answer to an event does, which
would be the next event."""

_HEAD: Final = struct.Struct("iIII")
"""Watch, what happened, what belongs together, length of the name that follows."""

_BUFFER: Final = 256 * 1024

_EXHAUSTED: Final = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""The system has no watches left; anything else only means that a folder is not there any more
or may not be read."""


class FolderEvents:
    """Tells of every change below *root*, a path without links, on a thread of its own.

    *suspect* is called when the watches can no longer be trusted: the root is gone, events were
    lost, there are no more watches. What is left then is to stop and to begin anew.
    """

    def __init__(
        self,
        root: str,
        tell: Hint,
        suspect: Callable[[], None],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._root = root
        self._tell = tell
        self._suspect = suspect
        self._stopping = stopping
        self._stopped = False
        self._places: dict[int, str] = {}
        """Watch to folder, relative to the root..."""
        self._watches: dict[str, int] = {}
        """...and back."""
        self._handle = self._woken = self._waker = -1
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="codegen-inotify", daemon=True)

    def start(self) -> None:
        """Watch every folder there is, then listen.

        :raises OSError: the root cannot be watched, or not all that is in it.
        """
        try:
            self._handle = _checked(_libc().inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
            self._woken, self._waker = os.pipe()
            self._watch_below("")
            if "" not in self._watches:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), self._root)
        except OSError:
            self._close()
            raise
        self._thread.start()

    def stop(self) -> None:
        """Give up all watches."""
        self._stopped = True
        with self._closing:
            if self._waker >= 0:
                os.write(self._waker, b"!")
        if self._thread.ident is not None:
            self._thread.join(1.0)

    def alive(self) -> bool:
        """Whether it still listens."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            poll = select.poll()
            poll.register(self._handle, select.POLLIN)
            poll.register(self._woken, select.POLLIN)
            while not self._over():
                if any(handle == self._handle for handle, _ in poll.poll()):
                    for event in _events(os.read(self._handle, _BUFFER)):
                        self._take(*event)
        except OSError:
            self._suspect()
        finally:
            self._close()

    def _over(self) -> bool:
        return self._stopped or self._stopping()

    def _take(self, watch: int, mask: int, name: str) -> None:
        """See to the watches, then tell."""
        folder = self._places.get(watch)
        if mask & _OVERFLOW:
            self._suspect()
        elif folder is None:
            return  # of a folder that was moved: where it is now, it is looked at anew
        elif mask & _IGNORED:
            self._forget(folder)
        elif mask & _SELF:
            if not folder:
                self._suspect()
        else:
            place = f"{folder}/{name}" if folder else name
            if mask & _ISDIR:
                self._follow(place, mask)
            if counts(place):
                self._tell(place)

    def _follow(self, place: str, mask: int) -> None:
        """Keep the watches right after something happened to a folder."""
        if mask & _DELETE:
            self._forget(place)
        elif mask & _MOVED_FROM:
            below = f"{place}/"
            for known in [p for p in self._watches if p == place or p.startswith(below)]:
                self._give_up(self._forget(known))
        elif place not in self._watches or not mask & _ATTRIB:
            self._watch_below(place)

    def _watch_below(self, place: str) -> None:
        """Watch the folder at *place* and those in it. First watched, then listed: what comes
        in between is seen twice, and nothing is missed.

        :raises OSError: there are no more watches.
        """
        waiting = [place]
        while waiting and not self._over():
            folder = waiting.pop()
            if leads(folder) and self._watch(folder):
                waiting += self._folders_in(folder)

    def _folders_in(self, folder: str) -> list[str]:
        prefix = f"{folder}/" if folder else ""
        try:
            with os.scandir(f"{self._root}/{folder}") as entries:
                return [prefix + e.name for e in entries if e.is_dir(follow_symlinks=False)]
        except OSError:
            return []

    def _watch(self, folder: str) -> bool:
        """Watch one folder; whether that could be done."""
        path = os.fsencode(f"{self._root}/{folder}" if folder else self._root)
        try:
            watch = _checked(_libc().inotify_add_watch(self._handle, path, _ASKED))
        except OSError as error:
            if error.errno in _EXHAUSTED:
                raise
            return False
        before = self._forget(folder)
        if before != watch:
            self._give_up(before)
        elsewhere = self._places.get(watch)
        if elsewhere is not None:
            self._forget(elsewhere)
        self._places[watch] = folder
        self._watches[folder] = watch
        return True

    def _forget(self, folder: str) -> int | None:
        """No longer know a folder; the watch it had."""
        watch = self._watches.pop(folder, None)
        if watch is not None:
            del self._places[watch]
        return watch

    def _give_up(self, watch: int | None) -> None:
        if watch is not None:  # which may be gone already
            _libc().inotify_rm_watch(self._handle, watch)

    def _close(self) -> None:
        with self._closing:
            for handle in (self._handle, self._woken, self._waker):
                if handle >= 0:
                    os.close(handle)
            self._handle = self._woken = self._waker = -1


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _events(data: bytes) -> Iterator[tuple[int, int, str]]:
    """What the system wrote: watch, what happened, the name it happened to."""
    at = 0
    while at < len(data):
        watch, mask, _, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size + length
        yield watch, mask, os.fsdecode(data[at - length : at].rstrip(b"\0"))
