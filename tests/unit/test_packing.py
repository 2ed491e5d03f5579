"""From pieces to snippets that fit: rankings, overlaps, repetitions, room."""

from __future__ import annotations

import string

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codegen_lsp.context.packing import MOST_ROWS, WEIGHTS, Piece, contents, fuse, pack
from codegen_lsp.context.pages import Page
from codegen_lsp.types import Origin


def page(name: str, text: str) -> Page:
    """A page nobody wrote to disk."""
    return Page(name, name, "python", text)


def test_rankings_are_fused() -> None:
    """Each in its order, and the worthier source before the other of the same rank."""
    sheet = page("a.py", "\n".join(string.ascii_letters))
    rankings = [
        [Piece(sheet, (10 * number + rank,), origin) for rank in range(2)]
        for number, origin in enumerate(Origin)
    ]
    found = [(piece.rows[0] % 10, piece.origin) for piece in fuse(rankings)]
    for origin in Origin:
        assert [rank for rank, of in found if of is origin] == [0, 1]
    order = [origin for rank, origin in found if rank == 0]
    assert order == [origin for rank, origin in found if rank == 1]
    assert [WEIGHTS[origin] for origin in order] == sorted(WEIGHTS.values(), reverse=True)
    assert found[0] == (0, Origin.SIMILAR)


def test_what_definitions_say_comes_after_what_is_alike() -> None:
    """To the last of the similar places: the model learns more from those."""
    sheet = page("a.py", "\n".join(f"name_{number} = 1" for number in range(40)))
    alike = [Piece(sheet, (2 * row,), Origin.SIMILAR) for row in range(8)]
    others = [[Piece(sheet, (30,), Origin.DEFINITIONS)], [Piece(sheet, (32,), Origin.IMPORTS)]]
    order = [piece.origin for piece in fuse([*others, alike])]
    assert order == [Origin.SIMILAR] * 8 + [Origin.DEFINITIONS, Origin.IMPORTS]


LINES = st.lists(
    st.sampled_from(["alpha = 1", "    beta(2)", "", "gamma", "    return delta", "}"]),
    min_size=1,
    max_size=60,
)


@st.composite
def pieces(draw: st.DrawFn) -> list[Piece]:
    """Pieces of two pages, best first."""
    pages = [page(f"{name}.py", "\n".join(draw(LINES))) for name in "ab"]
    rankings: dict[Origin, list[Piece]] = {}
    for origin in Origin:
        for _ in range(draw(st.integers(0, 3))):
            sheet = draw(st.sampled_from(pages))
            rows = draw(st.sets(st.integers(0, len(sheet.lines) - 1), min_size=1, max_size=30))
            rankings.setdefault(origin, []).append(Piece(sheet, tuple(sorted(rows)), origin))
    return fuse([*rankings.values()])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(pieces(), st.integers(0, 1200))
def test_the_room_is_never_exceeded(found: list[Piece], limit: int) -> None:
    """Whole lines of the pages, no snippet too long; always the same."""
    snippets = pack(found, frozenset(), limit)
    assert sum(len(snippet.text) + len(snippet.path) for snippet in snippets) <= limit
    assert snippets == pack(found, frozenset(), limit)
    for snippet in snippets:
        lines = snippet.text.split("\n")
        assert lines.pop() == ""
        assert 1 <= len(lines) <= MOST_ROWS
        written = {line.strip() for piece in found for line in piece.page.lines}
        assert {line.strip() for line in lines} <= written


@given(st.data())
def test_no_line_is_shown_twice(data: st.DataObject) -> None:
    """However pieces overlap, touch or grow together."""
    sheet = page("a.py", "\n".join(f"name_{number} = {number}" for number in range(80)))
    found = [
        Piece(sheet, tuple(range(start, start + length)), origin)
        for origin in Origin
        for start, length in [(data.draw(st.integers(0, 50)), data.draw(st.integers(1, 30)))]
    ]
    snippets = pack(fuse([[piece] for piece in found]), frozenset(), 100_000)
    lines = [line for snippet in snippets for line in snippet.text.splitlines()]
    assert len(lines) == len(set(lines))
    best = max(found, key=lambda piece: len(piece.rows))
    assert len(lines) >= len(best.rows)


@given(pieces())
def test_nothing_is_shown_where_nothing_is_said(found: list[Piece]) -> None:
    """There are snippets exactly where a piece has more than blanks and brackets."""
    snippets = pack(found, frozenset(), 100_000)
    assert bool(snippets) == any(contents(p.page.lines[row] for row in p.rows) for p in found)


def test_around_the_cursor_nothing_is_shown_again() -> None:
    """More than nine in ten lines that stand there anyway are too many."""
    lines = [f"name_{number} = {number}" for number in range(12)]
    piece = Piece(page("a.py", "\n".join(lines)), tuple(range(12)), Origin.OPEN)
    assert pack([piece], contents(lines), 1000) == ()
    assert pack([piece], contents(lines[1:]), 1000) == ()
    assert len(pack([piece], contents(lines[2:]), 1000)) == 1


def test_a_copy_of_what_is_shown_is_left_out() -> None:
    """The better one is kept, whatever file it is from and however deep it is indented."""
    text = "".join(f"name_{number} = {number}\n" for number in range(10))
    better = Piece(page("b.py", text), tuple(range(10)), Origin.SIMILAR)
    deeper = page("a.py", text.replace("name", "    name"))
    copies = [Piece(deeper, tuple(range(9)), Origin.OPEN)]
    [snippet] = pack(fuse([[better], copies]), frozenset(), 10_000)
    assert snippet.path == "b.py"


def test_what_does_not_fit_is_shortened() -> None:
    """Its first lines are kept, three at least."""
    sheet = page("a.py", "\n".join(f"x{i} = 1" for i in range(9)))
    piece = Piece(sheet, tuple(range(9)), Origin.OPEN)
    [snippet] = pack([piece], frozenset(), 40)
    assert snippet.text == "x0 = 1\nx1 = 1\nx2 = 1\nx3 = 1\nx4 = 1\n"
    assert pack([piece], frozenset(), 22) == ()


def test_indentation_that_all_lines_have_is_left_out() -> None:
    """The rest stays."""
    piece = Piece(page("a.py", "    if x:\n\n        y()\n"), (0, 1, 2), Origin.OPEN)
    [snippet] = pack([piece], frozenset(), 100)
    assert snippet.text == "if x:\n\n    y()\n"
