"""``codegen/context``, ``codegen/lastCompletion`` and ``codegen/statistics``: requests of our own.

What measurements and status lines ask for, without parameters: how far the workspace is read, what
is known of the completion that was answered last, and who answered how many requests. Nothing that
an editor needs in order to show a completion.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codegen_lsp.server.session import CodegenServer

__all__ = ["CONTEXT", "LAST_COMPLETION", "STATISTICS", "register"]

CONTEXT = "codegen/context"
LAST_COMPLETION = "codegen/lastCompletion"
STATISTICS = "codegen/statistics"


def register(ls: CodegenServer) -> None:
    """Add the requests."""
    ls.feature(CONTEXT)(context)
    ls.feature(LAST_COMPLETION)(last_completion)
    ls.feature(STATISTICS)(statistics)


def context(ls: CodegenServer, params: Any) -> dict[str, Any]:
    """Whether every folder is read, and how many files of each are known."""
    folders = ls.surroundings.status()
    return {
        "ready": ls.surroundings.ready,
        "files": sum(folder.files for folder in folders),
        "folders": [
            {
                "root": str(folder.root),
                "files": folder.files,
                "pending": folder.pending,
                "state": folder.state,
            }
            for folder in folders
        ],
    }


def last_completion(ls: CodegenServer, params: Any) -> dict[str, Any] | None:
    """The completion that was answered last, in this connection; ``null`` if there is none."""
    found = ls.last_completion
    if found is None:
        return None
    return {
        "text": found.text,
        "source": found.source.value,
        "model": found.model,
        "logProb": found.log_prob,
        "confidence": found.confidence,
        "pieces": [[piece.text, piece.log_prob] for piece in found.pieces],
        "timings": asdict(found.timings),
    }


def statistics(ls: CodegenServer, params: Any) -> dict[str, int]:
    """Who answered how many requests of this connection, since its start."""
    return ls.service.statistics()
