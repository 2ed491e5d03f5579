"""Typing at a backend: what is asked, seen, accepted and counted."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest

from codegen_lsp.evaluation.bench.backends import Reply, position
from codegen_lsp.evaluation.bench.desk import Desk
from codegen_lsp.evaluation.bench.hands import FAST, Ask, Pace, Session, lay_out, type_script
from codegen_lsp.evaluation.bench.script import Page, Script, Visit, strokes
from codegen_lsp.evaluation.bench.spreads import spread
from codegen_lsp.evaluation.bench.typed import _Usage, summarize, without_engine
from codegen_lsp.evaluation.bench.watch import Sample, growth

BEFORE = "import math\n\n\ndef area(radius: float) -> float:"
TARGET = "\n    return math.pi * radius ** 2\n"
AFTER = "\n\nprint(area(2))\n"
SCRIPT = Script(
    (Page("shapes.py", BEFORE + TARGET + AFTER),),
    (Visit(0, len(BEFORE), len(BEFORE + TARGET)),),
    seed=4,
)


class Oracle:
    """Knows the file; answers with the rest of the line, late or wrong on wish."""

    def __init__(self, *, seconds: float = 0.0, wrong: bool = False) -> None:
        self.seconds, self.wrong = seconds, wrong
        self.text = ""
        """The document as the changes that were told make it."""
        self.given_up = 0
        self.places: list[tuple[str, int]] = []
        """Where the cursor was moved to."""

    async def start(self, folder: Path) -> int:
        return 0

    def opened(self, path: str, text: str) -> None:
        self.text = text

    def changed(self, path: str, text: str, offset: int, removed: int, inserted: str) -> None:
        assert text == self.text
        self.text = text[:offset] + inserted + text[offset + removed :]

    def moved(self, path: str, text: str, offset: int) -> None:
        self.places.append((path, offset))
        assert text == self.text

    def closed(self, path: str) -> None:
        self.text = ""

    async def ask(self, path: str, text: str, offset: int) -> Reply:
        assert text == self.text
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        whole = BEFORE + TARGET + AFTER
        if self.wrong or not whole.startswith(text[:offset]):
            return Reply("pass  # nothing", source="warm")
        return Reply(whole[offset:].partition("\n")[0], source="warm")

    async def explained(self, reply: Reply) -> Reply:
        return reply

    async def counters(self) -> Mapping[str, float]:
        return {}

    async def stop(self) -> None:
        pass


async def typed(
    tmp_path: Path, oracle: Oracle, pace: Pace, keys: int = 1000, script: Script = SCRIPT
) -> Session:
    """A session over the script; its result was looked at."""
    desk = Desk(script)
    lay_out(tmp_path, desk)
    assert TARGET not in (tmp_path / "shapes.py").read_text(encoding="utf-8")
    session = await type_script(oracle, desk, tmp_path, keys=keys, pace=pace, delay=0.0)
    assert oracle.text == desk.texts[0]
    assert (tmp_path / "shapes.py").read_text(encoding="utf-8") == desk.texts[0]
    if keys >= 1000:
        assert desk.texts == [SCRIPT.pages[0].text]
        assert (session.characters, session.visits) == (len(TARGET), 1)
    return session


async def test_right_suggestions_are_accepted(tmp_path: Path) -> None:
    """Who is shown the rest of every line presses few keys; where he goes first is told."""
    oracle = Oracle()
    session = await typed(tmp_path, oracle, FAST)
    assert oracle.places == [("shapes.py", len(BEFORE))]
    assert session.accepted >= 1
    assert session.keys < len(TARGET) / 2
    assert session.seen >= session.accepted


async def test_wrong_suggestions_are_not(tmp_path: Path) -> None:
    """They are seen, and every character is typed."""
    session = await typed(tmp_path, Oracle(wrong=True), FAST)
    assert session.accepted == 0
    assert session.keys >= len(TARGET.replace("\n    ", "\n"))
    assert {ask.outcome for ask in session.asks} == {"text"}


async def test_late_suggestions_are_given_up(tmp_path: Path) -> None:
    """The next key ends the request before it; none but the last is left to itself."""
    oracle = Oracle(seconds=10.0)
    session = await typed(tmp_path, oracle, Pace(human=False, reaction=0.0, patience=0.002))
    assert {ask.outcome for ask in session.asks} == {"superseded"}
    assert oracle.given_up >= len(session.asks) - 1
    assert session.seen == session.accepted == 0


async def test_who_waits_for_the_next_key_asks_less(tmp_path: Path) -> None:
    """What an editor that waits for a pause never asked was not superseded either."""
    desk, quick = Desk(SCRIPT), Pace(human=False, reaction=0.0, patience=0.001)
    lay_out(tmp_path, desk)
    session = await type_script(Oracle(), desk, tmp_path, keys=10, pace=quick, delay=5.0)
    assert (session.keys, session.asks) == (10, [])


async def test_reading_takes_time(tmp_path: Path) -> None:
    """Between keys that come quicker than one reads, nothing is accepted."""
    quick = Pace(human=False, reaction=60.0, patience=0.01)
    session = await typed(tmp_path, Oracle(), quick)
    assert session.accepted == 0
    assert session.seen > 0


async def test_nothing_is_taken_into_a_slip(tmp_path: Path) -> None:
    """While a wrong letter stands there, what would have been right is not taken."""

    class Deaf(Oracle):
        """Suggests something only after a wrong letter, as if that were not there."""

        async def ask(self, path: str, text: str, offset: int) -> Reply:
            whole = BEFORE + TARGET + AFTER
            right = next(at for at in range(offset, -1, -1) if whole.startswith(text[:at]))
            return Reply("" if right == offset else whole[right:].partition("\n")[0])

    slipping = (Script(SCRIPT.pages, SCRIPT.visits, seed) for seed in itertools.count())
    script = next(one for one in slipping if any(key.slip for key in strokes(one, 0)[2:6]))
    session = await typed(tmp_path, Deaf(), Pace(human=True, reaction=0.01), script=script)
    assert session.accepted == 0
    assert session.seen > 0


async def test_keys_are_counted(tmp_path: Path) -> None:
    """A session ends with its last key, in the middle of a line if need be."""
    session = await typed(tmp_path, Oracle(wrong=True), FAST, keys=5)
    assert (session.keys, session.visits) == (5, 0)


@pytest.mark.parametrize(
    ("counted", "share"),
    [
        ({}, None),
        ({"requests": 0.0}, None),
        ({"asked": 0.0}, None),
        ({"requests": 10.0, "asked": 4.0, "typed": 3.0, "cached": 2.0, "joined": 1.0}, 0.6),
        ({"requests": 9.0, "asked": 1.0, "unwanted": 2.0, "copied": 1.0, "superseded": 5.0}, 0.5),
    ],
)
def test_share_without_engine(counted: Mapping[str, float], share: float | None) -> None:
    """Who was superseded or wanted nothing is on neither side; who does not count has none."""
    assert without_engine(counted) == share


def test_summary() -> None:
    """Answers are told apart by source, and only those with text have a time."""
    session = Session(keys=50, characters=80, accepted=3, seen=20, seconds=12.0)
    session.asks = [
        Ask("text", 4.0, "typed"),
        Ask("text", 6.0, "typed"),
        Ask("text", 100.0, "warm", 40.0, 90.0),
        Ask("empty", 3.0),
        Ask("superseded", 180.0),
    ]
    usage = _Usage(1.5, 0.2, 150.0, [Sample(float(n), n * 10, 140.0 + n) for n in range(8)])
    found = summarize("x", session, usage, {"asked": 1.0, "typed": 2.0, "requests": 5.0})
    assert found.asked == {"text": 3, "empty": 1, "superseded": 1}
    assert found.by_source["typed"].p50 == 5.0
    assert found.by_source["warm"].count == 1
    assert found.ghost_ms is not None
    assert found.ghost_ms.p95 == 100.0
    assert found.first_ms is not None
    assert found.first_ms.count == 1
    assert found.in_sight == 0.4
    assert found.without_engine == 0.6667
    assert found.answers_without_engine == 0.6667
    assert found.cpu_s_per_100_keys == 3.0
    assert found.quarters_mib == [141.0, 143.0, 145.0, 147.0]
    assert (found.peak_mib, found.final_mib) == (150.0, 150.0)


def test_growth_is_that_of_the_second_half() -> None:
    """What grows while warming up is not held against a server."""
    warm = [Sample(float(n), n * 10, 100.0 + min(n, 10)) for n in range(40)]
    assert growth(warm) == pytest.approx(0.0)
    leaky = [Sample(float(n), n * 10, 100.0 + n) for n in range(40)]
    assert growth(leaky) == pytest.approx(100.0)
    assert growth(warm[:3]) is None


def test_spread() -> None:
    """The median, and the value that 95 of 100 do not exceed."""
    found = spread([float(n) for n in range(1, 101)])
    assert (found.p50, found.p95, found.count) == (50.5, 95.0, 100)
    assert spread([7.0]).p95 == 7.0


@pytest.mark.parametrize(
    ("text", "offset", "place"),
    [("", 0, (0, 0)), ("ab\ncd", 5, (1, 2)), ("ab\ncd", 3, (1, 0)), ("a\fb\u2028c\n", 5, (0, 5))],
)
def test_position(text: str, offset: int, place: tuple[int, int]) -> None:
    """Only a line feed ends a line."""
    assert position(text, offset) == place
