"""Answers that are there already, and when they are of no use any more."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.completion.cache import Cache, Said, entry_of
from codegen_lsp.types import Completion, CompletionQuery, Piece, Snapshot, Source, Trigger
from tests.support.cursor import query_at

AUTOMATIC, INVOKED = Trigger.AUTOMATIC, Trigger.INVOKED


def completion(query: CompletionQuery, text: str, replaced: int = 0) -> Completion:
    """*text* at the cursor."""
    end = query.offset + replaced
    return Completion(text, query.offset, end, Source.COLD, "model")


def said(*texts: str, over: bool = False) -> Said:
    """Pieces of likelihood -1."""
    return Said(tuple(Piece(text, -1.0) for text in texts), over)


def filled(code: str, shown: str | None, words: Said | None = None, replaced: int = 0) -> Cache:
    """A cache that knows of one place."""
    cache, query = Cache(), query_at(code)
    found = None if shown is None else completion(query, shown, replaced)
    cache.put(entry_of(query, "stamp", found, words))
    return cache


@dataclass(frozen=True)
class Row:
    """A place, what was answered there, another place and what is known of it."""

    was: str
    shown: str | None
    now: str
    rest: str | None
    replaced: int = 0
    source: Source = Source.TYPED


@pytest.mark.parametrize(
    "row",
    [
        Row("x = ¦\n", "value + 1", "x = ¦\n", "value + 1", source=Source.CACHE),
        Row("x = ¦\n", "value + 1", "x = val¦\n", "ue + 1"),
        Row("x = ¦\n", "value + 1", "x = value + 1¦\n", None),  # nothing is left
        Row("x = ¦\n", "value + 1", "x = va¦l\n", None),  # something else follows
        Row("x = ¦\n", "value + 1", "x = vx¦\n", None),  # something else was typed
        Row("x = ¦\n", "value + 1", "y = val¦\n", None),  # something else stands before
        Row("x = ¦\n", "value + 1", "x = val¦\ny\n", None),
        Row("x = ¦\n", "value + 1", "x =¦\n", None),  # deleted back beyond the place
        Row("x = ¦\n", "a:\n    b", "x = a:\n  ¦\n", "  b"),
        Row("f(¦)\n", "a) + 1", "f(a¦)\n", ") + 1", replaced=1),
        Row("f(¦)\n", "a) + 1", "f(a) + 1¦\n", None, replaced=1),
        Row("x = ¦\n", None, "x = ¦\n", None),
        Row("x = ¦\n", "   ", "x =  ¦\n", None),
    ],
)
def test_what_is_left_of_a_completion(row: Row) -> None:
    """Only what continues what was shown, with everything else as it was."""
    query = query_at(row.now)
    cache = filled(row.was, row.shown, replaced=row.replaced)
    rests = [found.rest(query) for found in cache.find(query, "stamp")]
    texts = [rest.text for rest in rests if rest is not None]
    assert texts == ([] if row.rest is None else [row.rest])
    for rest in rests:
        if rest is not None:
            assert (rest.start, rest.end) == (query.offset, query.offset + row.replaced)
            assert rest.source is row.source


@pytest.mark.parametrize(
    ("now", "left"),
    [
        ("x = ¦\n", ["fetch", "(", "url", ")", "\n", "y"]),
        ("x = fet¦\n", ["ch", "(", "url", ")", "\n", "y"]),
        ("x = fetch(¦)\n", ["url", ")", "\n", "y"]),  # the editor closed the bracket
        ("x = fetch(¦))\n", ["url", ")", "\n", "y"]),
        ("x = fetch(¦x)\n", None),
        ("x = fetch(url)\n¦\n", ["y"]),
        ("x = fetch(url)\ny¦\n", []),
        ("x = fetch(url)\nz¦\n", None),
    ],
)
def test_what_is_left_of_what_was_said(now: str, left: list[str] | None) -> None:
    """More than was shown, and what was not shown at all, is still an answer to its beginning."""
    cache = filled("x = ¦\n", None, said("fetch", "(", "url", ")", "\n", "y"))
    found = [one.left() for one in cache.find(query_at(now), "stamp")]
    texts = [[piece.text for piece in one.pieces] for one in found if one is not None]
    assert texts == ([] if left is None else [left])


@pytest.mark.parametrize(
    ("now", "shown", "replaced"),
    [("f(a) + 1¦\n", "a) + 1", 1), ("f(a) + 1¦)\n", "a) + 1", 0)],
)
def test_accepting_leads_on(now: str, shown: str, replaced: int) -> None:
    """Where accepting leads, what was said beyond is known, whatever accepting replaced."""
    cache = filled("f(¦)\n", shown, said("a)", " + 1", "\n", "b"), replaced)
    (found,) = cache.find(query_at(now), "stamp")
    left = found.left()
    assert left is not None
    assert left.text == "\nb"


@pytest.mark.parametrize(
    ("was", "now", "typed", "answers"),
    [
        (AUTOMATIC, AUTOMATIC, "", True),
        (AUTOMATIC, INVOKED, "", False),  # who asks may hope for more
        (AUTOMATIC, INVOKED, "v", False),
        (INVOKED, AUTOMATIC, "v", True),
        (INVOKED, AUTOMATIC, "", False),
        (INVOKED, INVOKED, "v", True),
    ],
)
def test_triggers(was: Trigger, now: Trigger, typed: str, answers: bool) -> None:
    """An answer that was asked for may go on automatically; not the other way round."""
    cache, asked = Cache(), query_at("x = ¦\n", was)
    cache.put(entry_of(asked, None, completion(asked, "value"), None))
    query = query_at(f"x = {typed}¦\n", now)
    assert any(found.rest(query) for found in cache.find(query, None)) is answers


def test_nothing_is_known_as_nothing_for_the_same_question_only() -> None:
    """There was nothing to suggest: that holds until something changes."""
    cache = filled("x = ¦\n", None, said("a"))
    for code, trigger, known in (
        ("x = ¦\n", AUTOMATIC, True),
        ("x = ¦\n", INVOKED, False),
        ("x = a¦\n", AUTOMATIC, False),
    ):
        query = query_at(code, trigger)
        assert [one.is_known_nothing(query) for one in cache.find(query, "stamp")] == [known]


def test_another_stamp_document_or_language_is_another_question() -> None:
    """What an answer depended on has to be the same."""
    cache, query = filled("x = ¦\n", "value"), query_at("x = ¦\n")
    assert list(cache.find(query, "another")) == []
    for snapshot in (
        Snapshot("file:///other.py", "python", query.snapshot.text),
        Snapshot(query.snapshot.uri, "ruby", query.snapshot.text),
    ):
        assert list(cache.find(CompletionQuery(snapshot, query.offset), "stamp")) == []
    cache.forget(query.snapshot.uri)
    assert list(cache.find(query, "stamp")) == []


def test_what_was_not_used_for_longest_goes_first() -> None:
    """The cache is bounded, and finding is using."""
    cache, queries = Cache(most=3), [query_at(f"{n}¦") for n in range(4)]
    for query in queries[:3]:
        cache.put(entry_of(query, None, completion(query, "x"), None))
    assert list(cache.find(queries[0], None))
    cache.put(entry_of(queries[3], None, completion(queries[3], "x"), None))
    assert len(cache) == 3
    assert [bool(list(cache.find(query, None))) for query in queries] == [True, False, True, True]
    cache.put(entry_of(queries[3], None, None, None))  # the same place again
    assert len(cache) == 3


def test_the_line_ends_of_the_document() -> None:
    """The model says LF, whatever the document has."""
    query = query_at("x = ¦\r\n")
    cache = Cache()
    cache.put(entry_of(query, None, completion(query, "a\r\nb"), said("a", "\n", "b", "c")))
    later = query_at("x = a\r\nb¦\r\n")
    assert [one.left() for one in cache.find(later, None)] == [said("c")]


texts = st.text("ab\n )", max_size=8)


@given(texts, texts, texts, texts, texts)
def test_whatever_is_found_fits(
    before: str, after: str, answer: str, typed: str, other: str
) -> None:
    """What is left, put behind what was typed, is the answer; the rest of the text is the same."""
    query = query_at(f"{before}¦{after}")
    cache = Cache()
    cache.put(entry_of(query, None, completion(query, answer), said(answer)))
    for text, offset in (
        (before + typed + after, len(before + typed)),
        (before + typed + other, len(before + typed)),
        (other + typed + after, len(other + typed)),
    ):
        now = CompletionQuery(replace(query.snapshot, text=text), offset)
        for found in cache.find(now, None):
            rest, left = found.rest(now), found.left()
            assert text[:offset] == before + found.typed
            if rest is not None:
                assert found.typed + rest.text == answer
                assert text[offset:] == after
            if left is not None:
                assert found.typed + left.text == answer
                assert text[offset:].endswith(after)


@given(st.lists(st.text("ab", max_size=3), max_size=6), st.integers(0, 20))
def test_what_is_left_is_cut_between_and_in_pieces(pieces: list[str], count: int) -> None:
    """Characters go from the front; a piece that was begun stays with what is left of it."""
    words = said(*pieces)
    left = words.after(count)
    assert left.text == words.text[count:]
    assert all(piece.log_prob == -1.0 for piece in left.pieces)
    ends = {len("".join(pieces[:number])) for number in range(len(pieces) + 1)}
    assert left.begun is (count not in ends and count < len(words.text))
