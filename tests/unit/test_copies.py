"""Copies: where the same stands elsewhere, and which texts are searched for it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.context.copies import MOST_FOUND, Finder, Place, Text, following, here, visible
from codegen_lsp.context.copies_texts import MOST_FILES, NEAR, CopyTexts
from codegen_lsp.context.index import Index
from tests.support.copies import LOADING, SAVING, SERVICE, found
from tests.support.cursor import CURSOR
from tests.support.repository import Repository


@pytest.mark.parametrize(
    ("code", "others", "rests"),
    [
        # the cursor's line begins like another one, however deep that is
        ("    raise Val¦", ["if broken:\n  raise ValueError(broken)\n"], ["ueError(broken)"]),
        ("raise Val¦\nraise ValueError(late)\n", [], ["ueError(late)"]),
        ("raise Val¦", ["do(); raise ValueError(1)\n"], []),
        # too little by itself, enough with the line above it
        ("x = read(source)\nr¦", ["x = read(source)\nreturn x\n"], ["eturn x"]),
        ("x = read(source)\nr¦", ["x = read(source)\nyield x\n"], []),
        ("x = read(source)\nr¦", ["x = read(source)[1:]\nreturn x\n"], []),
        ("x = read(source)\n¦", ["x = read(source)\nyield x\n"], ["yield x"]),
        # only if it is as deep against the line above as here
        ("x = read(source)\n    ¦", ["x = read(source)\nyield x\n"], []),
        ("  x = read(source)\n¦", ["    x = read(source)\n  yield x\n"], ["yield x"]),
        ("with read(source):\n\t¦", [" with read(source):\n         pass\n"], ["pass"]),
        # only if a blank line stands there, too
        ("x = read(source)\n\n¦", ["x = read(source)\nyield x\n"], []),
        ("x = read(source)\n\n¦", ["x = read(source)\n\n\nyield x\n"], ["yield x"]),
        # a line too short to look for, below one that is not
        ("x = read(source)\ntry:\n    ¦", ["x = read(source)\ntry:\n    f()\n"], ["f()"]),
        ("y = read(source)\ntry:\n    ¦", ["x = read(source)\ntry:\n    f()\n"], []),
        # the cursor's own place is none, nor is an empty document
        ("raise Val¦ueError(late)\n", [], []),
        ("¦", ["anything = 1\n"], []),
        ("import os\n¦", ["import os"], []),
    ],
)
def test_where_the_same_stands(code: str, others: Sequence[str], rests: Sequence[str]) -> None:
    """Where the cursor's line begins alike; where that is short, the lines above it as well."""
    assert [place.rest for place in found(code, *others)] == rests


def test_what_is_everywhere_says_nothing() -> None:
    """By itself; below a line that is rare it does."""
    many = "self.value = 1\n" * (MOST_FOUND + 1)
    assert not found("self.¦", many)
    rare = "state = fresh_state()\nself.state = state\n"
    assert [place.rest for place in found("state = fresh_state()\nself.¦", many + rare)] == [
        "state = state"
    ]


def test_how_much_is_the_same() -> None:
    """Lines above the cursor's, until one differs, and all visible characters of them."""
    place, *_ = found("a = start()\nif a:\n    b = go(¦", "a = begin()\nif a:\n    b = go(a)\n")
    assert (place.lines, place.characters) == (1, visible("ifa:b=go("))
    place, *_ = found("    a = start()\n    b = go(¦", "a = start()\n    b = go(a)\n")
    assert (place.lines, place.characters) == (0, visible("b=go("))


LINES = st.lists(
    st.sampled_from(
        [
            "x = read(path)",
            "    return x",
            "",
            "if x is None:",
            "    raise Missing(path)",
            "  ",
            "#",
        ]
    ),
    min_size=1,
    max_size=30,
)


@given(LINES, LINES, st.data())
def test_places_are_where_the_same_stands(
    lines: list[str], others: list[str], data: st.DataObject
) -> None:
    """Before every place stands what stands before the cursor, whatever the texts."""
    text, other = "\n".join(lines), "\n".join(others)
    offset = data.draw(st.integers(0, len(text)))
    around = here(text, offset)
    texts = (Text("own", text), Text("other", other, 1))
    for place in Finder().places(around, texts, offset):
        before = place.source.text[: place.offset]
        assert before.endswith(around.head)
        filled = [line.strip() for line in before.split("\n")[-2::-1] if line.strip()]
        assert tuple(filled[: place.lines]) == around.above[: place.lines]


ALIKE = st.lists(
    st.sampled_from(["x = read(path)", "x = read(file)", "x = ready()", "  y = x", ""]),
    min_size=1,
    max_size=6,
)


@given(ALIKE, ALIKE)
def test_who_types_on_finds_what_a_fresh_search_finds(lines: list[str], others: list[str]) -> None:
    """Places that were found before are narrowed down, not looked for again."""
    finder, text, other = Finder(), "\n".join(lines), Text("other", "\n".join(others), 1)
    for offset in range(len(text) + 1):
        texts = (Text("own", text[:offset]), other)
        around = here(text, offset)
        assert finder.places(around, texts, offset) == Finder().places(around, texts, offset)


def test_a_document_that_changed_is_searched_anew() -> None:
    """What was found in its last text is forgotten; so is what was, when it closes."""
    finder, around = Finder(), here("x = rea", 7)
    own = Text("own", "x = rea")
    for other, rests in (("x = read()", ["d()"]), ("y = 1\nx = ready", ["dy"]), ("y", [])):
        places = finder.places(around, (own, Text("other", other, 1)), 7)
        assert [place.rest for place in places] == rests
    assert finder.places(around, (own,), 7) == []


@pytest.mark.parametrize("indentation", ["", "  ", "\t"])
def test_lines_are_indented_anew(indentation: str) -> None:
    """Those below a place, until one would stand left of the margin."""
    text = "  if a:\n      b()\n\n    c()\n  d()\ne()\n"
    place = Place(Text("a", text), text.index("a:"), 0, 0)
    wanted = ["    b()", "", "  c()", "d()"]
    lines = [indentation + line if line else "" for line in wanted]
    if indentation == "  ":
        lines.append("e()")
    assert list(following(place, indentation)) == lines


# Which texts are searched. ------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Three files of one kind, and one in another language."""
    return Repository(
        tmp_path / "project",
        {
            "main.py": "own = on_disk\n",
            "service.py": SERVICE,
            "loading.py": LOADING,
            "saving.ts": SAVING,
        },
    )


def searched(repository: Repository, path: str, code: str) -> list[tuple[int, str]]:
    """Ranks and texts that are searched at the cursor sign."""
    query = repository.query(path, code)
    repository.neighbourhood.prepare(query)
    texts = CopyTexts(repository.buffers, repository).texts(query).texts
    return [(text.rank, text.text) for text in texts]


WRITING = "def close(self) -> None:\n    self._session.commit()\n    rows = csv\n    ¦"


def test_the_document_then_open_ones_then_files_like_it(repository: Repository) -> None:
    """The document as it is now, not as the disk has it; an open file once, as it is open."""
    repository.open("service.py", "unsaved = 1\n")
    assert searched(repository, "main.py", WRITING) == [
        (0, WRITING.replace(CURSOR, "")),
        (1, "unsaved = 1\n"),
        (2, LOADING),
    ]


def test_what_is_kept_from_others_is_not_searched(repository: Repository) -> None:
    """Ignored files, even if they are open, and files that may hold secrets."""
    repository.write("ignored.py", SERVICE, indexed=False)
    repository.open("ignored.py", SERVICE)
    repository.open(".env", "PASSWORD=abc\n")
    repository.open("notes.ts", SAVING)
    assert [rank for rank, _ in searched(repository, "main.py", WRITING)] == [0, 2, 2]


def test_files_are_chosen_for_some_lines(repository: Repository) -> None:
    """Not for each key; an edit of another document counts at once, and so does another place."""
    texts = CopyTexts(repository.buffers, repository)
    repository.open("loading.py", LOADING)

    def ask(code: str) -> tuple[Text, ...]:
        query = repository.query("main.py", code)
        repository.neighbourhood.prepare(query)
        return texts.texts(query).texts[1:]

    first = ask(WRITING)
    assert ask(WRITING.replace(CURSOR, f"x{CURSOR}"))[0] is first[0]
    repository.edit("loading.py", "rows = []\n")
    assert next(text.text for text in ask(WRITING)) == "rows = []\n"
    repository.write("far.py", "class Distant:\n    distance = 1\n")
    near = WRITING.replace(CURSOR, "x = 1\n    # Distant\n    ¦")
    far = WRITING.replace(CURSOR, "x = 1\n" * (NEAR // 6 + 1) + "# Distant distance\n¦")
    assert not any("Distant" in text.text for text in ask(near))
    assert any("Distant" in text.text for text in ask(far))
    texts.clear()
    assert next(text.text for text in ask(WRITING)) == "rows = []\n"


def test_forgetting_waits_for_no_disk(repository: Repository) -> None:
    """A folder that does not answer stops the thread that reads it, nobody else; what that one
    brings in the end is forgotten, too.
    """
    asked, answer = threading.Event(), threading.Event()

    class Slow:
        """A workspace on a disk that answers when it likes."""

        def __getattr__(self, name: str) -> object:
            return getattr(repository, name)

        def indexes(self) -> Sequence[tuple[Path, Index]]:
            asked.set()
            assert answer.wait(20)
            return list(repository.indexes())

    texts = CopyTexts(repository.buffers, Slow())  # type: ignore[arg-type]
    query = repository.query("main.py", WRITING)
    repository.neighbourhood.prepare(query)
    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(texts.texts, query)
        assert asked.wait(20)
        clearing = pool.submit(texts.clear)
        try:
            clearing.result(5)
        finally:
            answer.set()
        first = reading.result(20).texts[1:]
        again = pool.submit(texts.texts, query).result(20).texts[1:]
    assert [one.text for one in first] == [one.text for one in again] != []
    assert not any(one is other for one, other in zip(first, again, strict=True))


def test_a_file_that_went_is_not_searched(repository: Repository) -> None:
    """The index may be late."""
    (repository.root / "service.py").unlink()
    assert searched(repository, "main.py", WRITING)[1:] == [(2, LOADING)]


def test_there_are_not_too_many_files(repository: Repository) -> None:
    """Those first that share most words."""
    for at in range(2 * MOST_FILES):
        repository.write(f"more{at}.py", f"rows = csv({at})\n")
    texts = searched(repository, "main.py", WRITING)
    assert len(texts) == 1 + MOST_FILES
    assert (2, SERVICE) in texts


def test_files_of_all_folders_compete(tmp_path: Path) -> None:
    """It does not count which folder comes first."""
    repository = Repository(tmp_path / "b", {"main.py": "", "service.py": SERVICE}, tmp_path / "a")
    for at in range(MOST_FILES):
        repository.write(f"../a/more{at}.py", f"rows = {at}\n")
    assert (2, SERVICE) in searched(repository, "main.py", WRITING)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_offsets_are_of_plain_texts(repository: Repository, end: str) -> None:
    """Whatever the line ends of the document."""
    query = repository.query("main.py", f"a = 1{end}b = 2{end}c = ¦3{end}")
    found = CopyTexts(repository.buffers, repository).texts(query)
    assert found.texts[0].text == "a = 1\nb = 2\nc = 3\n"
    assert found.offset == len("a = 1\nb = 2\nc = ")
