"""Suggestions without a model: how sure a guess is, what of it is shown, and how far it goes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen_lsp.completion.copying import Copier, Copy
from codegen_lsp.completion.guesses import FEATURES, WEIGHTS, Around, confidence, guesses
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.buffers import Buffers
from codegen_lsp.context.copies import Text, below, here
from codegen_lsp.context.copies_texts import CopyTexts, Searched
from codegen_lsp.types import CompletionQuery, Snapshot
from tests.support.copies import LOADING, SAVING, SERVICE, Desk, found
from tests.support.cursor import CURSOR, query_at


def copied(code: str, *others: str, language: str = "python", **options: str) -> Copy | None:
    """What is shown at the cursor sign."""
    chosen = Settings(**options)  # type: ignore[arg-type] # names and values of its own
    return Copier(Desk(others)).find(query_at(code, language=language), chosen)


@pytest.mark.parametrize(
    ("code", "others", "shown"),
    [
        # a clone of two lines, in another document and in this one
        ("def close(self):\n    self._session.commit()\n    self._session.close()\n    logger.i¦",
         [SERVICE, SERVICE], 'nfo("closed the session of %s", self._name)'),
        (LOADING.rpartition("urn [")[0] + "¦", [], "urn [User.from_row(row) for row in rows]"),
        # what the next line says already is not said twice
        ("        self._session.commit()\n        self._ses¦\n        self._session.close()\n",
         [SERVICE], None),
        # an editor closed the bracket
        ("def close(self) -> None:\n    self._session.commit()\n    self._session.close()\n"
         "    logger.info(¦)\n", [SERVICE, SERVICE], '"closed the session of %s", self._name'),
        # code stands right of the cursor
        ("def close(self) -> None:\n    self._session.com¦ = 1\n", [SERVICE], None),
        # nothing is known
        ("self._nothing_of_the_kind¦", [SERVICE], None),
        # places differ, and have too little in common
        ("def close(self) -> None:\n    self.¦",
         ["def close(self) -> None:\n    self.a = 1\n", "def close(self) -> None:\n    self.b()\n"],
         None),
    ],
)  # fmt: skip
def test_what_is_shown(code: str, others: Sequence[str], shown: str | None) -> None:
    """The rest of the line, where nearly nothing speaks against it."""
    copy = copied(code, *others)
    assert (None if copy is None else copy.text.partition("\n")[0]) == shown


COMMON = "def close(self) -> None:\n    self._session.commit({})\n"


def test_where_places_differ_what_they_have_in_common() -> None:
    """To the end of a word, if that is long enough to be shown."""
    others = [COMMON.format(name) for name in ("first", "later=True", "now")] * 2
    copy = copied("def close(self) -> None:\n    self._s¦", *others)
    assert copy is not None
    assert copy.text == "ession.commit("
    assert (copy.agreeing, copy.differing) == (6, 0)
    alike = [COMMON.format(name) for name in ("first_name", "first_date", "first_word")] * 2
    copy = copied("def close(self) -> None:\n    self._s¦", *alike)
    assert copy is not None
    assert copy.text == "ession.commit("


BLOCK = """\
    path = self._root / name
    logger.debug("reading %s", path)
    self._asked.add(path)
    try:
        rows = self._read(path, encoding="utf-8")
        self._cache[path] = rows
        self._seen.add(path)
        return rows
    except OSError as error:
        logger.warning("%s cannot be read: %s", path, error)
    return []
"""
READING = [f"def read{at}(self, name):\n{BLOCK}" for at in range(3)]
DEEPER = "class A:\n    def read(self, name):\n" + "".join(
    f"    {line}\n" for line in BLOCK.splitlines()
)


def test_further_lines_are_copied_where_many_agree() -> None:
    """Indented as they are to be here, a few of them, no farther than an answer would go."""
    before, line, after = DEEPER.partition("rows = self._read")
    copy = copied(f"{before}{CURSOR}", *READING)
    assert copy is not None
    assert copy.text.count("\n") == 3
    assert (line + after).startswith(copy.text + "\n")
    before, line, after = DEEPER.partition("return rows")
    copy = copied(f"{before}{CURSOR}", *READING)
    assert copy is not None
    assert copy.text == line


LOCKED = """\
def put(self, name, rows):
    path = self._root / name
    logger.debug("putting %s", path)
    with self._locks.of(path):
        self._write(path, rows)
        self._cache[path] = rows
"""
OTHERWISE = LOCKED.replace("self._write(path, rows)", "self._append(path, rows)")


@pytest.mark.parametrize(
    ("others", "settings", "lines"),
    [
        ([LOCKED], {}, 1),
        ([LOCKED] * 3, {}, 3),
        ([LOCKED] * 3, {"multiline": "never"}, 1),
        ([LOCKED, LOCKED, OTHERWISE], {}, 1),
    ],
)
def test_where_few_agree_a_line_is_copied_alone(
    others: Sequence[str], settings: dict[str, str], lines: int
) -> None:
    """Or where places go on differently, or the setting wants lines only."""
    copy = copied(LOCKED.partition("cks.of")[0] + CURSOR, *others, **settings)
    assert copy is not None
    wanted = LOCKED.partition("self._lo")[2].rstrip().split("\n")
    assert copy.text.split("\n") == wanted[:lines]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_line_end_is_the_documents(end: str) -> None:
    """Whatever the line ends of the place are."""
    before, line, after = DEEPER.partition("rows = self._read")
    query = query_at(f"{before}{CURSOR}".replace("\n", end))

    class Plain(Desk):
        def texts(self, query: CompletionQuery) -> Searched:
            texts = (Text("a", before), *Desk.texts(self, query).texts[1:])
            return Searched(texts, len(before))

    copy = Copier(Plain(READING)).find(query, Settings())
    assert copy is not None
    assert copy.text.count(end) == 3
    assert (line + after).startswith(copy.text.replace(end, "\n"))


def sure(code: str, *others: str) -> float:
    """How likely the first guess is right."""
    query = query_at(code)
    text, offset = query.snapshot.text, query.offset
    around = Around(here(text, offset), offset, below(text, offset))
    return confidence(next(guesses(found(code, *others), around)), around)


def test_what_makes_a_guess_likely() -> None:
    """More that is the same, more places that agree, fewer that do not, the same line below."""
    assert len(WEIGHTS) == len(FEATURES)
    code, line = "total = sum(prices)\nreport(¦", "total = sum(prices)\nreport(total)\n"
    plain = sure(code, line)
    assert sure(code, line, line) > plain
    assert sure(code, line, line.replace("(total)", "(today)")) < plain
    assert sure(f"prices = read_all(shops)\n{code}", f"prices = read_all(shops)\n{line}") > plain
    assert sure(f"{code}\nsend(report)", f"{line}send(report)") > plain


def test_what_stands_below_is_no_guess() -> None:
    """What all places go on with is there already; who writes there writes something else."""
    line = "total = sum(prices)\nreport(total)\n"
    for under, ends in (("", True), ("report(total)\n", False), ("send(total)\n", True)):
        code = f"total = sum(prices)\nrepo¦\n\n{under}"
        query = query_at(code)
        text, offset = query.snapshot.text, query.offset
        around = Around(here(text, offset), offset, below(text, offset))
        places = [place for place in found(code, line) if place.source.rank]
        assert any(guess.ends for guess in guesses(places, around)) is ends


def test_settings_say_how_sure_is_enough() -> None:
    """An eager one shows what a quiet one does not."""
    line = "total = sum(prices)\nreport_to(total)\n"
    shown = {
        setting: copied("total = sum(prices)\nrepo¦", line, suggestions=setting)
        for setting in ("eager", "quiet")
    }
    assert shown["eager"] is not None
    assert shown["quiet"] is None


def test_other_languages() -> None:
    """Lines are lines."""
    code = SAVING.replace("items", "users").replace("  localStorage", "  ¦", 1).partition(CURSOR)[0]
    copy = copied(code.replace("users", "items") + "local¦\n}\n", SAVING, language="typescript")
    assert copy is not None
    assert copy.text == 'Storage.setItem("items", text);'


def test_without_a_workspace() -> None:
    """A document that no editor opened, in no folder."""
    texts = CopyTexts(Buffers())
    copy = Copier(texts).find(
        query_at(LOADING.rpartition("        ret")[0] + "        ret¦"), Settings()
    )
    assert copy is not None
    assert copy.path == "file:///a.py"


PASSAGES = st.lists(
    st.sampled_from(
        [
            "rows = read(path)",
            "    if rows:",
            "\n",
            "\r\n",
            "\r",
            "(",
            ")",
            "\t",
            '"""',
            "é𝄞\u2028",
            "\ud800",
        ]
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(PASSAGES, PASSAGES, st.data())
def test_whatever_the_texts_are(own: list[str], other: list[str], data: st.DataObject) -> None:
    """Nothing is raised, and what is shown can be put where the cursor is."""
    text = "".join(own)
    offset = data.draw(st.integers(0, len(text)))
    query = CompletionQuery(Snapshot("file:///a.py", "python", text), offset)
    buffers = Buffers()
    buffers.opened("file:///b.py", "python", lambda: "".join(other))
    buffers.take()
    copier = Copier(CopyTexts(buffers))
    copy = copier.find(query, Settings(suggestions="eager"))
    assert copy is None or copy.text.strip()
    assert copy is None or not set("\r\n") & set(text[offset : offset + copy.replaced])
