"""The process that reads files, with a real one: when it dies, and when it must."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from codegen_lsp.context import reading as reading_module
from codegen_lsp.context.facts import FileFacts
from codegen_lsp.context.files import Refusal
from tests.support.reading import Reading, alive, until, worker, write

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")


@pytest.fixture
def reading() -> Iterator[Reading]:
    with Reading() as reading:
        yield reading


@posix
def test_a_killed_worker_is_started_again(reading: Reading, tmp_path: Path) -> None:
    """What it had not answered is asked again; nothing is lost and nothing comes twice."""
    paths = [write(tmp_path, f"f{n}.py", "x = 1\n" * 200) for n in range(300)]
    reading.reader.submit(tmp_path, paths)
    for count in (20, 120, 220):
        until(lambda count=count: len(reading.results) >= count)  # type: ignore[misc]
        pid = reading.reader.worker_pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
    until(lambda: not reading.reader.pending)
    assert sorted(path for path, _ in reading.results) == sorted(paths)
    assert all(isinstance(facts, FileFacts) for _, facts in reading.results)


FRAGILE = """
import os, sys
from codegen_lsp.context import reader
read = reader.read
def fragile(root, path):
    if "poison" in path or ("once" in path and not os.path.exists(root + "/died")):
        open(root + "/died", "w").close()
        os._exit(3)
    print("somebody prints", flush=True)
    return read(root, path)
reader.read = fragile
sys.exit(reader.main())
"""


def test_a_file_the_worker_dies_of_is_left_out(tmp_path: Path) -> None:
    """It is tried twice, then refused like a file that is too large; the others are read."""
    names = ["a.py", "poison.py", "b.py", "poison2.py", "c.py", *(f"x{n}.py" for n in range(20))]
    paths = [write(tmp_path, name) for name in names]
    with Reading(command=worker(FRAGILE)) as reading:
        found = reading.of(tmp_path, *paths)
    assert len(reading.results) == len(paths)
    refused = {path for path, outcome in found.items() if outcome is Refusal.FAILED}
    assert refused == {"poison.py", "poison2.py"}
    assert all(isinstance(found[path], FileFacts) for path in set(paths) - refused)


def test_a_file_the_worker_died_of_once_is_read(tmp_path: Path) -> None:
    """One death may have had any reason."""
    with Reading(command=worker(FRAGILE)) as reading:
        found = reading.of(tmp_path, write(tmp_path, "once.py"), write(tmp_path, "a.py"))
    assert all(isinstance(outcome, FileFacts) for outcome in found.values())
    assert (tmp_path / "died").exists()


@pytest.mark.parametrize(
    "command",
    [
        worker("import sys; sys.exit(1)"),
        worker("import sys; sys.stdout.write('no frame at all' * 9)"),
        worker("import os, sys; os.write(1, b'\\0\\0\\0\\1\\x05'); sys.stdin.read()"),
        worker("import os, sys; os.write(1, b'\\xff\\xff\\xff\\xff'); sys.stdin.read()"),
        ("/no/such/program",),
    ],
    ids=["ends", "talks", "lies", "boasts", "is-not-there"],
)
def test_a_worker_that_never_works_is_given_up(
    tmp_path: Path, command: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """One line in the log; every file is refused, now and later, so that nobody waits."""
    with Reading(command=command) as reading:
        found = reading.of(tmp_path, *(write(tmp_path, f"f{n}.py") for n in range(30)))
        assert len(found) == 30
        assert found["f29.py"] is Refusal.UNREADABLE
        assert reading.of(tmp_path, write(tmp_path, "later.py"))["later.py"] is Refusal.UNREADABLE
        assert reading.reader.worker_pid is None
    assert len([line for line in caplog.records if line.levelname == "WARNING"]) == 1


def test_a_system_without_room_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no process can be started for a moment, one is started when there is room again."""
    start, began = reading_module._start, time.monotonic()

    def without_room(command: Sequence[str]) -> subprocess.Popen[bytes]:
        if time.monotonic() < began + 0.3:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        return start(command)

    monkeypatch.setattr(reading_module, "_start", without_room)
    with Reading() as reading:
        found = reading.of(tmp_path, write(tmp_path, "a.py"))
    assert isinstance(found["a.py"], FileFacts)


SLOW = """
import sys, time
from codegen_lsp.context import reader
reader.LIMIT = 0.5
read = reader.read
def slow(root, path):
    if "slow" in path:
        time.sleep(600)
    return read(root, path)
reader.read = slow
sys.exit(reader.main())
"""


def test_a_file_that_takes_too_long_is_left_out(tmp_path: Path) -> None:
    """A worker that hangs ends itself."""
    with Reading(command=worker(SLOW)) as reading:
        found = reading.of(tmp_path, write(tmp_path, "slow.py"), write(tmp_path, "a.py"))
    assert found["slow.py"] is Refusal.FAILED
    assert isinstance(found["a.py"], FileFacts)


RAISES = """
import sys
from codegen_lsp.context import reader
def facts_of(*arguments):
    raise RecursionError("too deep")
reader.facts_of = facts_of
sys.exit(reader.main())
"""


def test_a_file_no_parser_copes_with_costs_no_worker(tmp_path: Path) -> None:
    """An exception is a refusal."""
    with Reading(command=worker(RAISES)) as reading:
        reading.reader.submit(tmp_path, [write(tmp_path, f"f{n}.py") for n in range(20)])
        until(lambda: len(reading.results) > 1)
        pid = reading.reader.worker_pid
        until(lambda: not reading.reader.pending)
        assert reading.reader.worker_pid == pid
    assert {outcome for _, outcome in reading.results} == {Refusal.FAILED}


def test_an_idle_worker_ends_and_comes_back(tmp_path: Path) -> None:
    """Who does not edit does not pay for its memory."""
    with Reading(idle_seconds=0.05) as reading:
        assert reading.reader.worker_pid is None
        reading.of(tmp_path, write(tmp_path, "a.py"))
        until(lambda: reading.reader.worker_pid is None)
        found = reading.of(tmp_path, write(tmp_path, "b.py"))
    assert isinstance(found["b.py"], FileFacts)


def test_closing_ends_the_worker_and_the_results(tmp_path: Path) -> None:
    """Even in the middle of its work; a closed reader takes nothing."""
    with Reading() as reading:
        paths = [write(tmp_path, f"f{n}.py") for n in range(500)]
        reading.reader.submit(tmp_path, paths)
        until(lambda: len(reading.results) > 3)
        pid = reading.reader.worker_pid
        assert pid is not None
        reading.reader.close()
        count = len(reading.results)
        until(lambda: not alive(pid))
        reading.reader.submit(tmp_path, paths)
        time.sleep(0.1)
        assert len(reading.results) == count < 500
        assert reading.reader.worker_pid is None


def test_closing_does_not_wait_for_a_worker_that_hangs(tmp_path: Path) -> None:
    """It holds nothing worth keeping."""
    program = SLOW.replace("reader.LIMIT = 0.5", "reader.LIMIT = 600")
    with Reading(command=worker(program)) as reading:
        reading.reader.submit(tmp_path, [write(tmp_path, "slow.py")])
        until(lambda: reading.reader.worker_pid)
        pid = reading.reader.worker_pid
        assert pid is not None
        reading.reader.close()
        until(lambda: not alive(pid), 30)
    assert reading.results == []


SERVER = """
import sys, time
from pathlib import Path
from codegen_lsp.context.reading import Reader
reader = Reader(lambda *_: None)
reader.submit(Path(sys.argv[1]), sys.argv[2:])
while reader.pending:
    time.sleep(0.01)
print(reader.worker_pid, flush=True)
time.sleep(600)
"""


@posix
def test_the_worker_ends_with_a_server_that_is_killed(tmp_path: Path) -> None:
    """Nobody has to clean up; what the server says to its editor is not the worker's to see."""
    command = [*worker(SERVER), str(tmp_path), write(tmp_path, "a.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        assert alive(pid)
        server.kill()
        assert server.stdout.read() == b""  # ends although the worker may still be there
        until(lambda: not alive(pid))
