"""Similar windows: which place of a page is taken, and what of it is shown."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from codegen_lsp.context.pages import Page
from codegen_lsp.context.windows import (
    FOLLOWING,
    LEAD,
    Match,
    Wanted,
    best_matches,
    query_of,
    rows_after,
)
from codegen_lsp.context.words import ids_of, names

INVOICES = '''\
import csv


class InvoiceExporter:
    """Writes invoices as CSV."""

    def __init__(self, path):
        self.path = path

    def export(self, invoices):
        with open(self.path, "w", newline="") as handle:
            writer = csv.writer(handle, delimiter=";")
            writer.writerow(["number", "customer", "total"])
            for invoice in invoices:
                writer.writerow([invoice.number, invoice.customer, invoice.total])
        return self.path

    def total(self, invoices):
        return sum(invoice.total for invoice in invoices)


def unrelated(colour):
    red, green, blue = colour
    return (red * 299 + green * 587 + blue * 114) // 1000
'''

ORDERS = '''\
class OrderExporter:
    """Writes orders as CSV."""

    def export(self, orders):
        with open(self.path, "w", newline="") as handle:
            writer = csv.writer(handle, delimiter=";")
'''


def alike(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """All words tell equally much."""
    return np.full(len(words), 4.0)


def page(text: str, language: str = "python") -> Page:
    """A page nobody wrote to disk."""
    return Page("key", "shown.py", language, text)


def shown(match: Match) -> str:
    """What a snippet shows of a match."""
    return "\n".join(match.page.lines[row] for row in rows_after(match))


def test_what_follows_the_match_is_shown() -> None:
    """Not what was written already: the lines after the last one that is alike."""
    [match, *_] = best_matches(page(INVOICES), query_of(ORDERS, len(ORDERS), alike), most=2)
    assert match.page.lines[match.end].strip() == 'writer = csv.writer(handle, delimiter=";")'
    lines = shown(match).split("\n")
    assert lines[0].strip() == "def export(self, invoices):"
    assert lines[LEAD].strip() == 'writer.writerow(["number", "customer", "total"])'
    assert "return self.path" in lines[-1]


def test_the_line_that_is_being_written_finds_its_like() -> None:
    """Words on the cursor's own line count most."""
    code = ORDERS + "            writer.writerow([order.num"
    [match] = best_matches(page(INVOICES), query_of(code, len(code), alike), most=1)
    assert "writerow" in match.page.lines[match.end]


def test_names_are_alike_however_their_words_are_joined() -> None:
    """``invoice_total`` finds ``invoiceTotal``."""
    script = "function price() {\n  const x = invoiceTotal(order);\n  return round(x);\n}\n"
    code = "def price():\n    x = invoice_total(order)"
    [match] = best_matches(page(script, "javascript"), query_of(code, len(code), alike), most=1)
    assert match.end == 1


@pytest.mark.parametrize(
    ("code", "text"),
    [("", INVOICES), ("x", ""), ("x", "\n \n"), ("(", INVOICES), ("if x:\n", "=\n+\n")],
    ids=["no query", "empty page", "blank page", "no words", "no words at all"],
)
def test_where_nothing_is_alike_there_is_no_match(code: str, text: str) -> None:
    """And nothing goes wrong."""
    assert best_matches(page(text), query_of(code, len(code), alike), most=3) == []


def test_the_last_line_of_a_page_is_no_match() -> None:
    """Nothing follows it."""
    text = "alpha = beta(gamma)\n"
    assert best_matches(page(text), query_of(text, len(text), alike), most=1) == []


def test_common_words_tell_less() -> None:
    """With a rare word in common a place is better than with a frequent one."""
    rare = set(ids_of(["checksum"]))

    def weigh(words: NDArray[np.uint32]) -> NDArray[np.float64]:
        return np.array([9.0 if word in rare else 0.5 for word in words.tolist()])

    filler = "".join(f"line{c}{c} = other{c}{c}\n" for c in "abcdefghijklmnopqrstuvwxyz")
    text = f"client = request(session)\n{filler}checksum = compute(data)\n{filler}"
    code = "def f():\n    client = request(checksum)"
    for weight, first in ((weigh, 27), (alike, 0)):
        [match] = best_matches(page(text), query_of(code, len(code), weight), most=1)
        assert match.end - first in range(4)


@pytest.mark.parametrize(
    ("text", "end", "expected"),
    [
        ("a1\nb2\nc3\nd4\ne5\n", 2, range(5)),
        ("a1\n\n\nd4\ne5\n", 0, range(5)),
        ("def f():\n    a1\n    b2\n\nx = 1\ny = 2\n", 2, range(6)),
        ("    a1\n    b2\n    c3\n    d4\nclass B:\n    x1\n", 2, range(4)),
        ("  a1\n  b2\n  c3 (\n    d4\n)\ne5\n", 2, range(5)),
        ("".join(f"x{i}\n" for i in range(40)), 9, range(7, 10 + FOLLOWING)),
        ("".join(f"x{i}\n" + "\n" * (i == 14) for i in range(40)), 9, range(7, 15)),
        ("".join(f"x{i}\n" + "\n" * (i == 10) for i in range(40)), 9, range(7, 22)),
        ("\n\na1\nb2\n\n\n", 2, range(2, 4)),
    ],
    ids=[
        "to the end",
        "over blank lines",
        "no dedent below the match",
        "to the end of its block",
        "closers belong to it",
        "so many lines",
        "to a blank line",
        "not to one that comes too soon",
        "no blank lines at its ends",
    ],
)
def test_where_a_snippet_ends(text: str, end: int, expected: range) -> None:
    """Where something ends, if that is neither too soon nor too late."""
    assert rows_after(Match(page(text), end, 1.0)) == expected


def test_matches_of_one_page_do_not_overlap() -> None:
    """Two places of a page are two snippets."""
    block = "total = compute(order)\nprint(total, order)\nsave(order, total)\n"
    text = "".join(block + "\n".join(f"p{i} = q{j}" for j in range(20)) + "\n" for i in range(5))
    matches = best_matches(page(text), query_of(block, len(block), alike), most=4)
    ends = sorted(match.end for match in matches)
    assert len(ends) == 4
    assert all(after - before >= LEAD + FOLLOWING for before, after in pairwise(ends))


def test_places_that_are_not_allowed_are_passed_over() -> None:
    """The next best one is taken."""
    query = query_of(ORDERS, len(ORDERS), alike)
    [best] = best_matches(page(INVOICES), query, most=1)
    [other] = best_matches(page(INVOICES), query, most=1, hidden=range(best.end, best.end + 1))
    assert other.end != best.end
    assert other.score <= best.score


def simple_likeness(text: str, end: int, height: int, given: Wanted, filled: list[int]) -> float:
    """The weighted Jaccard index as a person would compute it."""
    wanted = dict(zip(given.words.tolist(), given.factors.tolist(), strict=True))
    row = filled.index(end)
    lines = text.split("\n")
    words: set[int] = set()
    for number in filled[max(0, row - height + 1) : row + 1]:
        words |= set(ids_of(names(lines[number])))
    both = sum(4.0 * factor for word, factor in wanted.items() if word in words)
    whole = sum(4.0 * factor for factor in wanted.values())
    alone = sum(4.0 for word in words if word not in wanted)
    return float(both / (whole + alone + 2 * 4.0))


@given(
    st.lists(
        st.sampled_from(["", "alpha beta", "beta gamma", "delta", "alpha", "  eps"]), max_size=60
    ),
    st.lists(st.sampled_from(["alpha", "beta delta", "gamma", "zeta"]), min_size=1, max_size=6),
)
def test_scores_are_those_of_the_plain_definition(lines: list[str], query: list[str]) -> None:
    """What is computed for all windows at once is what each of them has."""
    text, code = "\n".join(lines), "\n".join(query)
    sheet, wanted = page(text), query_of(code, len(code), alike)
    for match in best_matches(sheet, wanted, most=3):
        long = simple_likeness(text, match.end, 20, wanted.long, sheet.filled)
        short = simple_likeness(text, match.end, 4, wanted.short, sheet.filled)
        assert match.score == pytest.approx((long * short) ** 0.5)


@given(st.text("ab \n\t(){}", max_size=300), st.data())
def test_any_text(text: str, data: st.DataObject) -> None:
    """Whatever a page and a query are, what is shown are lines of the page."""
    offset = data.draw(st.integers(0, len(text)))
    hidden = range(*sorted(data.draw(st.tuples(st.integers(0, 9), st.integers(0, 9)))))
    for match in best_matches(page(text), query_of(text, offset, alike), most=3, hidden=hidden):
        assert match.end not in hidden
        rows = rows_after(match)
        assert 0 <= rows.start <= match.end < rows.stop <= len(match.page.lines)
