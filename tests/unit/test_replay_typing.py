"""Points asked and lines typed in an editor whose server is played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from codegen_lsp.evaluation.client import AUTOMATIC, Client
from codegen_lsp.evaluation.replay.driver import ask_points
from codegen_lsp.evaluation.replay.editor import Editor, offset_of
from codegen_lsp.evaluation.replay.keystrokes import MEDIAN_GAP, gaps, type_lines
from codegen_lsp.evaluation.replay.results import Point, TypedLine
from codegen_lsp.evaluation.replay.working_copy import WorkingCopy

TEXT = "import os\n\n\ndef size(path):\n    return os.path.getsize(path)\n\n\nprint(size('a'))\n"
LINE = "return os.path.getsize(path)"
TYPED = Point(repository="r", path="a.py", line=4, column=4, kind="line", truth=LINE)

Suggest = Callable[[str], str | None]
"""What is suggested where this much of the line is written; ``""`` for an answer too late."""


class Server:
    """The client's side of a server that suggests what a test says."""

    def __init__(self, root: Path, suggest: Suggest) -> None:
        self.root = root
        self.suggest = suggest
        self.open_files: dict[str, str] = {}
        self.on_disk: list[str] = []
        self.cancelled = 0
        self.item: Mapping[str, Any] = {}
        self.said: dict[str, Any] | None = None

    async def ready(self) -> None:
        """Nothing is read."""

    def open(self, uri: str, language_id: str, text: str) -> None:
        """Each document once, with its language."""
        assert uri not in self.open_files
        assert language_id == "python"
        self.open_files[uri] = text

    def close_document(self, uri: str) -> None:
        """Only what is open."""
        del self.open_files[uri]

    def insert(self, uri: str, version: int, line: int, character: int, text: str) -> None:
        """The document as the server knows it."""
        assert version > 1
        known = self.open_files[uri]
        at = offset_of(known, line, character)
        self.open_files[uri] = known[:at] + text + known[at:]

    async def complete(
        self, uri: str, line: int, character: int, trigger: int
    ) -> Sequence[Mapping[str, Any]]:
        """What the test suggests; ``""`` never comes."""
        assert trigger == AUTOMATIC
        text = self.open_files[uri]
        if uri.startswith("file:"):
            self.on_disk.append((self.root / uri.rsplit("/", 1)[1]).read_text())
        found = self.suggest(text.split("\n")[line][:character].lstrip())
        if found == "":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return [] if found is None else [{"insertText": found, **self.item}]

    async def last_completion(self) -> dict[str, Any] | None:
        """What the test says."""
        return self.said


def editor(
    folder: Path, suggest: Suggest, names: Sequence[str] = ("a.py",)
) -> tuple[Editor, Server]:
    """An editor on a folder of files that are all the same."""
    for name in names:
        (folder / name).write_text(TEXT)
    server = Server(folder, suggest)
    copy = WorkingCopy(folder, dict.fromkeys(names, TEXT), 0, "")
    return Editor(cast("Client", server), copy), server


async def typed(folder: Path, suggest: Suggest) -> tuple[TypedLine, Server]:
    """One line, typed with what is suggested."""
    one, server = editor(folder, suggest)
    copy = WorkingCopy(folder, {"a.py": TEXT}, 0, "")
    done: list[bool] = []
    (line,) = await type_lines(one, copy, [TYPED], 0, lambda: done.append(True))
    assert done == [True]
    assert (folder / "a.py").read_text() == TEXT
    return line, server


def at(place: int, text: str | None) -> Suggest:
    """Suggests *text* when so many characters are written, else nothing."""
    return lambda head: text if len(head) == place else None


def check(line: TypedLine, keys: int, accepts: int, shown: int, wrong: int) -> None:
    """What a line cost."""
    assert (line.keys, line.accepts, line.shown, line.wrong) == (keys, accepts, shown, wrong)


@pytest.mark.parametrize(
    ("suggest", "keys", "accepts", "shown", "wrong"),
    [
        (lambda head: None, 28, 0, 0, 0),
        (at(0, LINE), 0, 1, 1, 0),
        (at(0, "return os."), 18, 1, 1, 0),
        (at(23, "path)"), 23, 1, 1, 0),
        (at(0, "ret"), 28, 0, 1, 0),
        (at(0, "r e t"), 28, 0, 1, 1),
        (at(0, "return None"), 28, 0, 1, 1),
        (at(0, LINE + "\n    more()"), 28, 0, 1, 1),
        (lambda head: "return None"[len(head) :] if len(head) < 8 else None, 28, 0, 1, 1),
        (lambda head: f"x{len(head)}", 28, 0, 28, 28),
        (lambda head: LINE[len(head) :][:6], 0, 5, 5, 0),
        (lambda head: LINE[len(head) :][:3], 28, 0, 26, 0),
    ],
)
async def test_what_suggestions_save(
    tmp_path: Path, suggest: Suggest, keys: int, accepts: int, shown: int, wrong: int
) -> None:
    """A right one of four characters costs one key; the same one shown on is one suggestion."""
    line, _ = await typed(tmp_path, suggest)
    check(line, keys, accepts, shown, wrong)
    assert line.truth == LINE


async def test_what_is_shown_already_is_seen_as_typed(tmp_path: Path) -> None:
    """The rest of a suggestion that was typed along is no new one; empty answers are none."""
    line, server = await typed(
        tmp_path, lambda head: "return None"[len(head) :] if len(head) < 3 else None
    )
    assert [ask.seen for ask in line.asks] == ["new", "typed", "typed"] + ["none"] * 25
    assert server.open_files == {(tmp_path / "a.py").as_uri(): TEXT}


async def test_what_comes_after_the_next_key_is_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is given up at the end of the gap, cancelled, and costs nothing more."""
    monkeypatch.setattr("codegen_lsp.evaluation.replay.keystrokes.MEDIAN_GAP", 0.001)
    line, server = await typed(tmp_path, at(3, ""))
    check(line, 28, 0, 0, 0)
    assert [ask.seen for ask in line.asks].count("late") == 1
    assert line.asks[3].seen == "late"
    assert server.cancelled == 1


def test_gaps_are_log_normal_and_the_lines_own() -> None:
    """The same for the same line and seed, with the promised median."""

    def first(seed: int, point: Point, count: int = 3) -> list[float]:
        found = gaps(seed, point)
        return [next(found) for _ in range(count)]

    assert first(0, TYPED) == first(0, TYPED)
    assert first(0, TYPED) != first(1, TYPED)
    many = sorted(first(0, TYPED, 4001))
    assert many[2000] == pytest.approx(MEDIAN_GAP, rel=0.05)
    assert many[int(0.8413 * 4001)] / many[2000] == pytest.approx(1.6487, rel=0.07)


POINTS = (
    Point(repository="r", path="a.py", line=4, column=11, kind="token", truth=LINE[7:]),
    Point(repository="r", path="b.py", line=3, column=15, kind="block", truth="\n    " + LINE),
)


async def test_what_is_hidden_is_nowhere(tmp_path: Path) -> None:
    """Not in the document and not on disk while it is asked for; afterwards all is back."""
    texts: list[str] = []

    def suggest(head: str) -> str | None:
        texts.extend(server.open_files.values())
        return "os.path" if head == "return " else None

    names = ("a.py", "b.py")
    one, server = editor(tmp_path, suggest, names)
    copy = WorkingCopy(tmp_path, dict.fromkeys(names, TEXT), 0, "")
    first, second = await ask_points(one, copy, POINTS, lambda: None)
    assert (first.text, first.scores.accepted, second.text) == ("os.path", True, None)
    assert texts[0] == TEXT.replace("os.path.getsize(path)", "")
    assert sorted(texts[1:]) == sorted([TEXT, TEXT.replace("\n    " + LINE, "")])
    assert server.on_disk == [texts[0], TEXT.replace("\n    " + LINE, "")]
    assert all((tmp_path / name).read_text() == TEXT for name in names)


async def test_three_files_stay_open(tmp_path: Path) -> None:
    """The last ones that were worked on, as they really are; a file is never open twice."""
    names = [f"{letter}.py" for letter in "abcde"]
    one, server = editor(tmp_path, lambda head: None, names)
    copy = WorkingCopy(tmp_path, dict.fromkeys(names, TEXT), 0, "")
    points = [
        Point(repository="r", path=name, line=4, column=4, kind="line", truth=LINE)
        for name in [*names, "d.py"]
    ]
    await ask_points(one, copy, points, lambda: None)
    assert list(server.open_files) == [(tmp_path / f"{name}.py").as_uri() for name in "ced"]
    assert set(server.open_files.values()) == {TEXT}


RANGE = {"start": {"line": 4, "character": 4}, "end": {"line": 4, "character": 13}}


@pytest.mark.parametrize(
    ("item", "text", "replaced"),
    [
        ({}, "return os.path", ""),
        ({"insertText": {"kind": "snippet", "value": "os"}}, "os", ""),
        ({"range": RANGE}, "os.path", "))"),
        ({"range": {**RANGE, "start": {"line": 4, "character": 11}}}, "return os.path", "))"),
    ],
)
async def test_ranges_become_insertions(
    tmp_path: Path, item: Mapping[str, Any], text: str, replaced: str
) -> None:
    """What stands before the cursor already is no part of it; what is right of it may go."""
    one, server = editor(tmp_path, lambda head: "return os.path")
    server.item = item
    server.said = {"text": "return os.path", "source": "warm"}
    with one.cut("a.py", TEXT.index("os.path"), LINE[7:]) as buffer:
        server.open_files[buffer.uri] = buffer.before + "))" + buffer.after
        buffer.after = "))" + buffer.after
        shown = await one.ask(buffer)
    assert shown is not None
    assert (shown.text, shown.replaced) == (text, replaced)
    assert shown.data == (None if "insertText" in item else {"source": "warm"})
