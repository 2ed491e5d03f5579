"""What a report calls its numbers, and how it writes them."""

from __future__ import annotations

import pytest

from codegen_lsp.evaluation.replay.report_words import (
    MEASURES,
    MINUS,
    SPACE,
    duration,
    interval,
    number,
    verdict,
)
from codegen_lsp.evaluation.replay.summary import METRICS, TYPING_METRICS


def test_every_measure_has_words() -> None:
    """Else a report would fail on the first run that has it."""
    assert set(MEASURES) == {*METRICS, *TYPING_METRICS}


@pytest.mark.parametrize(
    ("metric", "value", "signed", "expected"),
    [
        ("exact", 0.1234, False, "12.3 %"),
        ("exact", 0.1234, True, "+12.3 pp"),
        ("exact", -0.1, True, "-10.0 pp"),
        ("exact", -0.0001, True, "0.0 pp"),
        ("exact", None, False, "–"),  # noqa: RUF001 - a dash
        ("prefix", 2.346, False, "2.35"),
        ("typing_wrong", -1.0, True, "-1.00"),
    ],
)
def test_numbers(metric: str, value: float | None, signed: bool, expected: str) -> None:
    """Shares in per cent, their differences in percentage points, the rest as it is."""
    written = number(metric, value, signed=signed)
    assert written == expected.replace(" ", SPACE).replace("-", MINUS)


@pytest.mark.parametrize(
    ("metric", "low", "high", "expected"),
    [
        ("exact", 0.1, 0.2, "better"),
        ("exact", -0.2, -0.1, "worse"),
        ("exact", 0.0, 0.2, "unclear"),
        ("exact", -0.1, 0.2, "unclear"),
        ("wrong", 0.1, 0.2, "worse"),
        ("wrong_shown", -0.2, -0.1, "better"),
        ("shown", 0.1, 0.2, "unclear"),
    ],
)
def test_verdicts(metric: str, low: float, high: float, expected: str) -> None:
    """Sure only where the interval is on one side of zero, and only where a side is better."""
    assert verdict(metric, low, high) == expected
    assert interval(metric, low, high).count("…") == 1


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.2, "0 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3725, "1 h 2 min"), (7200, "2 h")],
)
def test_durations(seconds: float, expected: str) -> None:
    """The two largest units."""
    assert duration(seconds).replace(SPACE, " ") == expected
