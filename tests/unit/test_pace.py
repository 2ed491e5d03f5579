"""How long a request waits for the next key."""

from __future__ import annotations

import pytest

from codegen_lsp.completion.pace import MOST, Pace

URI = "file:///a.py"


def typing(gap: float, characters: int = 1, count: int = 12) -> Pace:
    """Somebody whose editor asked every *gap* seconds, *characters* typed in between."""
    pace = Pace()
    for number in range(count):
        pace.asked(URI, 100 + number * characters, number * gap)
    return pace


@pytest.mark.parametrize(
    ("pace", "expected", "delay"),
    [
        (Pace(), 0.0, 0.0),  # nothing is known, nothing is to be feared
        (Pace(), 0.03, 0.0),
        (Pace(), 0.18, 0.06),  # a third of the usual gap
        (typing(0.2), 0.04, 0.0),  # done long before the next key
        (typing(0.2), 0.1, 0.2 / 6),
        (typing(0.2), 5.0, 0.2 / 3),
        (typing(0.9), 5.0, MOST),
        (typing(0.05), 5.0, 0.05 / 3),
        (typing(0.002), 5.0, 0.01),  # a key that is held down
        (typing(0.4, characters=3), 5.0, 0.0),  # an editor that waits itself
        (typing(3.0), 0.18, 0.06),  # pauses are no typing
    ],
)
def test_delays(pace: Pace, expected: float, delay: float) -> None:
    """The longer a job takes, measured by how fast somebody types, the longer it waits."""
    assert pace.delay(expected) == pytest.approx(delay)


def test_accepting_is_no_patience() -> None:
    """Who accepts every third suggestion is still asked for at every key."""
    pace, length = Pace(), 100
    for number in range(15):
        length += 30 if number % 3 == 2 else 1
        pace.asked(URI, length, number * 0.2)
    assert pace.delay(5.0) == typing(0.2).delay(5.0)


def test_another_document_is_no_typing() -> None:
    """The time between requests in two documents says nothing."""
    pace = Pace()
    for number in range(20):
        pace.asked(f"file:///{number}.py", 100 + number, number * 0.01)
    assert pace.gap == Pace().gap


def test_what_is_asked_again_is_no_typing() -> None:
    """Nor does asking twice for the same text."""
    pace = Pace()
    for number in range(20):
        pace.asked(URI, 100, number * 0.01)
    assert pace.gap == Pace().gap


def test_a_clock_that_goes_back() -> None:
    """Time that runs backwards (it does not, but who knows) does no harm."""
    pace = Pace()
    for number in range(20):
        pace.asked(URI, 100 + number, -number)
    assert pace.delay(1.0) >= 0
