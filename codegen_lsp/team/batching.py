"""The batcher: who waits, who goes into the model together, and who gives way.

Each worker has a thread, which takes the oldest job and those waiting that save time beside it
(``costs``), and runs them as one batch. CTranslate2 takes nobody into a batch that runs; so a batch
in which others are waiting for gives way once it has written for as long as its reading took
twice: those not done go to the end of the queue, and what they have read is read again. That is at
most half of the work again, and keeps a long answer from stopping everybody else's.

Knows threads and jobs. Does not know HTTP, text or whose a job is.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from codegen_lsp.engines.ct2_batch import BatchModel, Step
from codegen_lsp.errors import CodegenError, GenerationError
from codegen_lsp.team.costs import Costs
from codegen_lsp.team.jobs import Job

__all__ = ["Batcher", "QueueFullError"]

SHORTEST_SLICE: Final = 0.25
"""Seconds that a batch may write in any case."""

GATHER_SECONDS: Final = 0.005
"""How long a worker waits for company after a batch of several: who was answered often asks again
at once, and the first of them would be alone in the model."""

_SMOOTHING: Final = 0.05

logger = logging.getLogger(__name__)


class QueueFullError(Exception):
    """There is no room in the queue; ``seconds`` is about how long it takes to have some."""

    def __init__(self, seconds: float) -> None:
        super().__init__("the queue is full")
        self.seconds = seconds


class Batcher:
    """Runs jobs on a model until it is closed."""

    def __init__(
        self,
        model: BatchModel,
        costs: Costs,
        *,
        most_waiting: int,
        most_together: int,
        on_batch: Callable[[int], None] = lambda _: None,
    ) -> None:
        """*on_batch* is told how many sequences each batch has, on a worker's thread."""
        self._model = model
        self._costs = costs
        self._most_waiting = most_waiting
        self._most_together = most_together
        self._on_batch = on_batch
        self._waiting: deque[Job] = deque()
        self._running: set[Job] = set()
        self._change = threading.Condition()
        self._closed = False
        self._new = 32.0
        """How many tokens answers usually get."""
        self._each = 0.0
        """Seconds of a worker that an answer usually takes."""
        self._idle = model.workers
        self._threads = [
            threading.Thread(target=self._work, name=f"codegen-lsp batch {n}", daemon=True)
            for n in range(model.workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Sequences that wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Sequences inside the model."""
        return len(self._running)

    def wait_seconds(self) -> float:
        """About how long a new job would wait."""
        return self._each * len(self._waiting) / self._model.workers

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue all of *jobs*, or none.

        :raises QueueFullError: too many wait already.
        :raises GenerationError: the batcher was closed.
        """
        with self._change:
            if self._closed:
                raise GenerationError("the server is closing", mend="try again")
            if len(self._waiting) + len(jobs) > self._most_waiting + self._idle:
                raise QueueFullError(self.wait_seconds())
            self._waiting.extend(jobs)
            self._change.notify(len(jobs))

    def cancel(self, jobs: Sequence[Job]) -> None:
        """Nobody wants *jobs* any more: one that waits goes, one that runs ends at its next token.

        Each is told that it has left.
        """
        for job in jobs:
            job.cancelled.set()
        with self._change:
            gone = [job for job in jobs if job in self._waiting]
            for job in gone:
                self._waiting.remove(job)
        for job in gone:
            job.finish()

    def close(self, seconds: float = 10.0) -> None:
        """Cancel everything and wait for the threads, at most so long. Idempotent."""
        with self._change:
            self._closed = True
            left = list(self._waiting)
            self._waiting.clear()
            for job in (*left, *self._running):
                job.cancelled.set()
            self._change.notify_all()
        for job in left:
            job.finish(GenerationError("the server is closing", mend="try again"))
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        last = 0
        while (batch := self._next(last)) is not None:
            last = len(batch)
            failure: CodegenError | None = None
            try:
                self._run(batch)
            except CodegenError as error:
                failure = error
            except Exception as error:  # a thread's own end: what is lost here, nobody sees
                # Not its message, which may hold code.
                logger.error("a batch failed: %s", type(error).__name__)
                failure = GenerationError(f"the engine failed: {type(error).__name__}")
            self._over(batch, failure)

    def _next(self, last: int) -> list[Job] | None:
        """The next batch, as soon as there is one; ``None`` at the end.

        Where the *last* one was of several, those that were answered get a moment to ask again.
        """
        with self._change:
            if last > 1:
                self._change.wait_for(
                    lambda: self._closed or len(self._waiting) >= last, GATHER_SECONDS
                )
            while not self._waiting and not self._closed:
                self._change.wait()
            if self._closed:
                return None
            batch = self._chosen()
            for job in batch:
                self._waiting.remove(job)
                job.began_at = job.began_at or time.monotonic()
            self._running.update(batch)
            self._idle -= 1
            return batch

    def _chosen(self) -> list[Job]:
        """The oldest job, and those that save time beside it; a share for every idle worker."""
        first = self._waiting[0]
        alike = [job for job in self._waiting if job is not first and job.kind == first.kind]
        if first.pinned:
            return [first, *alike]
        most = min(self._most_together, -(-(1 + len(alike)) // max(1, self._idle)))
        here = _length(first)
        alike.sort(key=lambda job: abs(_length(job) - here))  # stable: the older first
        chosen, lengths = [first], [here]
        for job in alike:
            if len(chosen) >= most or not self._costs.pays(lengths, _length(job), self._new):
                break
            chosen.append(job)
            lengths.append(_length(job))
        return chosen

    def _run(self, batch: Sequence[Job]) -> None:
        begin, first = time.monotonic(), 0.0
        pinned = batch[0].pinned

        def take(place: int, step: Step) -> bool:
            nonlocal first
            now = time.monotonic()
            first = first or now
            job = batch[place]
            if job.step(step, self._model.end):
                job.finish()  # at once: others of the batch may go on for long
                return True
            if pinned or not self._waiting:
                return False
            job.gave_way = now - first > max(SHORTEST_SLICE, 2 * (first - begin))
            return job.gave_way

        self._on_batch(len(batch))
        most = max(job.left for job in batch)
        kind = batch[0]
        self._model.generate(
            [job.text for job in batch], most, kind.sampling, take, logits=kind.logits
        )
        self._each += _SMOOTHING * ((time.monotonic() - begin) / len(batch) - self._each)

    def _over(self, batch: Sequence[Job], failure: CodegenError | None) -> None:
        """Tell those that are done, and let the others wait again."""
        with self._change:
            self._running.difference_update(batch)
            self._idle += 1
            put_off = failure is None and not self._closed
            again = [job for job in batch if put_off and job.gave_way and not job.over]
            for job in again:
                job.gave_way = False
            self._waiting.extend(again)
        for job in batch:
            if job not in again:
                self._new += _SMOOTHING * (len(job.made) - self._new)
                job.finish(failure)


def _length(job: Job) -> int:
    return len(job.prompt) + len(job.made)
