"""What became of requests: numbers for measurements and status lines. Knows nothing else."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Counts"]


@dataclass(slots=True)
class Counts:
    """What became of all requests since the start."""

    requests: int = 0
    unwanted: int = 0
    """Not to be answered by the settings, or where a suggestion would be in the way."""

    typed: int = 0
    """Answered by what is left of a suggestion."""

    cached: int = 0
    """Answered by what was found out before, be it that there is nothing to suggest."""

    said: int = 0
    """Answered by what the model said before and was not shown as it is now."""

    copied: int = 0
    """Answered by what stands elsewhere."""

    joined: int = 0
    """Answered by what was on its way for an earlier request."""

    asked: int = 0
    """Requests for which the engine was asked."""

    superseded: int = 0
    """Requests that ended because a newer one of the document came, or were cancelled."""

    server_asked: int = 0
    """Requests that were sent to the server, beside this machine's engine or instead of it."""

    server_answered: int = 0

    ahead: int = 0
    """Jobs that computed what might be asked next."""

    prewarmed: int = 0
    """Prompts read while nobody waited."""

    tokens_read: int = 0
    tokens_written: int = 0
