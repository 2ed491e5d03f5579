"""What was shown last: who types what was suggested needs no engine.

Knows completions and texts. One completion per document is remembered, in memory only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from codegen_lsp.types import Completion, CompletionQuery, Source, Timings, Trigger

__all__ = ["Memory"]

MOST_DOCUMENTS = 32


@dataclass(frozen=True, slots=True)
class _Shown:
    query: CompletionQuery
    completion: Completion


class Memory:
    """The last completion of each document."""

    def __init__(self) -> None:
        self._shown: dict[str, _Shown] = {}

    def remember(self, query: CompletionQuery, completion: Completion) -> None:
        """*completion* was the answer to *query*."""
        uri = query.snapshot.uri
        self._shown.pop(uri, None)
        self._shown[uri] = _Shown(query, completion)
        while len(self._shown) > MOST_DOCUMENTS:
            del self._shown[next(iter(self._shown))]

    def recall(self, query: CompletionQuery) -> Completion | None:
        """What is left of the last completion, if only its beginning was typed since."""
        shown = self._shown.get(query.snapshot.uri)
        if shown is None:
            return None
        typed = _typed(shown, query)
        if typed is None or not _answers(shown.query.trigger, query.trigger, typed):
            return None
        completion = shown.completion
        text = completion.text[len(typed) :]
        if not text.strip():
            return None
        replaced = completion.end - shown.query.offset
        return replace(
            completion,
            text=text,
            start=query.offset,
            end=query.offset + replaced,
            source=Source.TYPED,
            timings=Timings(),
        )

    def forget(self, uri: str) -> None:
        """The document was closed."""
        self._shown.pop(uri, None)

    def clear(self) -> None:
        """Forget everything: the settings have changed."""
        self._shown.clear()


def _answers(earlier: Trigger, now: Trigger, typed: str) -> bool:
    """Whether an answer to one trigger is one to the other, once *typed* was typed.

    Who asks explicitly where something automatic is shown may hope for more.
    """
    return earlier is now or (bool(typed) and now is Trigger.AUTOMATIC)


def _typed(shown: _Shown, query: CompletionQuery) -> str | None:
    """What was typed since, if it is the beginning of what was shown and nothing else changed."""
    start, offset = shown.query.offset, query.offset
    old, new = shown.query.snapshot, query.snapshot
    count = offset - start
    if not 0 <= count < len(shown.completion.text):
        return None
    if len(new.text) - len(old.text) != count or old.language_id != new.language_id:
        return None
    typed = new.text[start:offset]
    if not shown.completion.text.startswith(typed):
        return None
    # Two slices are compared at the speed of memory, even in very long documents.
    same = new.text[:start] == old.text[:start] and new.text[offset:] == old.text[start:]
    return typed if same else None
