"""What will probably be asked next: where the cursor is once a suggestion was accepted.

Knows texts and how editors indent a new line. Does not know whether it is worth asking.
"""

from __future__ import annotations

import re
from typing import Final

from codegen_lsp.completion.place import opens_block
from codegen_lsp.context.window import cut_window
from codegen_lsp.syntax.languages import language_of, syntax_of
from codegen_lsp.types import Completion, CompletionQuery, Snapshot, Trigger

__all__ = ["accepted", "on_a_new_line"]

WIDTH: Final = 4
"""Columns of a level of indentation where the lines above do not tell."""

LINES_ABOVE: Final = 4_000
"""Characters before the cursor that are looked at."""

_INDENTED: Final = re.compile(r"\n( {2,8}|\t)\S")


def accepted(query: CompletionQuery, completion: Completion) -> CompletionQuery:
    """What is asked where *completion*, the answer to *query*, has been accepted."""
    text = query.snapshot.text
    new = text[: completion.start] + completion.text + text[completion.end :]
    return _at(query.snapshot, new, completion.start + len(completion.text))


def on_a_new_line(query: CompletionQuery) -> CompletionQuery | None:
    """What is asked once a new line was begun there; ``None`` in the middle of a line."""
    snapshot, offset = query.snapshot, query.offset
    window = cut_window(snapshot.text, offset, LINES_ABOVE)
    if window.suffix.partition("\n")[0].strip():
        return None
    line = window.prefix.rpartition("\n")[2]
    indent = line[: len(line) - len(line.lstrip())]
    if opens_block(line, syntax_of(snapshot.language_id or language_of(snapshot.uri))):
        indent += _level(window.prefix)
    new = window.line_end + indent
    text = snapshot.text[:offset] + new + snapshot.text[offset:]
    return _at(snapshot, text, offset + len(new))


def _level(text: str) -> str:
    """What one level of indentation is in *text*: the least of its indented lines."""
    return min(_INDENTED.findall(text), key=len, default=" " * WIDTH)


def _at(snapshot: Snapshot, text: str, offset: int) -> CompletionQuery:
    new = Snapshot(snapshot.uri, snapshot.language_id, text)
    return CompletionQuery(new, offset, Trigger.AUTOMATIC)
