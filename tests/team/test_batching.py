"""The batcher with the real bundled model: who is together, who gives way, who leaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from codegen_lsp.engines.ct2_batch import BatchModel, Step
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.errors import CodegenError, GenerationError
from codegen_lsp.models.store import bundled_folder
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.team import batching
from codegen_lsp.team.batching import Batcher, QueueFullError
from codegen_lsp.team.costs import Costs
from codegen_lsp.team.jobs import Job
from codegen_lsp.types import Sampling

TOGETHER = Costs(read=0.0001, step=0.01, member=0.0, held=0.0)
"""As if company cost nothing."""


@pytest.fixture(scope="module")
def model() -> Iterator[BatchModel]:
    """One worker, in float32 so that answers do not depend on company."""
    folder = bundled_folder()
    spec = EngineSpec(folder, "bundled", 1024, device="cpu", compute_type="float32", threads=1)
    model = BatchModel(spec)
    assert model.workers == 1
    yield model
    model.close()


class Asker:
    """Somebody who waits for one answer."""

    def __init__(self, text: str, most: int, order: list[Asker] | None = None) -> None:
        ids = CodeTokenizer.from_folder(bundled_folder()).encode(text)
        self.ids: list[int] = []
        self.begun, self.left = threading.Event(), threading.Event()
        self.failure: CodegenError | None = None
        self._order = order if order is not None else []
        self.job = Job(tuple(ids), most, Sampling(), self._take, self._leave)

    def _take(self, step: Step) -> bool:
        self.ids.append(step.token)
        self.begun.set()
        return False

    def _leave(self, failure: CodegenError | None) -> None:
        assert not self.left.is_set(), "told once"
        self.failure = failure
        self._order.append(self)
        self.left.set()


def opened(model: BatchModel, sizes: list[int] | None = None, **more: Any) -> Batcher:
    said: list[int] = sizes if sizes is not None else []
    options = {"most_waiting": 64, "most_together": 16, **more}
    return Batcher(model, TOGETHER, on_batch=said.append, **options)


def test_a_long_answer_gives_way_and_is_whole(
    model: BatchModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short ones that came later are done before it; what it says is what it would have said."""
    monkeypatch.setattr(batching, "SHORTEST_SLICE", 0.02)
    batcher = opened(model, most_together=1)
    alone = Asker("import os\n", 400)
    batcher.submit([alone.job])
    assert alone.left.wait(60)
    order: list[Asker] = []
    long = Asker("import os\n", 400, order)
    short = [Asker(f"def f{n}():\n", 8, order) for n in range(3)]
    batcher.submit([long.job])
    assert long.begun.wait(60)
    batcher.submit([one.job for one in short])
    for one in (long, *short):
        assert one.left.wait(60)
    assert order[-1] is long  # short ones may give way to each other, too
    assert long.ids == alone.ids
    batcher.close()


def test_those_who_wait_go_together(model: BatchModel) -> None:
    """One batch for all that are alike, once the model is free."""
    sizes: list[int] = []
    batcher = opened(model, sizes)
    first = Asker("import os\n", 60)
    batcher.submit([first.job])
    assert first.begun.wait(60)
    others = [Asker(f"x{n} = ", 8) for n in range(5)]
    batcher.submit([one.job for one in others])
    for one in (first, *others):
        assert one.left.wait(60)
    assert sizes[:2] == [1, 5]
    assert all(len(one.ids) <= 8 for one in others)
    batcher.close()


def test_a_full_queue_takes_all_of_a_request_or_nothing(model: BatchModel) -> None:
    """And says when to come again; who was refused is told nothing else."""
    batcher = opened(model, most_waiting=2)
    running = Asker("import os\n", 300)
    batcher.submit([running.job])
    assert running.begun.wait(60)
    crowd = [Asker("a = ", 4) for _ in range(3)]
    with pytest.raises(QueueFullError):
        batcher.submit([one.job for one in crowd])
    batcher.submit([one.job for one in crowd[:2]])
    for one in (running, *crowd[:2]):
        assert one.left.wait(60)
    assert not crowd[2].left.is_set()
    batcher.close()


def test_who_is_cancelled_leaves(model: BatchModel) -> None:
    """One that waits at once, one that runs at its next token; each is told once."""
    batcher = opened(model)
    running, waiting = Asker("import os\n", 900), Asker("import sys\n", 900)
    batcher.submit([running.job])
    assert running.begun.wait(60)
    batcher.submit([waiting.job])
    batcher.cancel([waiting.job, running.job])
    assert waiting.left.wait(60)
    assert running.left.wait(60)
    assert len(running.ids) < 900
    assert batcher.waiting == 0
    batcher.close()


def test_closing_ends_everybody(model: BatchModel) -> None:
    """Those that wait are told why; nobody is let in any more."""
    batcher = opened(model, most_together=1)
    running, waiting = Asker("import os\n", 900), Asker("import sys\n", 900)
    batcher.submit([running.job, waiting.job])
    assert running.begun.wait(60)
    batcher.close()
    assert running.left.is_set()
    assert waiting.left.is_set()
    assert isinstance(waiting.failure, GenerationError)
    with pytest.raises(GenerationError):
        batcher.submit([Asker("a", 1).job])
