"""Epochs: when a choice holds and when it is made anew."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from codegen_lsp.context import neighbours
from codegen_lsp.context.neighbourhood import MOST_DOCUMENTS, NEAR, PATIENCE
from tests.support.cursor import CURSOR
from tests.support.repository import Repository

HELPERS = """\
def read_lines(path):
    with open(path) as handle:
        return [line.strip() for line in handle if line.strip()]


def count_words(lines):
    counts = {}
    for line in lines:
        for word in line.split():
            counts[word] = counts.get(word, 0) + 1
    return counts
"""

MAIN = "from helpers import read_lines, count_words\n\n\ndef report(path):\n    lines = ¦\n"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Two files."""
    return Repository(tmp_path / "project", {"helpers.py": HELPERS, "main.py": ""})


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows with each fresh choice."""
    seen: list[str] = []
    choose = neighbours.choose

    def counting(cursor, library, choice):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        seen.append(cursor.page.shown)
        return choose(cursor, library, choice)

    monkeypatch.setattr(neighbours, "choose", counting)
    return seen


def test_typing_within_a_line_keeps_the_choice(repository: Repository, chosen: list[str]) -> None:
    """Whatever is typed, also names that would find other snippets."""
    first = repository.snippets("main.py", MAIN)
    assert first
    for typed in ("r", "read", "read_lines(path)", "read_lines(path)\n    ", "count_words("):
        assert repository.snippets("main.py", MAIN.replace(CURSOR, typed + CURSOR)) is first
    assert len(chosen) == 1


@pytest.mark.parametrize("lines", [NEAR, NEAR + 1])
def test_a_jump_ends_an_epoch(repository: Repository, chosen: list[str], lines: int) -> None:
    """A few lines are near; who writes on and on is shown other code now and then."""
    text = "\n" * 100
    for line in (50, 50 + lines, 50, 50 - lines):
        repository.snippets("main.py", text[:line] + CURSOR + text[line:])
    assert len(chosen) == (1 if lines == NEAR else 4)


def test_what_ends_an_epoch(repository: Repository, chosen: list[str]) -> None:
    """Other sources, another limit, an edit elsewhere; not an edit of the document itself."""
    repository.open("main.py", "")
    repository.snippets("main.py", MAIN, ["open"])
    repository.snippets("main.py", MAIN, ["open", "header"])
    assert len(chosen) == 1
    repository.snippets("main.py", MAIN, ["open", "similar"])
    repository.snippets("main.py", MAIN, ["open", "similar"], 2000)
    assert len(chosen) == 3
    repository.buffers.changed(repository.uri("main.py"))
    repository.snippets("main.py", MAIN, ["open", "similar"], 2000)
    assert len(chosen) == 3
    repository.edit("helpers.py", HELPERS.replace("counts", "numbers"))
    snippets = repository.snippets("main.py", MAIN, ["open", "similar", "imports"], 2000)
    assert len(chosen) == 4
    assert any("numbers" in snippet.text for snippet in snippets)


def test_a_new_import_ends_an_epoch(repository: Repository, chosen: list[str]) -> None:
    """Once it is written: not while it is being typed."""
    code = MAIN.partition("\n")[2]
    assert repository.snippets("main.py", code, ["imports"]) == ()
    for typed in ("fr", "from helpers", "from helpers import read_lines, count_words"):
        repository.snippets("main.py", f"{typed}¦{code.replace(CURSOR, '')}", ["imports"])
    assert len(chosen) == 1
    assert repository.snippets("main.py", MAIN, ["imports"]) != ()
    repository.snippets("main.py", MAIN.replace("¦", "read_lines(path)¦"), ["imports"])
    assert len(chosen) == 2


def test_nothing_is_chosen_where_nothing_is_wanted(
    repository: Repository, chosen: list[str]
) -> None:
    """No sources, or no room."""
    for sources, limit in ([], 100), (["header"], 100), (["open"], 0), (["open"], -1):
        assert repository.snippets("main.py", MAIN, sources, limit) == ()
    assert chosen == []


def test_while_an_index_is_filling(repository: Repository, chosen: list[str]) -> None:
    """A choice holds a moment; from a complete index it holds on."""
    repository.ready = False
    repository.snippets("main.py", MAIN)
    repository.now += PATIENCE - 0.1
    repository.snippets("main.py", MAIN)
    assert len(chosen) == 1
    repository.now += 0.2
    repository.ready = True
    repository.snippets("main.py", MAIN)
    repository.now += 1000
    repository.snippets("main.py", MAIN)
    assert len(chosen) == 2


def test_each_document_has_its_choice(repository: Repository, chosen: list[str]) -> None:
    """Going to and fro between a few documents chooses once for each; many are not remembered."""
    for _ in range(3):
        for name in ("main.py", "other.py"):
            repository.snippets(name, MAIN)
    assert chosen == ["main.py", "other.py"]
    for number in range(MOST_DOCUMENTS):
        repository.snippets(f"m{number}.py", MAIN)
    repository.snippets("main.py", MAIN)
    assert chosen.count("main.py") == 2


def test_forget_and_clear(repository: Repository, chosen: list[str]) -> None:
    """A closed document is chosen for anew; so is everything after other settings."""
    repository.snippets("main.py", MAIN)
    repository.neighbourhood.forget(repository.uri("other.py"))
    repository.snippets("main.py", MAIN)
    assert len(chosen) == 1
    repository.neighbourhood.forget(repository.uri("main.py"))
    repository.snippets("main.py", MAIN)
    repository.neighbourhood.clear()
    repository.snippets("main.py", MAIN)
    assert len(chosen) == 3


def test_the_same_question_has_the_same_answer(tmp_path: Path) -> None:
    """Also in another process and another folder."""
    answers = [
        Repository(tmp_path / name, {"helpers.py": HELPERS}).snippets("main.py", MAIN)
        for name in "ab"
    ]
    assert answers[0] == answers[1] != ()


def test_a_failure_costs_no_completion(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is in the log, and there are no snippets."""

    def fail(*_: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(neighbours, "choose", fail)
    assert repository.snippets("main.py", MAIN) == ()
    assert "no code of other documents is shown" in caplog.text


def test_from_several_threads(repository: Repository) -> None:
    """While documents are edited, opened and closed, nothing breaks and answers are answers."""
    expected = repository.snippets("main.py", MAIN)
    found: list[object] = []
    errors: list[BaseException] = []

    def ask(name: str) -> None:
        try:
            for _ in range(20):
                query = repository.query(name, MAIN)
                found.append(repository.neighbourhood.snippets(query, ("imports",), 4000))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(f"t{i % 2}.py",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for number in range(50):
        repository.open("noise.py", f"x = {number}\n")
        repository.buffers.changed(repository.uri("noise.py"))
        repository.buffers.take()
        repository.neighbourhood.clear()
        repository.buffers.closed(repository.uri("noise.py"))
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(found) == 80
    assert len(set(found)) == 1
    assert expected
