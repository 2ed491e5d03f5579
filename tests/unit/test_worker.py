"""The thread beside the event loop: order, giving up, and nothing left behind."""

from __future__ import annotations

import asyncio
import functools
import gc
import threading
import weakref
from collections.abc import Callable

import pytest

from codegen_lsp.completion.worker import Worker
from codegen_lsp.syntax import patience
from codegen_lsp.syntax.grammars import parse


async def started(worker: Worker, call: Callable[[], object]) -> asyncio.Task[object]:
    """A task that waits for *call*, which has begun."""
    begun = threading.Event()

    def noted() -> object:
        begun.set()
        return call()

    task: asyncio.Task[object] = asyncio.create_task(worker.run(noted))
    await asyncio.to_thread(begun.wait)
    return task


async def cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_one_thread_beside_the_loops() -> None:
    """Results and errors come back; it is always the same thread, and not ours."""
    worker = Worker()
    threads = {await worker.run(threading.get_ident) for _ in range(3)}
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    with pytest.raises(ValueError, match="invalid literal"):
        await worker.run(lambda: int("x"))
    assert await worker.run(lambda: 1) == 1
    worker.close()


async def test_the_loop_goes_on() -> None:
    """Who computes for long holds nobody up."""
    worker, held = Worker(), threading.Event()
    task = await started(worker, lambda: held.wait(5))
    await asyncio.sleep(0)  # comes back
    held.set()
    assert await task is True
    worker.close()


async def test_one_call_after_another() -> None:
    """The second begins when the first has ended."""
    worker, held, order = Worker(), threading.Event(), list[int]()

    def first() -> None:
        held.wait(5)
        order.append(1)

    tasks = [await started(worker, first)]
    tasks.append(asyncio.create_task(worker.run(lambda: order.append(2))))
    await asyncio.sleep(0.02)
    assert order == []
    held.set()
    await asyncio.gather(*tasks)
    assert order == [1, 2]
    worker.close()


async def test_what_nobody_waits_for_ends_soon() -> None:
    """A call that parses ends with the text it is at; one that has not begun never does."""
    worker, parsed, begun = Worker(), list[int](), list[str]()

    def for_long() -> None:
        for number in range(100_000):
            parse("x = 1\n", "python")
            parsed.append(number)

    long = await started(worker, for_long)
    waiting: asyncio.Task[object] = asyncio.create_task(worker.run(lambda: begun.append("late")))
    await asyncio.sleep(0.01)
    await cancelled(waiting)
    await cancelled(long)
    assert await worker.run(lambda: "next") == "next"
    assert len(parsed) < 100_000
    assert begun == []
    worker.close()


async def test_a_thorough_one_finishes() -> None:
    """What it has begun is of use to the next, whoever waits."""
    worker, held, done = Worker(thorough=True), threading.Event(), list[object]()

    def search() -> None:
        held.wait(5)
        done.append(parse("x = 1\n", "python"))

    await cancelled(await started(worker, search))
    held.set()
    await worker.run(lambda: None)
    assert len(done) == 1
    worker.close()


async def test_nothing_queues_up_behind_a_call_that_hangs() -> None:
    """Who gives up waiting leaves nothing that would hold a document in memory."""
    worker, held, begun = Worker(thorough=True), threading.Event(), list[set[int]]()
    await cancelled(await started(worker, lambda: held.wait(5)))
    left = []
    for number in range(5):
        document = {number}
        left.append(weakref.ref(document))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(worker.run(functools.partial(begun.append, document)), 0.001)
        del document
    gc.collect()
    assert [document() for document in left] == [None] * 5
    held.set()
    await worker.run(lambda: None)
    assert begun == []
    worker.close()


async def test_closed_and_used_again() -> None:
    """Closing is idempotent; who asks afterwards gets another thread."""
    worker = Worker()
    worker.close()
    assert await worker.run(lambda: 1) == 1
    worker.close()
    worker.close()
    assert await worker.run(lambda: 2) == 2
    worker.close()


def test_parsing_asks_whether_it_is_wanted() -> None:
    """Before a text and in the midst of it; the next text is parsed as ever."""
    flag, code = threading.Event(), "def f(a):\n    return [a, {1: a}]\n\n\n" * 5000
    with patience.while_wanted(flag):
        assert parse("x = 1", "python") is not None
        timer = threading.Timer(0.01, flag.set)
        timer.start()
        with pytest.raises(patience.GivenUp):
            parse(code, "python")  # takes much longer
        with pytest.raises(patience.GivenUp):
            parse("x = 1", "python")
        timer.join()
    parsed = parse("x = 1", "python")
    assert parsed is not None
    assert not parsed.root.has_error
