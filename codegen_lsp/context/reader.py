"""The worker process that reads and parses files: ``python -m codegen_lsp.context.reader``.

Knows frames on stdin and stdout (:mod:`~codegen_lsp.context.frames`). Answers one request after
another, at the lowest priority the system offers, and ends when its stdin does: when the server
has no more work, or is gone, however it went. Has no state; ends itself where one file takes
longer than any should.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
from pathlib import Path
from typing import BinaryIO, Final

from codegen_lsp.context.facts import FileFacts, facts_of
from codegen_lsp.context.files import Refusal, read_source, stamp_of
from codegen_lsp.context.frames import Reply, Request, receive, reply_bytes, request_of

__all__ = ["main", "read"]

LIMIT: Final = 30.0
"""Seconds for one file: of a file system that does not answer, or of a parser gone astray."""


def read(root: str, relative: str) -> FileFacts | Refusal:
    """The facts of the file at *relative* in the folder *root*, or why there are none.

    Of a text that a parser cannot cope with there are none either: it is too much.
    """
    path = Path(root, relative)
    stamp = stamp_of(path)  # before it is read, so that a change meanwhile shows
    text = read_source(path)
    if isinstance(text, Refusal):
        return text
    if stamp is None:
        return Refusal.GONE
    try:
        relative.encode()
        return facts_of(relative, stamp, text)
    except UnicodeEncodeError:
        return Refusal.UNREADABLE
    except Exception as error:
        print(f"{path!r}: {error!r}", file=sys.stderr)
        return Refusal.FAILED


def answer(request: Request) -> Reply:
    """The reply to one request."""
    outcome = read(os.fsdecode(request.root), os.fsdecode(request.path))
    if isinstance(outcome, Refusal):
        return Reply(None, outcome.name)
    return Reply(outcome, None)


def main() -> int:
    """Answer requests until stdin ends."""
    requests, replies = _channels()
    _stand_back()
    # An end is all there is to say to a server that is gone.
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        while (frame := receive(requests)) is not None:
            faulthandler.dump_traceback_later(LIMIT, exit=True)
            reply = answer(request_of(frame))
            faulthandler.cancel_dump_traceback_later()
            replies.write(reply_bytes(reply))
            replies.flush()
    return 0


def _channels() -> tuple[BinaryIO, BinaryIO]:
    """Where requests come from and replies go, out of the reach of whoever prints."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return requests, replies


def _stand_back() -> None:
    """Ask for the lowest priority there is, of the processor and of the disk."""
    try:
        import psutil

        process = psutil.Process()
        if sys.platform == "win32":
            process.nice(psutil.IDLE_PRIORITY_CLASS)
            process.ionice(psutil.IOPRIO_VERYLOW)
        else:
            process.nice(19)
        if sys.platform == "linux":
            process.ionice(psutil.IOPRIO_CLASS_IDLE)
    except Exception:  # noqa: S110 - a wish; without it files are read as well
        pass


if __name__ == "__main__":
    sys.exit(main())
