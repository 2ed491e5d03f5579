"""What the handlers share: the model, who may ask and how much, what is counted.

Knows what there is, and how it is closed. Does not know HTTP.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from codegen_lsp.team.access_log import AccessLog
from codegen_lsp.team.batching import Batcher
from codegen_lsp.team.keys import Keys
from codegen_lsp.team.limits import Limits
from codegen_lsp.team.metrics import Metrics
from codegen_lsp.team.model import Served

__all__ = ["Team"]


@dataclass(frozen=True, slots=True)
class Team:
    """One server."""

    served: Served
    batcher: Batcher

    keys: Keys | None
    """``None`` where anybody may ask."""

    limits: Limits
    metrics: Metrics
    log: AccessLog

    most_body: int
    """Bytes of a request's body."""

    read_seconds: float
    """In which a body must have come."""

    send_seconds: float
    """In which a client must have taken what it was sent."""

    started_at: float = field(default_factory=time.time)
    """Seconds since 1970."""

    def close(self) -> None:
        """End what runs and free the model. Blocks for some seconds at most."""
        self.batcher.close()
        self.served.model.close()
        self.log.close()
