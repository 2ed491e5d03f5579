"""The index: what it answers is what its files say, whatever happened before."""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from codegen_lsp.context import index as module
from codegen_lsp.context.facts import FileFacts, Symbol
from codegen_lsp.context.files import Stamp
from codegen_lsp.context.index import Index, Place
from codegen_lsp.context.multimap import Multimap
from codegen_lsp.context.postings import Entry, Postings
from codegen_lsp.context.words import packed_ids, word_ids


def facts(
    path: str,
    text: str = "",
    symbols: Sequence[Symbol] = (),
    *,
    language: str = "python",
    mtime: int = 1,
    imports: Sequence[str] = (),
) -> FileFacts:
    words = packed_ids(text)
    return FileFacts(path, language, len(text), mtime, words, tuple(symbols), tuple(imports))


def filled(*files: FileFacts) -> Index:
    index = Index()
    for file in files:
        index.add(file)
    return index


def ranked(index: Index, query: str, **options: object) -> list[str]:
    found = index.similar(word_ids(query), **{"limit": 10, **options})  # type: ignore[arg-type]
    return [path for path, _ in found]


def test_a_file_is_what_it_was_last_said_to_be() -> None:
    """Adding again replaces, removing forgets, and every change has a version."""
    index = Index()
    index.add(facts("a.py", "parse rows", [Symbol("parse", "function", 0, 2, 0)], mtime=1))
    first = index.version
    index.add(facts("a.py", "draw lines", [Symbol("draw", "function", 0, 2, 0)], mtime=2))
    assert index.version > first
    assert (len(index), index.paths(), index.stamp("a.py")) == (1, ["a.py"], Stamp(10, 2))
    assert index.defining("parse") == ()
    assert index.defining("draw") == (Place("a.py", 0, 2, "function"),)
    assert ranked(index, "parse") == []
    assert ranked(index, "draw") == ["a.py"]
    second = index.version
    index.remove("a.py")
    assert index.version > second
    assert (len(index), index.paths(), index.stamp("a.py")) == (0, [], None)
    assert (index.defining("draw"), index.symbols("a.py"), index.imports("a.py")) == ((), (), ())
    assert ranked(index, "draw") == []
    third = index.version
    index.remove("a.py")
    assert index.version == third


def test_symbols_and_imports_come_back_as_they_were_given() -> None:
    """In the order of the file."""
    symbols = (Symbol("B", "class", 3, 9, 0), Symbol("a", "method", 4, 6, 1))
    index = filled(facts("a.py", symbols=symbols, imports=("os", "..b")))
    assert index.symbols("a.py") == symbols
    assert index.imports("a.py") == ("os", "..b")


def test_definitions_are_outer_first_then_by_path_and_line() -> None:
    """The order does not depend on the order in which files came."""
    method = Symbol("load", "method", 5, 8, 1)
    index = filled(
        facts("z.py", symbols=[Symbol("load", "function", 7, 9, 0)]),
        facts("b.py", symbols=[method]),
        facts("a.py", symbols=[method, Symbol("load", "method", 1, 3, 1)]),
    )
    assert index.defining("load") == (
        Place("z.py", 7, 9, "function"),
        Place("a.py", 1, 3, "method"),
        Place("a.py", 5, 8, "method"),
        Place("b.py", 5, 8, "method"),
    )


def test_a_name_that_everybody_defines_is_defined_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would cost time and say nothing; when files go it may say something again."""
    monkeypatch.setattr(module, "MOST_FILES", 2)
    files = [facts(f"{n}.py", symbols=[Symbol("main", "function", 0, 1, 0)]) for n in "abc"]
    index = filled(*files)
    assert index.defining("main") == ()
    index.remove("b.py")
    assert [place.path for place in index.defining("main")] == ["a.py", "c.py"]


def test_rare_words_count_more_than_common_ones() -> None:
    """What is in every file does not make files alike."""
    common = [facts(f"{n}.py", f"request response session {n * 3}") for n in "abcdef"]
    index = filled(*common, facts("x.py", "request tokenizer unused_words more_words"))
    assert ranked(index, "request tokenizer")[0] == "x.py"
    rarity = index.rarity(np.sort(word_ids("request tokenizer absent")))
    by_word = dict(zip(word_ids("request tokenizer absent").tolist(), rarity, strict=True))
    common_one, rare, absent = (by_word[int(word_ids(w)[0])] for w in WEIGHED)
    assert 0 < common_one < rare < absent


WEIGHED = ("request", "tokenizer", "absent")


def test_a_long_file_does_not_win_by_being_long() -> None:
    """Of two files with the same shared words the shorter one is about them."""
    long = " ".join(f"filler{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(600))
    index = filled(facts("long.py", f"parse header {long}"), facts("short.py", "parse header line"))
    assert ranked(index, "parse header") == ["short.py", "long.py"]


def test_similar_files_can_be_limited() -> None:
    """To a number, to others than some, to a language and what people mix it with."""
    index = filled(
        facts("a.ts", "render widget", language="typescript"),
        facts("b.js", "render widget frame", language="javascript"),
        facts("c.py", "render widget frame colour"),
        facts("d.py", "unrelated"),
    )
    query = "render widget"
    assert ranked(index, query) == ["a.ts", "b.js", "c.py"]
    assert ranked(index, query, limit=2) == ["a.ts", "b.js"]
    assert ranked(index, query, limit=0) == []
    assert ranked(index, query, exclude=["a.ts", "gone.py"]) == ["b.js", "c.py"]
    assert ranked(index, query, language_id="javascriptreact") == ["a.ts", "b.js"]
    assert ranked(index, query, language_id="python") == ["c.py"]
    assert ranked(index, query, language_id="go") == []
    assert ranked(index, "") == []
    assert ranked(Index(), query) == []


def test_common_words_are_left_out_only_where_there_are_others() -> None:
    """A query of common words alone is still answered."""
    index = filled(*(facts(f"f{n:02}.py", f"connect socket {chr(97 + n)}word") for n in range(20)))
    assert len(ranked(index, "connect socket", limit=50)) == 20


PIECES = ("load", "parse", "row", "header", "socket", "retry", "colour", "frame", "tensor", "loss")
PATHS = [f"{folder}/f{n}.py" for folder in ("a", "b/c", "d") for n in range(6)]


class Model(RuleBasedStateMachine):
    """Random changes, against a dictionary that is searched from one end to the other."""

    def __init__(self) -> None:
        super().__init__()
        self.index = Index()
        self.files: dict[str, FileFacts] = {}

    @rule(
        path=st.sampled_from(PATHS),
        words=st.lists(st.sampled_from(PIECES), max_size=8),
        names=st.lists(st.sampled_from("fgh"), max_size=3),
        mtime=st.integers(0, 9),
    )
    def add(self, path: str, words: list[str], names: list[str], mtime: int) -> None:
        symbols = [Symbol(name, "function", n, n + 1, 0) for n, name in enumerate(names)]
        self.files[path] = facts(path, " ".join(words), symbols, mtime=mtime)
        self.index.add(self.files[path])

    @rule(path=st.sampled_from(PATHS))
    def remove(self, path: str) -> None:
        self.files.pop(path, None)
        self.index.remove(path)

    @rule(folder=st.sampled_from(["a", "b/c", "d"]))
    def remove_folder(self, folder: str) -> None:
        for path in [path for path in self.files if path.startswith(folder)]:
            self.remove(path)

    @rule(query=st.lists(st.sampled_from(PIECES), max_size=10, unique=True))
    def similar(self, query: list[str]) -> None:
        found = self.index.similar(word_ids(" ".join(query)), limit=100)
        expected = self.scores(query)
        assert dict(found) == pytest.approx(expected)
        assert found == sorted(found, key=lambda pair: (-pair[1], pair[0]))
        few = self.index.similar(word_ids(" ".join(query)), limit=3)
        assert few == found[:3]

    def scores(self, query: list[str]) -> dict[str, float]:
        """The same formula, one file and one word at a time."""
        sets = {path: set(ids(file)) for path, file in self.files.items()}
        count = len(sets)
        average = max(1.0, sum(map(len, sets.values())) / max(1, count))
        wanted = {w: sum(w in s for s in sets.values()) for w in word_ids(" ".join(query)).tolist()}
        rare = {w: df for w, df in wanted.items() if 0 < df <= max(1.0, 0.15 * count)}
        if len(rare) >= 8:
            wanted = rare
        weight = {w: math.log1p((count - df + 0.5) / (df + 0.5)) for w, df in wanted.items()}
        scores = {
            path: sum(weight[w] for w in weight.keys() & mine)
            * (2.2 / (1 + 1.2 * (0.65 + 0.35 * len(mine) / average)))
            for path, mine in sets.items()
        }
        return {path: score for path, score in scores.items() if score}

    @invariant()
    def is_the_dictionary(self) -> None:
        assert sorted(self.index.paths()) == sorted(self.files)
        assert len(self.index) == len(self.files)
        for path in PATHS:
            file = self.files.get(path)
            assert self.index.stamp(path) == (None if file is None else file.stamp)
            assert self.index.symbols(path) == (() if file is None else file.symbols)
        for name in "fgh":
            expected = sorted(
                (path, symbol.start_line)
                for path, file in self.files.items()
                for symbol in file.symbols
                if symbol.name == name
            )
            found = [(place.path, place.start_line) for place in self.index.defining(name)]
            assert found == expected
        for folder in ("a", "b/c", "d"):
            there = f"{folder}/f1.py" in self.files
            name = f"{folder}.f1".replace("/", ".")
            found_at = self.index.resolve(name, "x.py", "python")
            assert found_at == (f"{folder}/f1.py" if there else None)


def ids(file: FileFacts) -> list[int]:
    found: list[int] = np.frombuffer(file.words, np.uint32).tolist()
    return found


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=60, deadline=None)


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(12)), st.lists(st.integers(0, 11), max_size=8))
def test_answers_do_not_depend_on_how_the_files_came(order: list[int], again: list[int]) -> None:
    """Not even in the last bit: the same files, the same prompt."""
    files = [facts(f"{n}.py", " ".join(PIECES[n % 5 : 3 + n // 2])) for n in range(12)]
    one, other = filled(*files), filled(*(files[n] for n in [*order, *again]))
    for file in order[:3]:
        other.remove(files[file].path)
        other.add(files[file])
    query = word_ids(" ".join(PIECES))
    assert one.similar(query, limit=20) == other.similar(query, limit=20)


def test_files_that_are_gone_do_not_take_memory() -> None:
    """A branch with a thousand files less needs the memory of those it has."""
    postings = Postings()
    for n in range(64):
        postings.add(Entry(f"{n}.py", packed_ids(f"common word{PIECES[n % 10]}"), 1))
        settle(postings)
    assert postings.held == 64
    for n in range(60):
        postings.remove(f"{n}.py")
        settle(postings)
    assert 4 <= postings.held <= 8
    found = postings.rank(word_ids("common"), 100, (), 0)
    assert [path for path, _ in found] == [f"{n}.py" for n in range(60, 64)]


def settle(postings: Postings) -> None:
    while (merge := postings.due()) is not None:
        postings.merge(merge, merge.build())


def test_files_may_come_and_go_while_segments_become_one() -> None:
    """What is built takes time, and the index is used and changed meanwhile."""
    postings = Postings()
    for n in range(8):
        postings.add(Entry(f"{n}.py", packed_ids("common"), 1))
    merge = postings.due()
    assert merge is not None
    built = merge.build()
    postings.remove("3.py")
    postings.remove("5.py")
    postings.add(Entry("5.py", packed_ids("other"), 1))
    postings.merge(merge, built)
    settle(postings)
    found = postings.rank(word_ids("common"), 100, (), 0)
    assert [path for path, _ in found] == [f"{n}.py" for n in (0, 1, 2, 4, 6, 7)]
    assert [path for path, _ in postings.rank(word_ids("other"), 100, (), 0)] == ["5.py"]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), st.sampled_from("xyz"))))
def test_a_multimap_is_a_dictionary_of_sets(steps: list[tuple[bool, str, str]]) -> None:
    """Smaller, and its values are always in the same order."""
    multimap, sets = Multimap(), defaultdict[str, set[str]](set)
    for adds, key, value in steps:
        if adds:
            multimap.add(key, value)
            sets[key].add(value)
        else:
            multimap.discard(key, value)
            sets[key].discard(value)
        assert multimap[key] == tuple(sorted(sets[key]))
        assert len(multimap) == sum(bool(values) for values in sets.values())


def change(index: Index, thread: int) -> None:
    """Add files of one thread in turn, and remove every third at once."""
    for n in range(300):
        path = f"{thread}/{n % 20}.py"
        names = [Symbol(f"t{thread}", "function", 0, 1, 0)]
        index.add(facts(path, f"common word{'abc'[n % 3]}", names))
        if n % 3 == 0:
            index.remove(path)


def ask(index: Index, ended: threading.Event) -> None:
    query = word_ids("common worda wordb")
    while not ended.is_set():
        assert all(score > 0 for _, score in index.similar(query, limit=10))
        assert all(place.path.startswith("1/") for place in index.defining("t1"))


def test_many_threads_may_use_one_index() -> None:
    """Who asks never sees half of a change, and no change is lost."""
    index, ended = Index(), threading.Event()
    with ThreadPoolExecutor(5) as pool:
        askers = [pool.submit(ask, index, ended) for _ in range(2)]
        changers = [pool.submit(change, index, thread) for thread in range(3)]
        for changer in changers:
            changer.result()
        ended.set()
        for asker in askers:
            asker.result()
    # File k is last touched in step 280 + k, and removed there if 3 divides it.
    left = {f"{thread}/{k}.py" for thread in range(3) for k in range(20) if (280 + k) % 3}
    assert set(index.paths()) == left
    assert {path for path, _ in index.similar(word_ids("common"), limit=100)} == left
