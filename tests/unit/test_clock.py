"""Requests as long as there is time for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.completion.clock import LEAST_ANSWER, LEAST_PROMPT, REMEMBERED, Clock, Size


def clock(read: float, write: float) -> Clock:
    """One that has seen a machine read and write a token in so many seconds."""
    found = Clock()
    for _ in range(REMEMBERED):
        found.measured(1000, 1000 * read + write, 11, 10 * write)
    return found


def test_speeds_are_medians_of_what_was_measured() -> None:
    """One job that took long, because the machine slept, says nothing of the next."""
    found = clock(0.001, 0.02)
    assert found.read == pytest.approx(0.001)
    assert found.write == pytest.approx(0.02)
    found.measured(1000, 3600.0, 11, 3600.0)
    assert found.read == pytest.approx(0.001)
    assert found.write == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("read", "written"), [(0, 1), (15, 2)], ids=["nothing read", "too little of both"]
)
def test_what_says_nothing_is_not_counted(read: int, written: int) -> None:
    """A few tokens are measured with the rest of a request, not with themselves."""
    found = Clock(350_000_000)
    before = found.read, found.write
    found.measured(read, 9.0, written, 9.0)
    assert (found.read, found.write) == before


@pytest.mark.parametrize(
    ("parameters", "read", "write"),
    [(0, 0, 0), (6_000_000, 3e-5, 6e-4), (350_000_000, 1.75e-3, 3.5e-2)],
)
def test_guesses(parameters: int, read: float, write: float) -> None:
    """Before the first job, by the size of the model; of unknown models nothing is supposed."""
    found = Clock(parameters)
    assert [found.read, found.write] == pytest.approx([read, write])


@pytest.mark.parametrize(
    ("left", "prompt", "warm", "answer", "size"),
    [
        (9.0, 1000, 0, 64, Size(None, 64)),  # time for everything
        (2.0, 1000, 0, 64, Size(None, 50)),  # for less of the answer
        (0.4, 1000, 0, 64, Size(181, 10)),  # for the end of the prompt, and little
        (0.4, 1000, 900, 64, Size(None, 15)),  # what is warm takes no time
        (0.4, 1000, 872, 4, Size(None, 4)),
        (0.0, 1000, 0, 64, Size(LEAST_PROMPT, LEAST_ANSWER)),  # late as it is
        (0.0, 100, 0, 64, Size(None, LEAST_ANSWER)),
        (-5.0, 1000, 1000, 64, Size(None, LEAST_ANSWER)),
    ],
)
def test_sizes(left: float, prompt: int, warm: int, answer: int, size: Size) -> None:
    """A millisecond a token read, twenty a token written."""
    assert clock(0.001, 0.02).size(left, prompt, warm, answer) == size


@given(st.floats(0, 0.1), st.floats(0, 1), st.floats(-1, 60), st.integers(1, 2048), st.data())
def test_any_machine(
    read: float, write: float, left: float, prompt: int, data: st.DataObject
) -> None:
    """Never more than was wished for, never less than makes sense, and in time where it can be."""
    warm = data.draw(st.integers(0, prompt))
    answer = data.draw(st.integers(1, 256))
    found = clock(read, write)
    size = found.size(left, prompt, warm, answer)
    assert min(answer, LEAST_ANSWER) <= size.answer <= answer
    read_anew = prompt - warm if size.prompt is None else size.prompt
    if size.prompt is not None:
        assert LEAST_PROMPT <= size.prompt < prompt
    if size.answer > LEAST_ANSWER:
        assert read_anew * found.read + size.answer * found.write <= left + 1e-3
    assert found.longest >= LEAST_PROMPT


def test_lengths_change_in_coarse_steps() -> None:
    """So that a prompt does not begin elsewhere whenever the machine is a little slower."""
    assert {clock(0.001 + n * 1e-6, 0.02).longest for n in range(300)} == {1448}
