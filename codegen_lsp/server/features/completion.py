"""``textDocument/completion``: the same answer in the pop-up menu, for editors without ghost text.

Only with the setting ``completionItems``, because a slow answer delays the menus of other
servers. Whether editors are told at ``initialize`` or later is ``configuration``'s affair.
"""

from __future__ import annotations

import re
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from codegen_lsp.completion.scheduler import Superseded
from codegen_lsp.server.features.answers import ask
from codegen_lsp.types import Completion, Trigger

if TYPE_CHECKING:
    from codegen_lsp.server.documents import Spot
    from codegen_lsp.server.session import CodegenServer

__all__ = ["OPTIONS", "register"]

OPTIONS = types.CompletionOptions(trigger_characters=[".", "(", "[", "=", " "])

TRIGGERS = {
    types.CompletionTriggerKind.Invoked: Trigger.AUTOMATIC,  # typing a word counts as invoked
    types.CompletionTriggerKind.TriggerCharacter: Trigger.AUTOMATIC,
    types.CompletionTriggerKind.TriggerForIncompleteCompletions: Trigger.AUTOMATIC,
}

_WORD = re.compile(r"\w*\Z")

LABEL_LENGTH = 80
"""Code points; a menu has to stay readable."""


def register(ls: CodegenServer) -> None:
    """Add the handler, which answers with nothing until the setting is on."""
    ls.feature(types.TEXT_DOCUMENT_COMPLETION, OPTIONS)(completion)


def completion(
    ls: CodegenServer, params: types.CompletionParams
) -> Coroutine[Any, Any, types.CompletionList | None]:
    """See the document as it is now, answer later."""
    wanted = ls.settings.completion_items
    spot = ls.documents.spot(params.text_document.uri, params.position) if wanted else None
    return _answer(ls, spot)


async def _answer(ls: CodegenServer, spot: Spot | None) -> types.CompletionList | None:
    try:
        found = await ask(ls, spot, Trigger.AUTOMATIC)
    except Superseded:
        return None
    items = [] if spot is None or found is None else [_item(spot, found)]
    # Incomplete: what was found depends on every character that is typed next.
    return types.CompletionList(is_incomplete=True, items=items)


def _item(spot: Spot, found: Completion) -> types.CompletionItem:
    """An item that replaces the word before the cursor too, since menus filter by that word."""
    before = spot.line_text[: spot.column]
    word = _WORD.search(before)
    start = min(found.start, spot.line_start + (word.start() if word else spot.column))
    text = spot.line_text[start - spot.line_start : found.start - spot.line_start] + found.text
    first = text.strip().partition("\n")[0].rstrip()
    return types.CompletionItem(
        label=first[:LABEL_LENGTH],
        kind=types.CompletionItemKind.Snippet,
        detail="codegen-lsp",
        documentation=text if "\n" in text else None,
        filter_text=text,
        insert_text_format=types.InsertTextFormat.PlainText,
        preselect=False,
        sort_text="\uffff",
        text_edit=types.TextEdit(spot.range(start, found.end), text),
    )
