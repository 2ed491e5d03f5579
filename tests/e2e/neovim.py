"""Drives a real Neovim the way a person does: keys in, screen out.

Knows how Neovim is started with the set-up that `editors/neovim/README.md` shows, how its keys
are pressed and how its ghost text is read. Deliberately does not know where Neovim comes from
(`install_neovim`) nor which server answers: that is the ``codegen-lsp`` first on the ``PATH``.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pynvim

from tests.e2e.screen import Screen, Shot

REPOSITORY = Path(__file__).resolve().parents[2]
GUIDE = REPOSITORY / "editors" / "neovim" / "README.md"
PATIENCE = 60.0
"""Seconds until something awaited counts as missing; a cold model on a busy machine is slow."""

T = TypeVar("T")

_GHOST = """
local namespace = vim.api.nvim_create_namespace('nvim.lsp.inline_completion')
local mark = vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true })[1]
if not mark then
  return vim.NIL
end
local function joined(chunks)
  return vim.iter(chunks or {}):map(function(chunk) return chunk[1] end):join('')
end
local lines = { joined(mark[4].virt_text) }
vim.list_extend(lines, vim.tbl_map(joined, mark[4].virt_lines or {}))
return { mark[2], mark[3], table.concat(lines, '\\n'), mark[4].virt_text_pos == 'overlay' }
"""

_CLIENTS = """
return vim.tbl_map(
  function(client) return client.name end,
  vim.lsp.get_clients({ bufnr = 0, method = 'textDocument/inlineCompletion' })
)
"""


@dataclass(frozen=True)
class Ghost:
    """The ghost text that Neovim shows."""

    row: int
    """Line of the buffer, from 0."""
    column: int
    """Byte of the line, from 0."""
    text: str
    """What is shown, lines joined by newlines."""
    covers: bool
    """Whether it is drawn over as many characters of the line, instead of between them."""

    def put_into(self, lines: Sequence[str]) -> list[str]:
        """Return the buffer as it must be once this has been accepted."""
        line = lines[self.row].encode()
        left, right = line[: self.column].decode(), line[self.column :].decode()
        if self.covers:
            right = right[len(self.text) :]
        return [
            *lines[: self.row],
            *(left + self.text + right).split("\n"),
            *lines[self.row + 1 :],
        ]


class Neovim:
    """A running editor; :func:`start` makes one and cleans up behind it."""

    def __init__(self, session: Any, columns: int, lines: int) -> None:
        self._session = session
        self._screen = Screen(columns, lines)
        session.ui_attach(columns, lines, rgb=True, ext_linegrid=True)
        self.pid: int = session.call("getpid")

    def press(self, keys: str) -> None:
        """Press keys, special ones as ``<Esc>``; returns before Neovim has dealt with them."""
        self._session.input(keys)

    def command(self, text: str) -> None:
        """Run one Ex command."""
        self._session.command(text)

    def lua(self, code: str) -> Any:
        """Run Lua in the editor and return what it returns."""
        return self._session.exec_lua(code)

    @property
    def buffer(self) -> list[str]:
        """The lines of the current buffer."""
        return list(self._session.current.buffer[:])

    @property
    def mode(self) -> str:
        """Neovim's short name of the mode, ``i`` in insert mode."""
        return str(self._session.api.get_mode()["mode"])

    @property
    def clients(self) -> list[str]:
        """Names of the servers attached that answer inline completions."""
        return list(self.lua(_CLIENTS))

    @property
    def ghost(self) -> Ghost | None:
        """The ghost text shown at the moment."""
        found = self.lua(_GHOST)
        return Ghost(*found) if found else None

    def descendants(self) -> list[int]:
        """Return the process ids of all that Neovim started, and of what these started."""
        waiting, found = [self.pid], list[int]()
        while waiting:
            children = self._session.api.get_proc_children(waiting.pop())
            found += children
            waiting += children
        return found

    def look(self) -> Shot:
        """Return the screen with everything drawn that is to be drawn."""
        self.lua(f"vim.cmd.redraw() vim.rpcnotify({self._session.channel_id}, 'drawn')")
        while True:
            _, name, arguments = self._session.next_message()
            if name == "drawn":
                return self._screen.shot()
            if name == "redraw":
                self._screen.handle(arguments)

    def open(self, path: Path) -> None:
        """Edit a file and wait until the server is attached to it."""
        self.command(f"edit {path}")
        eventually(lambda: "codegen_lsp" in self.clients, "the server is attached")

    def write_at(self, line: int, keys: str = "A") -> Ghost:
        """Go to a line (from 1), press keys, and wait for ghost text to appear."""
        self.command(str(line))
        self.press(keys)
        return self.await_ghost()

    def await_ghost(self) -> Ghost:
        """Wait for ghost text."""
        return eventually(lambda: self.ghost, "ghost text is shown")

    def quit(self) -> None:
        """Close the editor as a person would."""
        with contextlib.suppress(OSError, EOFError):
            self.command("qall!")


def eventually(probe: Callable[[], T | None], what: str, patience: float = PATIENCE) -> T:
    """Ask again and again until the answer is truthy; fail by name when patience runs out."""
    end = time.monotonic() + patience
    while not (answer := probe()):
        assert time.monotonic() < end, f"after {patience:.0f} s still not: {what}"
        time.sleep(0.02)
    return answer


@contextlib.contextmanager
def start(
    command: Path, home: Path, columns: int = 90, lines: int = 24, server: Path | None = None
) -> Iterator[Neovim]:
    """Start Neovim with the guide's example as its configuration, in an empty home folder.

    ``server`` is the folder that holds ``codegen-lsp``, by default that of this Python.
    """
    environment = _environment(home, server or Path(sys.executable).parent)
    configuration = _home_with_configuration(home)
    arguments = [str(command), "--embed", "--headless", "--clean", "-n", "-u", str(configuration)]
    before = dict(os.environ)
    try:
        # pynvim starts the editor with the environment of this process.
        os.environ.update(environment)
        session = pynvim.attach("child", argv=arguments)
    finally:
        os.environ.clear()
        os.environ.update(before)
    editor = Neovim(session, columns, lines)
    try:
        yield editor
    finally:
        editor.quit()
        with contextlib.suppress(OSError):
            session.close()


def _environment(home: Path, server: Path) -> dict[str, str]:
    return {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_STATE_HOME": str(home / ".state"),
        "XDG_DATA_HOME": str(home / ".data"),
        "CODEGEN_LSP_HOME": str(home / ".codegen-lsp"),
        "PATH": f"{server}{os.pathsep}{os.environ.get('PATH', '')}",
        "LC_ALL": "C.UTF-8",
    }


def _home_with_configuration(home: Path) -> Path:
    """Write the guide's example word for word, with the repository where the example says."""
    clone = home / "codegen-lsp"
    if not clone.exists():
        clone.symlink_to(REPOSITORY, target_is_directory=True)
    example = re.search(r"^```lua\n(.*?)^```", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert example is not None, f"{GUIDE} shows no configuration"
    configuration = home / "init.lua"
    configuration.write_text(example[1], encoding="utf-8")
    return configuration
