"""Typing a script at a backend in real time: waiting, asking, accepting.

Knows clocks and what an editor does between two keys. What is typed is the script's, who answers
the backend's, what the numbers mean ``typed``'s affair.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from codegen_lsp.evaluation.bench.backends import Backend, Reply
from codegen_lsp.evaluation.bench.desk import Cursor, Desk
from codegen_lsp.evaluation.bench.script import Script, Typist, strokes, word_of
from codegen_lsp.evaluation.replay.scoring import LEAST_VISIBLE, visible

__all__ = ["EDITORS", "FAST", "HUMAN", "Ask", "Pace", "Session", "lay_out", "type_script"]

Outcome = Literal["text", "empty", "superseded"]

EDITORS: Final = {"vscode": 0.0, "neovim": 0.2}
"""Seconds after a change that an editor waits before it asks: VS Code asks at every change,
Neovim when nothing was typed for a while."""

KEPT_OPEN: Final = 8
"""Files that are open at once."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How quickly keys follow each other."""

    human: bool
    """Whether the script's gaps are waited for; else the next key comes with the answer."""

    reaction: float
    """Seconds from a suggestion being seen to the key that accepts it."""

    patience: float = 0.0
    """Without human gaps: seconds after which a key comes though nothing was answered."""


HUMAN: Final = Pace(human=True, reaction=0.3)
FAST: Final = Pace(human=False, reaction=0.0, patience=0.25)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: what was asked after one key."""

    outcome: Outcome
    ms: float
    """From the key to the answer, or to being given up; what an editor waits included."""

    source: str = ""
    first_ms: float | None = None
    inside_ms: float | None = None


@dataclass(slots=True)
class Session:
    """What happened so far."""

    keys: int = 0
    """Keys pressed, accepting ones included."""

    accepted: int = 0
    characters: int = 0
    """Characters that are there and right."""

    seen: int = 0
    """Keys before which a suggestion was in sight."""

    asks: list[Ask] = field(default_factory=list)
    seconds: float = 0.0
    visits: int = 0
    """Visits that were typed to their end."""

    pages: set[int] = field(default_factory=set)
    """Pages that were visited."""


@dataclass(slots=True)
class _Ghost:
    """The suggestion in sight."""

    text: str = ""
    since: float = 0.0

    def show(self, text: str, now: float) -> None:
        """Something else is in sight, or the same as before."""
        if text != self.text:
            self.text, self.since = text, now

    def typed(self, text: str) -> None:
        """What is typed along stays in sight, as editors keep it; else nothing does."""
        self.text = self.text[len(text) :] if self.text.startswith(text) else ""


def lay_out(folder: Path, desk: Desk) -> None:
    """Write every page, as it is before anything is typed, below *folder*."""
    for page, text in zip(desk.script.pages, desk.texts, strict=True):
        target = folder / page.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="\n")


async def type_script(
    backend: Backend,
    desk: Desk,
    folder: Path,
    *,
    keys: int,
    pace: Pace,
    delay: float,
    tell: Callable[[Session], None] = lambda _: None,
) -> Session:
    """Type until *keys* keys were pressed or the script ends.

    :raises CodegenError: whoever answers went away.
    """
    hands = _Hands(backend, desk, folder, pace, delay, keys, tell)
    begin = time.perf_counter()
    try:
        for number in range(len(desk.script.visits)):
            if hands.session.keys >= keys:
                break
            await hands.visit(number)
    finally:
        hands.session.seconds = time.perf_counter() - begin
    return hands.session


class _Hands:
    """One typist, one editor, one backend."""

    def __init__(
        self,
        backend: Backend,
        desk: Desk,
        folder: Path,
        pace: Pace,
        delay: float,
        keys: int,
        tell: Callable[[Session], None],
    ) -> None:
        self.session = Session()
        self._backend, self._desk, self._folder = backend, desk, folder
        self._pace, self._delay, self._keys, self._tell = pace, delay, keys, tell
        self._open: OrderedDict[int, None] = OrderedDict()
        self._cursor = Cursor(0, 0)
        self._ghost = _Ghost()
        self._sent = False
        """Whether the request for the last key went out: some editors wait for the next one."""

    @property
    def _script(self) -> Script:
        return self._desk.script

    async def visit(self, number: int) -> None:
        """Type one visit, as far as there are keys left."""
        self._cursor = self._desk.begin(number)
        self.session.pages.add(self._cursor.page)
        self._open_page()
        self._move()
        self._ghost = _Ghost()
        typist = Typist(strokes(self._script, number))
        asked: asyncio.Task[Reply] | None = None
        while not typist.done and self.session.keys < self._keys:
            begin = time.perf_counter()
            taken = await self._between(typist, asked, begin)
            self.session.keys += 1
            self.session.seen += bool(self._ghost.text)
            if taken:
                self._accept(number, typist, taken)
            else:
                self._press(number, typist)
            self._tell(self.session)
            self._sent = False
            asked = asyncio.create_task(self._ask())
        if asked is not None:
            await _give_up(asked)  # nobody reads it: the cursor jumps away
        self.session.visits += typist.done
        self._save()

    async def _between(
        self, typist: Typist, asked: asyncio.Task[Reply] | None, begin: float
    ) -> str:
        """Wait for the next key; the text that is accepted with it, ``""`` if it is typed."""
        due = begin + (typist.upcoming().gap if self._pace.human else self._pace.patience)
        while True:
            if asked is None and not self._pace.human:
                due = time.perf_counter()
            taken = self._wanted(typist)
            ready = self._ghost.since + self._pace.reaction
            until = min(due, ready) if taken else due
            if asked is not None:
                asked = await self._answer(asked, begin, until)
                if asked is None:
                    continue
                if self._sent:
                    self._superseded(begin)
                await _give_up(asked)
            else:
                await _sleep_until(until)
            return taken if taken and ready <= due else ""

    async def _answer(
        self, asked: asyncio.Task[Reply], begin: float, until: float
    ) -> asyncio.Task[Reply] | None:
        """Wait for the answer until then; ``None`` when it is there and was looked at."""
        await asyncio.wait({asked}, timeout=max(0.0, until - time.perf_counter()))
        if not asked.done():
            return asked
        now = time.perf_counter()
        reply = await self._backend.explained(asked.result())
        self._ghost.show(reply.text, now)
        outcome: Outcome = "text" if reply.text else "empty"
        ms = (now - begin) * 1000
        self.session.asks.append(Ask(outcome, ms, reply.source, reply.first_ms, reply.inside_ms))
        return None

    def _superseded(self, begin: float) -> None:
        ms = (time.perf_counter() - begin) * 1000
        self.session.asks.append(Ask("superseded", ms))

    def _wanted(self, typist: Typist) -> str:
        """What of the suggestion in sight is taken as soon as it was read."""
        text = self._ghost.text
        right = typist.straight and visible(text) >= LEAST_VISIBLE and typist.rest.startswith(text)
        if not right:
            return ""
        return word_of(text) if typist.by_word else text

    def _accept(self, number: int, typist: Typist, text: str) -> None:
        typist.accept(text)
        self._ghost.typed(text)
        self._ghost.since = time.perf_counter()
        self.session.accepted += 1
        self.session.characters += len(text)
        self._change(number, 0, text)

    def _press(self, number: int, typist: Typist) -> None:
        straight = typist.straight
        action = typist.press()
        if action.kind == "delete":
            self._ghost.text = ""
            self._change(number, 1, "")
            return
        self._ghost.typed(action.text)
        self.session.characters += len(action.text) if straight and typist.straight else 0
        self._change(number, 0, action.text)

    def _change(self, number: int, removed: int, text: str) -> None:
        page = self._script.pages[self._cursor.page]
        before = self._desk.texts[self._cursor.page]
        at = self._cursor.offset - removed
        self._backend.changed(page.path, before, at, removed, text)
        if removed:
            self._cursor = self._desk.delete(number, self._cursor)
        else:
            self._cursor = self._desk.insert(number, self._cursor, text)

    async def _ask(self) -> Reply:
        """Ask as the editor does, for the document as it is now."""
        page, text = self._script.pages[self._cursor.page], self._desk.texts[self._cursor.page]
        offset = self._cursor.offset
        if self._delay:
            await asyncio.sleep(self._delay)
        self._sent = True
        return await self._backend.ask(page.path, text, offset)

    def _open_page(self) -> None:
        page = self._cursor.page
        if page not in self._open:
            self._backend.opened(self._script.pages[page].path, self._desk.texts[page])
        self._open[page] = None
        self._open.move_to_end(page)
        if len(self._open) > KEPT_OPEN:
            left, _ = self._open.popitem(last=False)
            self._backend.closed(self._script.pages[left].path)

    def _move(self) -> None:
        page = self._cursor.page
        text, path = self._desk.texts[page], self._script.pages[page].path
        self._backend.moved(path, text, self._cursor.offset)

    def _save(self) -> None:
        page = self._cursor.page
        target = self._folder / self._script.pages[page].path
        target.write_text(self._desk.texts[page], encoding="utf-8", newline="\n")


async def _give_up(asked: asyncio.Task[Reply]) -> None:
    """Cancel a request. Its failure is still one: whoever answers may have gone away."""
    asked.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asked


async def _sleep_until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.perf_counter()))
