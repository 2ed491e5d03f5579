"""The process that reads files, with a real one: what it reads, and how."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from codegen_lsp.context.facts import FileFacts
from codegen_lsp.context.files import Refusal, Stamp
from codegen_lsp.context.reading import Reader
from tests.support.reading import Outcome, Reading, until, worker, write

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")


@pytest.fixture
def reading() -> Iterator[Reading]:
    with Reading() as reading:
        yield reading


def test_files_are_read_in_their_order(reading: Reading, tmp_path: Path) -> None:
    """Facts have the stamp of the disk; each file has one result."""
    paths = [write(tmp_path, f"pkg/f{n}.py", f"def parse_{n}(): pass\n") for n in range(40)]
    reading.of(tmp_path, *paths)
    assert [path for path, _ in reading.results] == paths
    for path, facts in reading.results:
        assert isinstance(facts, FileFacts)
        status = (tmp_path / path).stat()
        assert facts.stamp == Stamp(status.st_size, status.st_mtime_ns)
        assert facts.path == path
        assert facts.language_id == "python"
        assert facts.words


def test_what_cannot_be_read_is_refused_and_the_rest_is_read(
    reading: Reading, tmp_path: Path
) -> None:
    """No file keeps the others from being read."""
    with (tmp_path / "huge.py").open("wb") as huge:
        huge.truncate(100 * 2**20)
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "loop.py").symlink_to(tmp_path / "loop.py")
    paths = {
        "gone.py": Refusal.GONE,
        "no/such/folder.py": Refusal.GONE,
        "huge.py": Refusal.TOO_LARGE,
        write(tmp_path, "binary.py", bytes(range(256)) * 40): Refusal.BINARY,
        write(tmp_path, "mini.js", "var a=1;" * 5000): Refusal.MINIFIED,
        write(tmp_path, "noise.py", bytes(range(128, 256)) * 40): Refusal.ENCODING,
        write(tmp_path, "id_rsa", "x"): Refusal.SECRET,
        "folder.py": Refusal.UNREADABLE,
        "loop.py": Refusal.LINK,
    }
    good = [write(tmp_path, "a.py"), write(tmp_path, "größe ü.py"), write(tmp_path, "empty.py", "")]
    found = reading.of(tmp_path, *paths, *good)
    assert {path: found[path] for path in paths} == paths
    assert all(isinstance(found[path], FileFacts) for path in good)


@posix
def test_unreadable_files_and_pipes_are_refused(reading: Reading, tmp_path: Path) -> None:
    """Nobody waits for a pipe that nobody writes to."""
    os.mkfifo(tmp_path / "pipe.py")
    closed = write(tmp_path, "closed.py")
    (tmp_path / closed).chmod(0)
    strange = os.fsdecode(b"b\xff.py")
    write(tmp_path, strange)
    paths = ["pipe.py", closed, strange, write(tmp_path, "a.py")]
    found = reading.of(tmp_path, *paths)
    assert found["pipe.py"] is Refusal.UNREADABLE
    assert found[strange] is Refusal.UNREADABLE
    if os.geteuid():
        assert found[closed] is Refusal.UNREADABLE
    assert isinstance(found["a.py"], FileFacts)


def test_a_repository_may_vanish_while_it_is_read(reading: Reading, tmp_path: Path) -> None:
    """Every file has a result, whatever it is."""
    paths = [write(tmp_path, f"f{n}.py") for n in range(300)]
    reading.reader.submit(tmp_path, paths)
    for path in reversed(paths):
        (tmp_path / path).unlink()
    until(lambda: not reading.reader.pending)
    assert [path for path, _ in reading.results] == paths
    assert reading.results[-1][1] is Refusal.GONE


def test_urgent_files_come_first_and_withdrawn_ones_do_not_come(tmp_path: Path) -> None:
    """A file waits once, however often it is submitted."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    slow = [write(mine, f"f{n}.py") for n in range(200)]
    hold, gate = threading.Event(), threading.Event()
    results: list[tuple[str, str]] = []

    def take(root: Path, path: str, outcome: Outcome) -> None:
        results.append((root.name, path))
        hold.set()
        gate.wait(30)

    reader = Reader(take)
    try:
        reader.submit(mine, slow)
        hold.wait(30)
        reader.submit(other, [write(other, f"o{n}.py") for n in range(50)])
        reader.submit(mine, slow[100:])
        reader.submit(mine, [slow[150]], first=True)
        reader.withdraw(other)
        assert reader.pending == 200
        gate.set()
        until(lambda: not reader.pending)
    finally:
        reader.close()
    assert results.index(("mine", slow[150])) < 20
    assert sorted(results) == sorted(("mine", path) for path in slow)


def test_what_is_under_way_can_be_withdrawn(tmp_path: Path) -> None:
    """Only the result that is being taken comes."""
    hold, gate = threading.Event(), threading.Event()
    results: list[str] = []

    def take(root: Path, path: str, outcome: Outcome) -> None:
        results.append(path)
        hold.set()
        gate.wait(30)

    reader = Reader(take)
    try:
        reader.submit(tmp_path, [write(tmp_path, f"f{n}.py") for n in range(30)])
        hold.wait(30)
        reader.withdraw(tmp_path)
        gate.set()
        until(lambda: not reader.pending)
    finally:
        reader.close()
    assert results == ["f0.py"]


def test_a_mistake_of_who_takes_results_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It does not end the reading."""
    taken: list[str] = []

    def take(root: Path, path: str, outcome: Outcome) -> None:
        taken.append(path)
        raise ZeroDivisionError

    reader = Reader(take)
    try:
        reader.submit(tmp_path, [write(tmp_path, "a.py"), write(tmp_path, "b.py")])
        until(lambda: not reader.pending)
    finally:
        reader.close()
    assert taken == ["a.py", "b.py"]
    assert "could not be taken" in caplog.text


@posix
def test_the_worker_is_the_least_important_process(reading: Reading, tmp_path: Path) -> None:
    """Whoever needs the processor or the disk gets it before us."""
    reading.of(tmp_path, write(tmp_path, "a.py"))
    pid = reading.reader.worker_pid
    assert pid is not None
    process = psutil.Process(pid)
    assert process.nice() == 19
    if sys.platform == "linux":
        assert process.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE
        assert os.getpgid(pid) != os.getpgid(0)


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


def test_the_worker_imports_little() -> None:
    """It starts in a moment and stays small: no numpy, no server, no model."""
    program = "import sys, codegen_lsp.context.reader; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    heavy = {"numpy", "watchdog", "pygls", "tokenizers", "ctranslate2", "asyncio"}
    assert not heavy & loaded


def test_a_project_called_like_us_is_not_run(tmp_path: Path) -> None:
    """The folder in which a server is started may be somebody else's."""
    for name in ("codegen_lsp/__init__.py", "msgspec.py", "psutil.py", "struct.py"):
        write(tmp_path, name, "open('was-run', 'w')\nraise SystemExit\n")
    program = SERVER.replace("time.sleep(600)", "reader.close()")
    command = [*worker(program), str(tmp_path), write(tmp_path, "a.py")]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip().isdecimal()
    assert not (tmp_path / "was-run").exists()
