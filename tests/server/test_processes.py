"""However a connection ends, no process is left behind, and the exit code says how it ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable

import psutil
import pytest

from tests.server.raw_client import PATIENCE, ROOT, RawClient, echo_command, message


def busy(client: RawClient) -> None:
    """Bring a server into the middle of a request."""
    client.initialize()
    client.open("file:///a.py", "wait\nx")
    client.open("file:///b.py", "x")
    client.post_completion("file:///a.py", 0, 4)
    assert client.complete("file:///b.py", 0, 1)["items"]


def shut_down_and_exit(client: RawClient) -> None:
    """What the specification asks of editors."""
    assert client.request("shutdown")["result"] is None
    client.notify("exit")


def only_exit(client: RawClient) -> None:
    """An editor in a hurry."""
    client.notify("exit")


def end_of_file(client: RawClient) -> None:
    """An editor that died."""
    client.close_input()


def end_of_file_in_a_message(client: RawClient) -> None:
    """An editor that died while it wrote."""
    client.send(b"Content-Length: 100\r\n\r\n{")
    client.close_input()


def terminate(client: RawClient) -> None:
    """A process manager."""
    client.process.terminate()


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (shut_down_and_exit, 0),
        (only_exit, 1),
        (end_of_file, 0),
        (end_of_file_in_a_message, 0),
        (terminate, -signal.SIGTERM),
    ],
)
@pytest.mark.parametrize("prepare", [busy, lambda client: None], ids=["busy", "fresh"])
def test_the_process_ends(
    server: RawClient,
    prepare: Callable[[RawClient], None],
    end: Callable[[RawClient], None],
    code: int,
) -> None:
    """In the middle of a request or before the first message."""
    if end is shut_down_and_exit and prepare is not busy:
        server.initialize()
    prepare(server)
    end(server)
    assert server.wait() == code
    assert not any("Traceback" in line for line in server.errors)


def test_the_process_ends_with_the_editor_although_its_pipe_stays_open() -> None:
    """An editor is killed, and a child of it keeps the pipe: the server notices all the same."""
    script = textwrap.dedent(
        """
        import os, subprocess, sys
        outlet, inlet = os.pipe()
        pipe = subprocess.PIPE
        server = subprocess.Popen(sys.argv[1:], stdin=outlet, stdout=pipe, stderr=pipe)
        keeper = subprocess.Popen(["sleep", "600"], stdin=inlet, stdout=subprocess.DEVNULL)
        body = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":'
        body += b'{"capabilities":{},"rootUri":null,"processId":%d}}' % os.getpid()
        os.write(inlet, b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
        server.stdout.readline()
        body = b'{"jsonrpc":"2.0","method":"initialized","params":{}}'
        os.write(inlet, b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
        while b"serves" not in server.stderr.readline():
            pass
        print(server.pid, keeper.pid, flush=True)
        keeper.wait()
        """
    )
    editor = subprocess.Popen(
        [sys.executable, "-c", script, *echo_command()], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert editor.stdout is not None
    server, keeper = (psutil.Process(int(pid)) for pid in editor.stdout.readline().split())
    try:
        editor.kill()
        editor.wait()
        editor.stdout.close()
        gone, _ = psutil.wait_procs([server], timeout=PATIENCE)
        assert gone == [server]
    finally:
        for process in (server, keeper):
            if process.is_running():
                process.kill()


def test_nobody_reads() -> None:
    """An editor that closed its reading end: the server ends with the first answer."""
    process = subprocess.Popen(
        echo_command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, bufsize=0
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    process.stdin.write(message("initialize", {"capabilities": {}}, 1))
    assert process.wait(PATIENCE) == 0
    process.stdin.close()


def test_an_unknown_editor_process_is_no_reason_to_end(server: RawClient) -> None:
    """A process id of another machine or container says nothing here."""
    server.initialize(processId=2**22 + 1)
    server.open("file:///a.py", "x")
    assert server.complete("file:///a.py", 0, 1)["items"]


def test_the_start_loads_no_engine() -> None:
    """Importing and creating the server imports neither engines nor tokenizers nor numpy."""
    script = textwrap.dedent(
        """
        import sys
        from codegen_lsp.server import run, server
        server.create_server(run._service)
        heavy = {"ctranslate2", "tokenizers", "torch", "jax", "numpy", "huggingface_hub", "rich"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        """
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
