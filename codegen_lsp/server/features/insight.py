"""``codegen/context`` and ``codegen/lastCompletion``: what measurements and status lines ask for.

Requests of our own, without parameters. They say how far the workspace is read, and what is known
of the completion that was answered last; nothing that an editor needs in order to show it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codegen_lsp.server.session import CodegenServer

__all__ = ["CONTEXT", "LAST_COMPLETION", "register"]

CONTEXT = "codegen/context"
LAST_COMPLETION = "codegen/lastCompletion"


def register(ls: CodegenServer) -> None:
    """Add both requests."""
    ls.feature(CONTEXT)(context)
    ls.feature(LAST_COMPLETION)(last_completion)


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
