"""``textDocument/inlineCompletion``: ghost text.

The answer is always a list, empty when there is nothing to suggest; it is ``null`` when a newer
request of the document has taken over, which lets editors keep what they show.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from codegen_lsp.completion.scheduler import Superseded
from codegen_lsp.server.features.answers import ask
from codegen_lsp.types import Completion, Trigger

if TYPE_CHECKING:
    from codegen_lsp.server.documents import Spot
    from codegen_lsp.server.session import CodegenServer

__all__ = ["register"]

TRIGGERS = {
    types.InlineCompletionTriggerKind.Automatic: Trigger.AUTOMATIC,
    types.InlineCompletionTriggerKind.Invoked: Trigger.INVOKED,
}


def register(ls: CodegenServer) -> None:
    """Without options pygls would not tell editors that the feature is there."""
    options = types.InlineCompletionOptions()
    ls.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, options)(inline_completion)


def inline_completion(
    ls: CodegenServer, params: types.InlineCompletionParams
) -> Coroutine[Any, Any, types.InlineCompletionList | None]:
    """See the document as it is now, answer later."""
    spot = ls.documents.spot(params.text_document.uri, params.position)
    return _answer(ls, spot, TRIGGERS[params.context.trigger_kind])


async def _answer(
    ls: CodegenServer, spot: Spot | None, trigger: Trigger
) -> types.InlineCompletionList | None:
    try:
        completion = await ask(ls, spot, trigger)
    except Superseded:
        return None
    if spot is None or completion is None:
        return types.InlineCompletionList(items=[])
    return types.InlineCompletionList(items=[_item(spot, completion)])


def _item(spot: Spot, completion: Completion) -> types.InlineCompletionItem:
    return types.InlineCompletionItem(
        insert_text=completion.text, range=spot.range(completion.start, completion.end)
    )
