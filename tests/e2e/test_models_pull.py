"""``codegen-lsp models pull`` as a user runs it: the real program, a hub on loopback, the store.

A tiny checkpoint in the published layout stands behind the name ``codegen-350M-mono``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from codegen_lsp.models.downloads import downloads
from codegen_lsp.models.store import installed
from tests.support.hub import Hub, environment, running
from tests.support.published import publish

NAME = "codegen-350M-mono"
REPO = f"Salesforce/{NAME}"
WEIGHTS = "pytorch_model.bin"
CODE = "def add(first, second):\n    return first + "


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CodeGen1 with enough weights to be interrupted in the middle of them."""
    folder = tmp_path_factory.mktemp("published")
    return publish(folder, "codegen1", format="bin", n_embd=128, n_layer=4, n_positions=128)


@pytest.fixture
def hub(checkpoint: Path) -> Iterator[Hub]:
    with running() as server:
        server.add(REPO, checkpoint)
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def start(
    hub: Hub, home: Path, *arguments: str, to: int = subprocess.PIPE, more: Mapping[str, str] = {}
) -> subprocess.Popen[str]:
    """The program, with a home and a hub of its own; a pull measures only where that is asked."""
    home.mkdir(exist_ok=True)
    if arguments[:2] == ("models", "pull"):
        arguments = (*arguments, "--no-measure")
    elif arguments[0] == "measured":
        arguments = arguments[1:]
    return subprocess.Popen(
        [sys.executable, "-m", "codegen_lsp", *arguments],
        cwd=home,
        env={**environment(hub, home), **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=to,
        text=True,
        encoding="utf-8",
    )


def run(hub: Hub, home: Path, *arguments: str, **more: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    process = start(hub, home, *arguments, more=more)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def names(home: Path) -> list[str]:
    """Installed models."""
    return [model.name for model in installed(home) if model.name != "bundled"]


def when(process: subprocess.Popen[str], ready: Callable[[], bool], how: int) -> None:
    """Send *how* to a process that still runs when *ready* becomes true."""
    while process.poll() is None and not ready():
        time.sleep(0.005)
    assert process.poll() is None, "it ended before it could be stopped"
    process.send_signal(how)
    process.wait(timeout=60)


def test_pull_then_complete(hub: Hub, home: Path) -> None:
    """A name on stdout, what happens on stderr; then the model answers by that name."""
    code, out, err = run(hub, home, "models", "pull", NAME)
    assert (code, out) == (0, f"{NAME}\n"), err
    assert f"licence of {REPO}: BSD-3-Clause" in err
    assert f"--model {NAME}" in err
    assert "Traceback" not in err
    (home / "a.py").write_text(CODE, encoding="utf-8")
    code, out, err = run(hub, home, "complete", "a.py:2:20", "--json", "--model", NAME)
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["engine"]["engine"] == "ct2"
    code, out, err = run(hub, home, "models", "pull", NAME)
    assert (code, out) == (0, f"{NAME}\n")
    assert "installed already" in err


def test_the_last_line_of_json(hub: Hub, home: Path) -> None:
    """What was installed, from which revision, and what was compared."""
    code, out, err = run(hub, home, "models", "pull", REPO, "--json", "--name", "mine")
    assert code == 0, err
    told = json.loads(out.splitlines()[-1])
    assert told["model"] == "mine"
    assert told["revision"] == hub.repositories[REPO].commit
    assert told["checks"]
    assert Path(told["folder"]).is_dir()


def test_a_pull_finds_out_which_engine_is_faster(hub: Hub, home: Path) -> None:
    """Once; that one completes, ``models info`` names what is there, and all of it can go."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    pytest.importorskip("gguf", reason="gguf is not installed")
    code, out, err = run(hub, home, "measured", "models", "pull", NAME, "--json")
    assert code == 0, err
    faster = json.loads(out.splitlines()[-1])["faster_engine"]
    assert faster in ("ct2", "llama")
    assert f"engine auto is {faster}" in err
    code, out, err = run(hub, home, "measured", "models", "pull", NAME, "--json")
    assert json.loads(out.splitlines()[-1])["faster_engine"] == faster
    assert "a keystroke takes" not in err
    (home / "a.py").write_text(CODE, encoding="utf-8")
    code, out, err = run(hub, home, "complete", "a.py:2:20", "--json", "--model", NAME)
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["engine"]["engine"] == faster
    code, out, err = run(hub, home, "models", "info", NAME, "--json")
    assert json.loads(out.splitlines()[-1])["engines"] == ["ct2", "llama q8_0"]
    code, out, err = run(hub, home, "models", "remove", NAME)
    assert code == 0, err
    assert not list((home / "models").rglob("*.gguf"))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_interrupted_while_fetching(hub: Hub, home: Path, how: int) -> None:
    """Nothing is installed; the next pull asks for the rest only."""
    slow = hub.fail("/cdn/", slow=0.2)
    folder = downloads(home, REPO) / hub.repositories[REPO].commit
    partial = folder / f"{WEIGHTS}.incomplete"
    process = start(hub, home, "models", "pull", NAME)
    when(process, lambda: partial.is_file() and partial.stat().st_size > 100_000, how)
    assert names(home) == []
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    had = partial.stat().st_size
    slow.slow = 0.0
    code, out, err = run(hub, home, "models", "pull", NAME)
    assert (code, out) == (0, f"{NAME}\n"), err
    assert hub.asked("/cdn/")[-1].range == f"bytes={had}-"
    assert not downloads(home, REPO).exists()


def test_a_pull_that_was_given_up_can_be_removed(hub: Hub, home: Path) -> None:
    """What it fetched is deleted by the name it was asked for; then there is nothing to remove."""
    slow = hub.fail("/cdn/", slow=0.2)
    folder = downloads(home, REPO)
    process = start(hub, home, "models", "pull", NAME)
    when(process, lambda: bool(list(folder.glob("*/pytorch*.incomplete"))), signal.SIGKILL)
    slow.slow = 0.0
    code, out, err = run(hub, home, "models", "remove", NAME, "--json")
    assert code == 0, err
    assert json.loads(out)["bytes"] > 0
    assert not folder.exists()
    code, _, err = run(hub, home, "models", "remove", NAME)
    assert code == 1
    assert "no installed model" in err


def test_killed_while_converting(hub: Hub, home: Path) -> None:
    """Nothing is installed; the next pull fetches nothing and leaves no rubbish."""
    process = start(hub, home, "models", "pull", NAME)
    when(process, lambda: bool(list((home / "models").glob(".staging-*"))), signal.SIGKILL)
    assert names(home) == []
    hub.seen.clear()
    code, _, err = run(hub, home, "models", "pull", NAME)
    assert code == 0, err
    assert not hub.asked("/cdn/")
    assert {p.name for p in (home / "models").iterdir()} == {NAME, ".locks"}


def test_two_at_once(hub: Hub, home: Path) -> None:
    """One fetches, the other waits, says so and finds it done."""
    hub.fail("/cdn/", slow=0.1)
    first = start(hub, home, "models", "pull", NAME)
    while first.poll() is None and not hub.asked("/cdn/"):
        time.sleep(0.005)
    second = start(hub, home, "models", "pull", NAME)
    (_, _), (out, err) = first.communicate(timeout=120), second.communicate(timeout=120)
    assert (first.returncode, second.returncode, out) == (0, 0, f"{NAME}\n"), err
    assert "waiting for it" in err
    assert "installed already" in err
    assert len(hub.asked("/cdn/")) == 1


@pytest.mark.parametrize(
    ("what", "environment", "words"),
    [
        ("codegen-350M-momo", {}, NAME),
        ("org/none", {}, "no repository org/none"),
        (NAME, {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        (NAME, {"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot reach http://127.0.0.1:9"),
        (NAME, {"CODEGEN_LSP_HOME": "/dev/null/home"}, "/dev/null/home"),
    ],
)
def test_what_goes_wrong_is_one_line(
    hub: Hub, home: Path, what: str, environment: Mapping[str, str], words: str
) -> None:
    """The exit code is 1, the error's line the last on stderr, and stdout is empty."""
    code, out, err = run(hub, home, "models", "pull", what, **environment)
    last = err.splitlines()[-1]
    assert (code, out) == (1, "")
    assert last.startswith("codegen-lsp: error: ")
    assert words in last
    assert "Traceback" not in err
    assert not names(home)


def test_wrong_usage(hub: Hub, home: Path) -> None:
    """A compute type that is none is a wrong call."""
    code, _, err = run(hub, home, "models", "pull", NAME, "--compute-type", "int3")
    assert code == 2
    assert "int3" in err


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_terminal_gets_bars(hub: Hub, home: Path) -> None:
    """Bytes, speed and time left, on stderr; stdout stays clean."""
    import pty

    terminal, end = pty.openpty()
    screen = {"TERM": "xterm", "COLUMNS": "120"}
    process = start(hub, home, "models", "pull", NAME, to=end, more=screen)
    os.close(end)
    shown = b""
    while chunk := _read(terminal):
        shown += chunk
    out, _ = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, f"{NAME}\n")
    text = shown.decode("utf-8", "replace")
    for part in ("download", "convert", "MB", "licence of"):
        assert part in text


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the other end is closed
        return b""


def test_convert_and_check(hub: Hub, home: Path) -> None:
    """Another layout computes the same; one in which a weight was changed does not pass."""
    code, _, err = run(hub, home, "models", "pull", NAME, "--compute-type", "float32")
    assert code == 0, err
    out = home / "as-phi"
    code, shown, err = run(hub, home, "models", "convert", NAME, "--to", "phi", "--out", str(out))
    assert (code, shown) == (0, f"{out}\n"), err
    assert "same likeliest token 100.00%" in err
    code, _, err = run(hub, home, "models", "check", NAME, str(out))
    assert code == 0, err
    weights = bytearray((out / "model.safetensors").read_bytes())
    weights[-4000:] = b"\x40" * 4000
    (out / "model.safetensors").write_bytes(weights)
    code, shown, err = run(hub, home, "models", "check", NAME, str(out))
    assert (code, shown) == (1, "")
    assert err.splitlines()[-1].startswith("codegen-lsp: error: ")
