"""The files of a typing session as they are at one moment. Pure: knows no server and no disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from codegen_lsp.evaluation.bench.script import Script

__all__ = ["Cursor", "Desk"]


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where typing goes on."""

    page: int
    offset: int
    """Into the page's text as it is now."""


@dataclass(slots=True)
class Desk:
    """Every page without what is still to be typed."""

    script: Script
    texts: list[str] = field(init=False)
    """The pages as they are now."""

    _typed: list[str | None] = field(init=False)
    """By visit, what stands there: ``None`` before it began."""

    def __post_init__(self) -> None:
        self.texts = [page.text for page in self.script.pages]
        for visit in sorted(self.script.visits, key=lambda one: one.start, reverse=True):
            text = self.texts[visit.page]
            self.texts[visit.page] = text[: visit.start] + text[visit.end :]
        self._typed = [None] * len(self.script.visits)

    def begin(self, number: int) -> Cursor:
        """Go to where visit *number* begins."""
        visit = self.script.visits[number]
        missing = sum(
            (other.end - other.start) - len(self._typed[at] or "")
            for at, other in enumerate(self.script.visits)
            if other.page == visit.page and other.start < visit.start
        )
        self._typed[number] = ""
        return Cursor(visit.page, visit.start - missing)

    def insert(self, number: int, cursor: Cursor, text: str) -> Cursor:
        """Insert *text* at *cursor*; where the cursor is then."""
        before = self.texts[cursor.page]
        self.texts[cursor.page] = before[: cursor.offset] + text + before[cursor.offset :]
        self._typed[number] = (self._typed[number] or "") + text
        return Cursor(cursor.page, cursor.offset + len(text))

    def delete(self, number: int, cursor: Cursor) -> Cursor:
        """Delete the character left of *cursor*; where the cursor is then."""
        before = self.texts[cursor.page]
        self.texts[cursor.page] = before[: cursor.offset - 1] + before[cursor.offset :]
        self._typed[number] = (self._typed[number] or "")[:-1]
        return Cursor(cursor.page, cursor.offset - 1)
