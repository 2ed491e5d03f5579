"""Pauses, and when a server is no longer asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.engines.remote_health import (
    ENOUGH,
    LONGEST_REST,
    LONGEST_TRIAL_PAUSE,
    Breaker,
    pause,
    trial_pause,
)
from codegen_lsp.errors import RemoteAwayError

AWAY = RemoteAwayError("away", mend="wait")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_enough_failures_in_a_row_open_the_breaker() -> None:
    """Until a trial succeeds, however long that takes; a success in between begins anew."""
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(ENOUGH - 1):
        breaker.failed(AWAY)
    assert not breaker.error
    breaker.succeeded()
    for _ in range(ENOUGH):
        assert not breaker.error
        breaker.failed(AWAY)
    clock.now += 1e6
    assert breaker.away
    assert str(breaker.error) == str(AWAY)
    assert breaker.error is not breaker.error, "each who raises it has his own traceback"
    breaker.succeeded()
    assert [breaker.away, breaker.error] == [False, None]


def test_a_failure_that_tells_more_counts_for_several() -> None:
    """Silence until the deadline is enough by itself."""
    breaker = Breaker(Clock())
    breaker.failed(AWAY, ENOUGH)
    assert breaker.away


@pytest.mark.parametrize(("seconds", "length"), [(5.0, 5.0), (9e9, LONGEST_REST)])
def test_a_server_that_wants_to_be_left_alone_is_for_so_long(seconds: float, length: float) -> None:
    """It is not tried meanwhile, and asked again when the time is over; a minute at most."""
    clock = Clock()
    breaker = Breaker(clock)
    breaker.rest(AWAY, seconds)
    clock.now += length - 0.01
    assert breaker.error is not None
    assert not breaker.away
    clock.now += 0.02
    assert breaker.error is None


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_and_differ(number: int, chance: float) -> None:
    """Trials stay frequent enough for a server to be found within five seconds of its return."""
    assert 0 < trial_pause(number, lambda: chance) <= LONGEST_TRIAL_PAUSE
    if number < 20:
        assert pause(number + 1, lambda: 0.5) == pytest.approx(2 * pause(number, lambda: 0.5))
        assert 0.5 <= pause(number, lambda: chance) / pause(number, lambda: 0.5) < 1.5
