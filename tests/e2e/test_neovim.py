"""A real Neovim and the real server: what is shown as ghost text is what the buffer gets.

Neovim 0.12 or newer is taken from the ``PATH`` or fetched by `install_neovim`; where neither works
the tests are skipped with the reason, unless ``CODEGEN_LSP_E2E_REQUIRED`` is set.
``CODEGEN_LSP_E2E_SERVER`` may name another folder that holds a ``codegen-lsp``.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from tests.e2e.install_neovim import NeovimUnavailableError, find_or_install
from tests.e2e.neovim import Neovim, eventually, start

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Spot:
    """A place in a file where a person would wait for a proposal."""

    name: str
    before: str
    """The file up to and including the line where the keys are pressed."""
    keys: str
    """What is typed there, starting in normal mode."""
    after: str = ""
    """The file's lines below."""


SPOTS = [
    Spot(
        name="the body of a function that has a docstring",
        before='def average(values):\n    """Return the arithmetic mean of the values."""\n',
        keys="o",
    ),
    Spot(
        name="the middle of a file, with code below",
        before=(
            'import json\n\n\ndef load(path):\n    with open(path, encoding="utf-8") as stream:\n'
        ),
        keys="o",
        after=(
            "\n\ndef save(path, data):\n"
            '    with open(path, "w", encoding="utf-8") as stream:\n'
            "        json.dump(data, stream)\n"
        ),
    ),
    Spot(
        name="a block that is indented twice",
        before=(
            "class Stack:\n"
            "    def __init__(self):\n"
            "        self.items = []\n\n"
            "    def push(self, item):\n"
            "        self.items.append(item)\n\n"
            "    def pop(self):\n"
            "        if not self.items:\n"
        ),
        keys="o",
    ),
    Spot(
        name="the middle of a line being typed",
        before="def is_even(number):\n",
        keys="oreturn ",
    ),
]

TYPED = SPOTS[-1]


def absent(reason: str) -> NoReturn:
    """Skip for a reason, or fail where the proof is required."""
    if os.environ.get("CODEGEN_LSP_E2E_REQUIRED"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def server() -> Path:
    """The folder of the ``codegen-lsp`` under test: that of this Python."""
    folder = Path(os.environ.get("CODEGEN_LSP_E2E_SERVER") or Path(sys.executable).parent)
    if not (folder / "codegen-lsp").exists():
        absent(f"no codegen-lsp in {folder}: pip install -e .")
    return folder


@pytest.fixture(scope="module")
def command() -> Path:
    """The command that starts Neovim."""
    try:
        return find_or_install()
    except NeovimUnavailableError as error:
        absent(str(error))


@pytest.fixture(scope="module")
def editor(
    command: Path, server: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Neovim]:
    """One editor for all spots, as a person keeps it open.

    It shows doubtful text as well: what is shown where is what is tested, not what is likely.
    """
    home = tmp_path_factory.mktemp("home")
    settings = home / ".codegen-lsp" / "settings.toml"
    settings.parent.mkdir()
    settings.write_text('suggestions = "eager"\n', encoding="utf-8")
    with start(command, home, server=server) as running:
        yield running


def go_to(editor: Neovim, spot: Spot, folder: Path) -> None:
    """Open a file of its own for the spot and press its keys."""
    path = folder / "module.py"
    path.write_text(spot.before + spot.after, encoding="utf-8")
    editor.open(path)
    editor.command(str(spot.before.count("\n")))
    editor.press(spot.keys)


def leave(editor: Neovim) -> None:
    """Leave insert mode, which also drops ghost text asked for meanwhile."""
    editor.press("<Esc>")
    eventually(lambda: editor.mode == "n" and editor.ghost is None, "normal mode")


def writing_area(editor: Neovim) -> list[str]:
    """The rows of the screen above the status line and the command line."""
    return editor.look().text[:-2]


@pytest.mark.parametrize("spot", SPOTS, ids=lambda spot: spot.name)
def test_the_buffer_holds_what_was_shown(editor: Neovim, spot: Spot, tmp_path: Path) -> None:
    """Ghost text appears by itself, and Tab puts exactly that into the buffer."""
    go_to(editor, spot, tmp_path)
    ghost = editor.await_ghost()
    before = editor.buffer
    shown = writing_area(editor)
    assert ghost.text.strip(), "the ghost text is blank"
    assert editor.ghost == ghost, "the ghost text changed by itself"

    editor.press("<Tab>")
    eventually(lambda: editor.buffer != before, "the buffer changes")
    leave(editor)

    assert editor.buffer == ghost.put_into(before)
    assert writing_area(editor) == shown


def test_typing_along_and_accepting_doubles_nothing(editor: Neovim, tmp_path: Path) -> None:
    """A person types the first character of the proposal and accepts the rest at once."""
    go_to(editor, TYPED, tmp_path)
    ghost = editor.await_ghost()
    before = editor.buffer

    editor.press(f"{ghost.text[0]}<Tab>".replace("<<", "<lt><"))
    eventually(lambda: editor.buffer != before, "the buffer changes")
    leave(editor)

    assert editor.buffer == ghost.put_into(before)


def test_typing_something_else_accepts_nothing(editor: Neovim, tmp_path: Path) -> None:
    """A proposal the text no longer agrees with is not put into the buffer."""
    go_to(editor, TYPED, tmp_path)
    ghost = editor.await_ghost()
    before = editor.buffer
    other = "q" if ghost.text[0] != "q" else "z"

    editor.press(f"{other}<Tab>")
    eventually(lambda: editor.buffer != before, "the buffer changes")
    leave(editor)

    assert editor.buffer == [*before[: ghost.row], before[ghost.row] + other]


_READ_AHEAD = """
local client = vim.lsp.get_clients({ name = 'codegen_lsp' })[1]
return client:request_sync('codegen/statistics', vim.empty_dict(), 10000).result.prewarmed
"""


def test_where_the_cursor_rests_the_code_is_read(editor: Neovim, tmp_path: Path) -> None:
    """A person looks elsewhere without a key of writing; what is there is read meanwhile."""
    go_to(editor, SPOTS[0], tmp_path)
    editor.await_ghost()  # the model is open
    leave(editor)
    before = editor.lua(_READ_AHEAD)
    other = tmp_path / "other.py"
    function = "def load_{0}(path):\n    with open(path) as file:\n        return file.read()\n\n\n"
    other.write_text("".join(map(function.format, range(60))), encoding="utf-8")
    editor.open(other)
    editor.press("200G")
    eventually(lambda: editor.lua(_READ_AHEAD) > before, "what is there is read")


CLOSINGS: list[tuple[str, Callable[[Neovim], None]]] = [
    ("as a person closes it", Neovim.quit),
    ("by a crash", lambda editor: os.kill(editor.pid, signal.SIGKILL)),
]


@pytest.mark.parametrize("close", [c for _, c in CLOSINGS], ids=[name for name, _ in CLOSINGS])
def test_closing_the_editor_leaves_no_process(
    command: Path, server: Path, tmp_path: Path, close: Callable[[Neovim], None]
) -> None:
    """However Neovim ends, the server ends too, even when it has just been working."""
    with start(command, tmp_path, server=server) as editor:
        go_to(editor, SPOTS[0], tmp_path)
        editor.await_ghost()
        processes = [psutil.Process(pid) for pid in editor.descendants()]
        assert processes, "no server was started"
        close(editor)
        _, alive = psutil.wait_procs(processes, timeout=20)
    assert [process.cmdline() for process in alive] == []
