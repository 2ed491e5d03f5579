"""What reading and writing cost this model on this machine, measured once, and what follows.

Whether sequences are faster together than one after another depends on the model: a large one is
read from memory once per step, however many sequences take part; a small one gains little, and
with long contexts nothing. What differs in length is read token by token. So a few steps are
measured when the server starts, and sequences go together where that saves time.

Knows times and lengths. Does not know requests.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from codegen_lsp.engines.ct2_batch import BatchModel, Step
from codegen_lsp.types import Sampling

__all__ = ["Costs", "measure"]

_SHORT: Final = 16
_LONG: Final = 128
_WIDE: Final = 8
_STEPS: Final = 6
_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds."""

    read: float
    """Reading one token of a prompt."""

    step: float
    """One step of a batch, whatever is in it."""

    member: float
    """What each sequence adds to a step."""

    held: float
    """What each token that a sequence has read or written adds to a step."""

    def together(self, lengths: Sequence[int], new: float) -> float:
        """One batch of prompts of these *lengths* (at least one) that each get *new* tokens."""
        shortest, longest = min(lengths), max(lengths)
        width = len(lengths)
        each = self.step + width * (self.member + self.held * (longest + new / 2))
        return self.read * shortest * width + (longest - shortest + new) * each

    def pays(self, lengths: Sequence[int], length: int, new: float) -> bool:
        """Whether a batch of *lengths* and one more of *length* saves time over doing both."""
        apart = self.together(lengths, new) + self.together([length], new)
        return self.together([*lengths, length], new) < apart


def measure(model: BatchModel) -> Costs:
    """Run some batches of *model*: a third of a second for the bundled one."""
    reads: list[float] = []
    rows: list[tuple[float, float, float]] = []
    steps: list[float] = []
    room = model.info.context_length - _STEPS
    lengths = (max(1, min(_SHORT, room // 4)), max(1, min(_LONG, room)))
    for width, length in itertools.product((1, _WIDE), lengths):
        runs = [_time(model, width, length) for _ in range(_ROUNDS if width == 1 else 2)]
        reads.append(min(read for read, _ in runs) / (width * length))
        steps.append(min(step for _, step in runs))
        rows.append((1.0, width, width * length))
    found, *_ = np.linalg.lstsq(np.array(rows), np.array(steps), rcond=None)
    step, member, held = (max(0.0, float(one)) for one in found)
    return Costs(min(reads), max(step, 1e-6), member, held)


def _time(model: BatchModel, width: int, length: int) -> tuple[float, float]:
    """Seconds until the first token, and from one step to the next."""
    seen: list[float] = []
    prompt = [i for i in range(1, length * 4) if model.accepts(i) and i != model.end]
    prompt = [prompt[i % len(prompt)] for i in range(length)]

    def take(_: int, __: Step) -> bool:
        seen.append(time.perf_counter())
        return False

    begin = time.perf_counter()
    model.generate([prompt] * width, _STEPS, Sampling(), take)
    over = time.perf_counter()
    first = seen[0] if seen else over
    return first - begin, (over - first) / max(1, len(seen) // width - 1)
