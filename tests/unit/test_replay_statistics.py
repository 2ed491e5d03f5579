"""What a run says in numbers, how two runs differ, and the file a run is kept in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from codegen_lsp.errors import DocumentError, UsageError
from codegen_lsp.evaluation.replay.bootstrap import Difference, compare
from codegen_lsp.evaluation.replay.results import (
    Answer,
    Ask,
    Point,
    RepositoryInfo,
    Run,
    Scores,
    TypedLine,
    read_run,
    write_run,
)
from codegen_lsp.evaluation.replay.summary import measure, percentile, summarize


def answer(
    repository: str, number: int, *, right: bool | None, kind: Any = "line", **scores: Any
) -> Answer:
    """A point at which something right, something wrong or nothing was shown."""
    point = Point(
        repository=repository,
        path=f"file{number % 4}.py",
        line=number,
        column=0,
        kind=kind,
        truth="return value",
    )
    good = bool(right)
    judged = Scores(exact=good, first_line=good, accepted=good, similarity=float(good), **scores)
    text = None if right is None else "return value"
    return Answer(point=point, text=text, replaced="", ms=10.0 * (number + 1), scores=judged)


def line(repository: str, number: int, *, keys: int, accepts: int, wrong: int) -> TypedLine:
    """A line of 20 characters."""
    return TypedLine(
        repository=repository,
        path="typed.py",
        line=number,
        column=4,
        truth="x" * 20,
        keys=keys,
        accepts=accepts,
        shown=wrong + accepts,
        wrong=wrong,
        asks=[Ask("new", 30.0, "warm"), Ask("typed", 1.0), Ask("late", 99.0)],
    )


def run(answers: Sequence[Answer], lines: Sequence[TypedLine] = (), **changes: Any) -> Run:
    """A run of these answers."""
    names = sorted({one.point.repository for one in answers} | {one.repository for one in lines})
    infos = [
        RepositoryInfo(name=name, corpus="fresh", version="1", sha256="0", files=4, duplicates=0)
        for name in names
    ]
    whole = Run(
        version="0",
        seed=0,
        settings={"model": "bundled"},
        machine={},
        seconds=1.0,
        repositories=infos,
        points=list(answers),
        typing=list(lines),
        summary=summarize(infos, answers, lines),
    )
    return msgspec.structs.replace(whole, **changes)


def test_measures() -> None:
    """Means over all points, over those shown, over those that can have the property."""
    found = measure(
        [
            answer("a", 0, right=True, lines=1, identifier_f1=1.0, prefix=12, parses=True),
            answer("a", 1, right=False, lines=2, parses=False, duplicates=True),
            answer("a", 2, right=False, lines=3, parses=True, loops=True, identifier_f1=0.5),
            answer("a", 3, right=None, identifier_f1=0.0),
        ],
        [line("a", 0, keys=8, accepts=2, wrong=3), line("a", 1, keys=20, accepts=0, wrong=0)],
    )
    expected = {
        "points": 4,
        "lines": 2,
        "shown": 0.75,
        "exact": 0.25,
        "exact_shown": 1 / 3,
        "similarity": 0.25,
        "identifier_f1": 0.5,
        "identifier_f1_shown": 0.75,
        "prefix": 3,
        "prefix_shown": 4,
        "accepted": 0.25,
        "wrong": 0.5,
        "wrong_shown": 2 / 3,
        "parses": 0.5,
        "duplicates": 1 / 3,
        "loops": 1 / 3,
        "saved": 10 / 40,
        "typing_shown": 2.5,
        "typing_wrong": 1.5,
        "typing_accepted": 1.0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_nothing_is_not_zero() -> None:
    """Where nothing was shown there is no mean over what was shown."""
    found = measure([answer("a", 0, right=None)])
    assert (found["shown"], found["exact"]) == (0.0, 0.0)
    for name in ("exact_shown", "wrong_shown", "parses", "identifier_f1", "saved"):
        assert found[name] is None


def test_a_summary_has_groups_and_latencies() -> None:
    """By kind, by repository; latencies by what was asked and where it came from."""
    answers = [answer("a", 0, right=True), answer("b", 1, right=False, kind="block")]
    found = run(answers, [line("b", 0, keys=20, accepts=0, wrong=1)]).summary
    assert found.kinds["line"]["exact"] == 1.0
    assert found.kinds["block"]["exact"] == 0.0
    assert found.repositories["a"]["lines"] == 0
    assert found.repositories["b"]["typing_wrong"] == 1.0
    assert found.corpora["fresh"] == found.all
    assert found.latency == {
        "point": {"p50": 10.0, "p95": 20.0, "count": 2.0},
        "new": {"p50": 30.0, "p95": 30.0, "count": 1.0},
        "source warm": {"p50": 30.0, "p95": 30.0, "count": 1.0},
        "typed": {"p50": 1.0, "p95": 1.0, "count": 1.0},
        "late": {"p50": 99.0, "p95": 99.0, "count": 1.0},
    }


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([5.0], 95, 5.0), ([2.0, 1.0], 50, 1.0), ([*map(float, range(1, 21))], 95, 19.0)],
)
def test_percentiles(values: Sequence[float], percent: float, expected: float) -> None:
    """By the nearest rank."""
    assert percentile(values, percent) == expected


NAMES = [f"repository{n}" for n in range(8)]


def answers_of(rights: Sequence[Sequence[bool | None]]) -> list[Answer]:
    """Answers by repository."""
    return [
        answer(name, number, right=right)
        for name, of_one in zip(NAMES, rights, strict=False)
        for number, right in enumerate(of_one)
    ]


def bounds(one: Difference) -> tuple[float, float]:
    """The interval, which is there."""
    assert one.low is not None
    assert one.high is not None
    return one.low, one.high


def test_a_run_does_not_differ_from_itself() -> None:
    """No difference, and no doubt about it."""
    same = run(answers_of([[True, False]] * 8), [line(NAMES[0], 0, keys=9, accepts=1, wrong=1)])
    found = compare(same, same)
    assert (found.unit, found.units, found.draws) == ("repository", 8, 1000)
    assert {(one.difference, one.low, one.high) for one in found.metrics.values()} == {(0, 0, 0)}
    assert found.metrics["saved"].a == 0.5


def test_a_clear_and_an_unclear_difference() -> None:
    """Better everywhere: an interval above zero. Better here, worse there: one around it."""
    a = run(answers_of([[True, False, False, False]] * 8))
    better = run(answers_of([[True, True, True, False]] * 4 + [[True, True, False, False]] * 4))
    exact = compare(a, better).metrics["exact"]
    assert exact.difference == pytest.approx(0.375)
    low, high = bounds(exact)
    assert 0.25 <= low < 0.375 < high <= 0.5
    assert bounds(compare(better, a).metrics["exact"]) == (-high, -low)
    mixed = run(answers_of([[True, True, False, False], [False] * 4] * 4))
    low, high = bounds(compare(a, mixed).metrics["exact"])
    assert low < 0 < high


def test_the_interval_is_that_of_the_repositories() -> None:
    """The spread of a mean of eight repositories, however many points they have."""
    draws = np.random.default_rng(1)
    rates = draws.uniform(0.2, 0.8, len(NAMES))
    rights = [[bool(n < rate * 100) for n in range(100)] for rate in rates]
    found = compare(run(answers_of([[False] * 100] * 8)), run(answers_of(rights)), draws=4000)
    exact = found.metrics["exact"]
    shares = [sum(of_one) / 100 for of_one in rights]
    spread = float(np.std(shares)) / len(NAMES) ** 0.5
    low, high = bounds(exact)
    assert (high - low) / 2 == pytest.approx(1.96 * spread, rel=0.15)


def test_runs_are_compared_in_pairs() -> None:
    """However different repositories are: the same gain in each of them is a sure gain."""
    rates = range(0, 80, 10)
    a = run(answers_of([[n < rate for n in range(100)] for rate in rates]))
    b = run(answers_of([[n < rate + 20 for n in range(100)] for rate in rates]))
    exact = compare(a, b).metrics["exact"]
    assert (exact.low, exact.high) == pytest.approx((0.2, 0.2))


def test_one_repository_is_drawn_by_its_files() -> None:
    """Else there would be nothing to draw."""
    found = compare(
        run([answer("a", n, right=False) for n in range(40)]),
        run([answer("a", n, right=n % 4 == 0) for n in range(40)]),
    )
    assert (found.unit, found.units) == ("file", 4)
    low, high = bounds(found.metrics["exact"])
    assert low == 0 < high


def test_what_was_never_shown_is_left_out() -> None:
    """A mean over nothing cannot be compared."""
    silent = run(answers_of([[None, None]] * 3))
    found = compare(silent, run(answers_of([[True, False]] * 3)))
    assert "exact_shown" not in found.metrics
    assert found.metrics["shown"].difference == 1.0


BASE = run(answers_of([[True, False]] * 3), [line(NAMES[0], 0, keys=9, accepts=1, wrong=1)])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (run(answers_of([[True, False]] * 2), BASE.typing), "same questions"),
        (run(BASE.points), "same questions"),
        (run(list(reversed(BASE.points)), BASE.typing), "same questions"),
        (
            msgspec.structs.replace(
                BASE,
                repositories=[
                    msgspec.structs.replace(one, sha256="1") for one in BASE.repositories
                ],
            ),
            "is not the same",
        ),
    ],
)
def test_runs_that_cannot_be_compared(other: Run, words: str) -> None:
    """Other questions, or the same places of other code."""
    with pytest.raises(UsageError, match=words):
        compare(BASE, other)
    with pytest.raises(UsageError, match="empty"):
        compare(run([]), run([]))


def test_a_run_is_one_file(tmp_path: Path) -> None:
    """What is written is read, and is readable JSON."""
    path = tmp_path / "run.json"
    write_run(BASE, path)
    assert read_run(path) == BASE
    assert json.loads(path.read_text())["points"][0]["point"]["truth"] == "return value"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read"),
        (b"", "is no replay"),
        (b"[]", "is no replay"),
        (b'{"format": 99}', "is no replay of format 1"),
        (b'{"format": 1}', "is no replay"),
        (b"\xff", "is no replay"),
    ],
)
def test_a_file_that_is_no_run(tmp_path: Path, content: bytes | None, words: str) -> None:
    """One line that names it."""
    path = tmp_path / "run.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DocumentError, match=words) as caught:
        read_run(path)
    assert "run.json" in str(caught.value)
    with pytest.raises(DocumentError, match="cannot write"):
        write_run(BASE, tmp_path / "no" / "folder.json")


def test_wrong_suggestions_cost_keystrokes() -> None:
    """Net of them, a line may cost more than without suggestions."""
    lines = [
        line("shop", 1, keys=4, accepts=1, wrong=3),
        line("shop", 2, keys=20, accepts=0, wrong=9),
    ]
    found = measure([], lines)
    assert found["saved"] == 15 / 40
    assert found["saved_net"] == (15 - 12) / 40


def test_latencies_by_source_have_points_in_them() -> None:
    """Where a key gives slow answers up, points wait for them: both are told, apart."""
    waited = [
        msgspec.structs.replace(answer("shop", n, right=True), data={"source": source})
        for n, source in enumerate(["cold", "warm", "warm", ""])
    ]
    latency = summarize([], waited, [line("shop", 1, keys=4, accepts=1, wrong=0)]).latency
    assert latency["point cold"] == {"p50": 10.0, "p95": 10.0, "count": 1.0}
    assert latency["point warm"] == {"p50": 20.0, "p95": 30.0, "count": 2.0}
    assert latency["source warm"]["count"] == 1.0
    assert latency["point"]["count"] == 4.0


def test_one_file_is_drawn_by_its_positions_and_one_position_says_nothing() -> None:
    """No interval of no width, which would look like certainty."""
    before = [answer("shop", 4 * n, right=n > 6) for n in range(8)]
    after = [answer("shop", 4 * n, right=n > 1) for n in range(8)]
    several = compare(run(before), run(after))
    assert (several.unit, several.units) == ("position", 8)
    found = several.metrics["exact"]
    low, high = bounds(found)
    assert low < found.difference < high
    one = compare(run(before[:1]), run([answer("shop", 0, right=True)]))
    assert (one.unit, one.units) == ("position", 1)
    assert (one.metrics["exact"].low, one.metrics["exact"].high) == (None, None)
    assert one.metrics["exact"].difference == 1.0
