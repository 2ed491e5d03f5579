"""Patience: whether anybody still waits for what a thread computes.

Parsing asks in between. Knows one flag per thread; does not know who waits, nor why no more.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

__all__ = ["GivenUp", "check", "given_up", "while_wanted"]


class GivenUp(Exception):  # noqa: N818 - not an error: nobody waits for the result
    """Nobody waits for the result any more."""


class _Thread(threading.local):
    flag: threading.Event | None = None


_THREAD: Final = _Thread()


@contextlib.contextmanager
def while_wanted(given_up: threading.Event) -> Iterator[None]:
    """What this thread parses inside ends early, with :exc:`GivenUp`, once *given_up* is set."""
    before, _THREAD.flag = _THREAD.flag, given_up
    try:
        yield
    finally:
        _THREAD.flag = before


def given_up() -> bool:
    """Whether nobody waits for what this thread computes."""
    flag = _THREAD.flag
    return flag is not None and flag.is_set()


def check() -> None:
    """Go on only if somebody waits.

    :raises GivenUp: nobody does.
    """
    if given_up():
        raise GivenUp
