"""Which slot serves a prompt, and how much of it need not be read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.engines.kept import Kept, common

IDS = st.lists(st.integers(0, 2), max_size=12).map(tuple)


@given(IDS, IDS)
def test_common_is_what_both_begin_with(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    """As counting token by token says, whichever comes first."""
    counted = 0
    while counted < min(len(one), len(other)) and one[counted] == other[counted]:
        counted += 1
    assert common(one, other) == common(other, one) == counted


@given(st.integers(1, 4), st.lists(IDS, max_size=12), IDS)
def test_warm_is_what_some_slot_holds(
    slots: int, history: list[tuple[int, ...]], asked: tuple[int, ...]
) -> None:
    """Never more than a slot holds, never the last token, and all of what was read last."""
    kept = Kept(slots)
    held: dict[int, tuple[int, ...]] = {}
    for ids in history:
        slot = kept.choose(ids)
        assert 0 <= slot < slots
        kept.hold(slot, ids)
        held[slot] = ids
    longest = max((common(ids, asked) for ids in held.values()), default=0)
    assert kept.warm(asked) == max(0, min(longest, len(asked) - 1))
    if history:
        assert kept.warm((*history[-1], 9)) == len(history[-1])


def places(kept: Kept, *prompts: str) -> list[int]:
    """The slots that prompts (a token a character) are read in, one after the other."""
    found = []
    for prompt in prompts:
        ids = tuple(map(ord, prompt))
        found.append(kept.choose(ids))
        kept.hold(found[-1], ids)
    return found


def test_where_prompts_go() -> None:
    """Typing on stays, another place gets a free slot, and then the one used least recently."""
    a, b, c = "a" * 20, "b" * 20, "c" * 20
    for slots, prompts, expected in (
        (1, (a, b, a), [0, 0, 0]),
        (2, (a, a + "x", a[:15] + "yy", a), [0, 0, 0, 0]),
        (2, (a, b, a, b), [0, 1, 0, 1]),
        (2, (a, b, a, c, a, b), [0, 1, 0, 1, 0, 1]),
        # The same imports are no reason to give up what was read behind them.
        (2, ("imp" + a, "imp" + b, "imp" + a), [0, 1, 0]),
        (3, (a, b, c, "d" * 20, a), [0, 1, 2, 0, 1]),
        (2, (a, a[:5], b), [0, 0, 1]),
    ):
        assert places(Kept(slots), *prompts) == expected, prompts
