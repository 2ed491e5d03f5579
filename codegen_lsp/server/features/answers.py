"""Asking the completion service, for the requests that do; no situation becomes an LSP error."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from codegen_lsp.completion.scheduler import Superseded
from codegen_lsp.errors import CodegenError
from codegen_lsp.server.logs import log_unexpected
from codegen_lsp.types import Completion, CompletionQuery, Trigger

if TYPE_CHECKING:
    from codegen_lsp.server.documents import Spot
    from codegen_lsp.server.session import CodegenServer

__all__ = ["ask"]

logger = logging.getLogger(__name__)


async def ask(ls: CodegenServer, spot: Spot | None, trigger: Trigger) -> Completion | None:
    """A completion for ``spot``, or ``None`` when there is nothing to suggest.

    What prevents a completion is logged here, once per cause in a row.

    :raises Superseded: a newer request of the same document has taken over.
    """
    if spot is None:
        return None
    try:
        completion = await ls.service.complete(CompletionQuery(spot.snapshot, spot.offset, trigger))
    except Superseded:
        raise
    except CodegenError as error:
        ls.trouble(str(error))
        return None
    except Exception as error:
        log_unexpected(logger, "no completion", error)
        return None
    ls.trouble(None)
    if completion is not None:
        ls.last_completion = completion
    return completion
