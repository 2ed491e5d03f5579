"""The script of ``bench typing``: whatever is accepted, what is typed is the code."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen_lsp.errors import UsageError
from codegen_lsp.evaluation.bench import script as script_module
from codegen_lsp.evaluation.bench.desk import Desk
from codegen_lsp.evaluation.bench.script import (
    Page,
    Script,
    Stroke,
    Typist,
    Visit,
    strokes,
    word_of,
)
from codegen_lsp.evaluation.bench.visits import FEWEST_KEYS, LATELY, LINES, make_script

FUNCTION = '''\
def total_{0}(rows: list[int]) -> int:
    """All of {0} together."""
    found = 0
    for row in rows:
        if row > {0}_limit:
            found += row

    return found


'''

PAGES = [
    Page(f"shop/part_{number}.py", "".join(FUNCTION.format(name) for name in names))
    for number, names in enumerate([("bread", "milk", "eggs"), ("paper", "ink", "glue", "tape")])
]

Choice = Callable[[Typist], str]
"""What is accepted before the next key; ``""``: nothing."""


def play(script: Script, choose: Choice) -> tuple[Desk, int]:
    """The desk after the whole script, and the keys that were typed; looks at every step."""
    desk, typed = Desk(script), 0
    for number, visit in enumerate(script.visits):
        target = script.target(visit)
        typist, cursor = Typist(strokes(script, number)), desk.begin(number)
        start = cursor.offset
        while not typist.done:
            accepted = choose(typist) if typist.straight else ""
            if accepted:
                typist.accept(accepted)
                cursor = desk.insert(number, cursor, accepted)
            else:
                action = typist.press()
                typed += 1
                cursor = (
                    desk.insert(number, cursor, action.text)
                    if action.kind == "insert"
                    else desk.delete(number, cursor)
                )
            if typist.straight:
                there = desk.texts[visit.page][start : cursor.offset]
                assert there + typist.rest == target
    return desk, typed


@given(seed=st.integers(0, 10_000), data=st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_is_accepted_the_pages_are_whole(seed: int, data: st.DataObject) -> None:
    """Accepting any beginning of the rest at any moment changes nothing of what comes about."""
    lengths = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=40))
    waiting = iter(lengths * 1000)
    desk, _ = play(make_script(PAGES, seed), lambda typist: typist.rest[: next(waiting)])
    assert desk.texts == [page.text for page in PAGES]


def test_without_suggestions_every_character_is_typed() -> None:
    """A key each, a line break bringing its indentation; slips cost keys and leave no trace."""
    script = make_script(PAGES, 3)
    desk, typed = play(script, lambda _: "")
    assert desk.texts == [page.text for page in PAGES]
    slips = sum(2 * len(key.slip) for n in range(len(script.visits)) for key in strokes(script, n))
    keys = sum(len(strokes(script, number)) for number in range(len(script.visits)))
    assert typed == keys + slips


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_visits_do_not_overlap(seed: int) -> None:
    """No stretch of a page is typed twice, none is longer than a visit may be."""
    script = make_script(PAGES, seed)
    assert script.visits
    taken: set[tuple[int, int]] = set()
    for visit in script.visits:
        places = {(visit.page, at) for at in range(visit.start, visit.end)}
        assert places
        assert places.isdisjoint(taken)
        assert script.target(visit).count("\n") <= LINES[1]
        taken |= places


USUAL = [
    (1, 441, 455), (2, 776, 809), (3, 108, 138), (0, 348, 365), (1, 87, 108), (3, 476, 506),
    (0, 551, 592), (1, 776, 809), (0, 87, 108),
]  # fmt: skip
"""Page, start and end of what the first version typed in four files with 300 keys."""


def pages(count: int) -> list[Page]:
    """Files like those of a workspace: none is like another, some are short."""
    names = [f"part{number}" for number in range(7)]
    return [
        Page(f"shop/{number}.py", "".join(map(FUNCTION.format, names[: 4 + number % 4])))
        for number in range(count)
    ]


def visited(script: Script, keys: int) -> list[int]:
    """The pages of the visits that *keys* keys lead to, where nothing is suggested."""
    found: list[int] = []
    for number, visit in enumerate(script.visits):
        if keys <= 0:
            break
        found.append(visit.page)
        typist = Typist(strokes(script, number))
        while not typist.done:
            typist.press()
            keys -= 1
    return found


@given(seed=st.integers(0, 10_000), files=st.integers(1, 40), spare=st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_all_files_are_visited(seed: int, files: int, spare: int) -> None:
    """Within the keys there are, be they as few as can be, though every one has to be typed."""
    keys = FEWEST_KEYS * files + spare
    script = make_script(pages(files), seed, keys)
    assert set(visited(script, keys)) == set(range(files))
    for visit in script.visits:
        text = script.pages[visit.page].text
        assert script.target(visit).strip()
        assert text[visit.end] == "\n"  # nothing of a line is left right of the cursor
        assert script.target(visit).count("\n") <= LINES[1]
    for one, other in itertools.pairwise(sorted(script.visits, key=lambda v: (v.page, v.start))):
        assert one.page < other.page or one.end < other.start  # code stands between them
    desk, _ = play(script, lambda _: "")
    assert desk.texts == [page.text for page in script.pages]


@pytest.mark.parametrize("seed", range(5))
def test_slips_cost_no_visit(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were every letter a wrong one at first, all files were visited none the less."""
    monkeypatch.setattr(script_module, "SLIP_SHARE", 1.0)
    for keys in (FEWEST_KEYS * 30, 7 * 30):
        assert set(visited(make_script(pages(30), seed, keys), keys)) == set(range(30))


@pytest.mark.parametrize("seed", range(5))
def test_a_tour_is_even_and_goes_back(seed: int) -> None:
    """Files are come to all along, between returns to those of a moment ago; then it goes on."""
    files, keys = 60, 900
    script = make_script(pages(files), seed, keys)
    half = visited(script, keys // 2)
    assert 0.35 * files < len(set(half)) < 0.65 * files
    order = visited(script, keys)
    returns = [at for at, page in enumerate(order) if page in order[:at]]
    assert 0.15 < len(returns) / len(order) < 0.45
    assert all(order[at] in list(dict.fromkeys(order[:at]))[-LATELY:] for at in returns[:10])
    assert sum(len(strokes(script, number)) for number in range(len(script.visits))) > 1.7 * keys


def test_where_keys_are_plenty_nothing_is_cut() -> None:
    """The script begins with the one without any bound; it goes on as long as there is code."""
    short, long = make_script(PAGES, 2), make_script(PAGES, 2, 100_000)
    assert long.visits[: len(short.visits)] == short.visits
    assert len(long.visits) > len(short.visits)
    desk, _ = play(long, lambda _: "")
    assert desk.texts == [page.text for page in PAGES]


def test_the_usual_session_is_what_it_was() -> None:
    """300 keys in four files: figures of earlier versions can be compared. Now it goes on."""
    script = make_script(pages(4), 0, 300)
    places = [(one.page, one.start, one.end) for one in script.visits]
    assert places[: len(USUAL)] == USUAL
    assert sum(len(strokes(script, number)) for number in range(len(places))) > 500


def test_too_few_keys_are_refused() -> None:
    """In one line that says what would do."""
    with pytest.raises(UsageError, match="99 keys do not lead to 25 files") as caught:
        make_script(pages(25), 0, 99)
    assert caught.value.mend == "--keystrokes 100 or more, or --files 24 or fewer"


def test_same_seed_same_script() -> None:
    """Peers get the very same keys; another seed types something else."""
    first, again, other = (make_script(PAGES, seed) for seed in (5, 5, 6))
    assert first == again
    assert strokes(first, 0) == strokes(again, 0)
    assert first.visits != other.visits


def test_gaps_are_human() -> None:
    """Half of them are below 180 ms, quick ones follow quick ones, some lines end in thought."""
    text = "".join(FUNCTION.format(f"name{number}") for number in range(300))
    script = Script((Page("a.py", text),), (Visit(0, 0, len(text)),), 1)
    keys = strokes(script, 0)
    gaps = [key.gap for key in keys]
    assert 0.15 < statistics.median(gaps) < 0.21
    assert statistics.correlation(gaps[:-1], gaps[1:]) > 0.1
    thoughts = [key.gap > 1.0 for key in keys if key.text.startswith("\n")]
    assert 0.05 < sum(thoughts) / len(thoughts) < 0.3
    assert 0.005 < sum(bool(key.slip) for key in keys) / len(keys) < 0.03


def test_a_slip_is_typed_noticed_and_deleted() -> None:
    """The wrong letter, one right one after it, both deleted, then on."""
    typist = Typist((Stroke("a", 0.1, slip="sb"), Stroke("b", 0.1)))
    kinds = []
    while not typist.done:
        action = typist.press()
        kinds.append((action.kind[0], action.text))
    assert kinds == [("i", "s"), ("i", "b"), ("d", "b"), ("d", "s"), ("i", "a"), ("i", "b")]


def test_nothing_is_accepted_into_a_slip() -> None:
    """While a wrong letter stands there no suggestion is right."""
    typist = Typist((Stroke("a", 0.1, slip="s"), Stroke("b", 0.1)))
    typist.press()
    with pytest.raises(ValueError, match="right"):
        typist.accept("a")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("return found", "return"),
        (" found + 1", " found"),
        ("(rows)", "("),
        ("  ", "  "),
        ("\n    return", "\n    return"),
        ("x", "x"),
        ("größe = 1", "größe"),
    ],
)
def test_word(text: str, word: str) -> None:
    """Blanks and one word, or blanks and one sign; a line break is not cut."""
    assert word_of(text) == word
