"""Records a real Neovim with the real server, and draws `.github/media/neovim.svg`.

``python -m tests.e2e.record_neovim [PICTURE]`` opens `sample.py`, types as a person does, waits
for the ghost text and accepts it. All in the picture but its frame and the captions was drawn by
Neovim; how long a moment is shown is made for reading and measures nothing.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.install_neovim import NeovimUnavailableError, find_or_install
from tests.e2e.neovim import REPOSITORY, Neovim, eventually, start
from tests.e2e.picture import Moment, render

SAMPLE = Path(__file__).with_name("sample.py")
PICTURE = REPOSITORY / ".github" / "media" / "neovim.svg"
TYPED = (" ",)
"""What is typed at the end of the sample, with a moment of the recording after each part."""
COLUMNS, LINES = 90, 24
KEY_SECONDS = 0.06
"""Pause between two keys: a person's pace, so that the server sees what it sees in daily use."""


def main(arguments: Sequence[str]) -> int:
    """Record and write the picture; return the exit code."""
    try:
        command = find_or_install()
    except NeovimUnavailableError as error:
        print(error, file=sys.stderr)
        return 1
    server = os.environ.get("CODEGEN_LSP_E2E_SERVER")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with start(command, home, COLUMNS, LINES, Path(server) if server else None) as editor:
            moments = record(editor, home)
    picture = Path(arguments[0]) if arguments else PICTURE
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text(render(moments, "Neovim with codegen-lsp"), encoding="utf-8")
    print(picture)
    return 0


def record(editor: Neovim, home: Path) -> list[Moment]:
    """Play the scene; return its moments in order."""
    path = home / "sample.py"
    shutil.copy(SAMPLE, path)
    editor.open(path)
    editor.command(f"cd {home} | setlocal number | normal! G")
    # Neovim's own grey can hardly be read in a picture made smaller.
    editor.command("highlight ComplHint guifg=#8b93a8 gui=italic")
    moments = [Moment(editor.look(), "a Python file in Neovim", 1.5)]
    editor.press("A")
    for part in TYPED:
        _type(editor, part)
        moments.append(Moment(editor.look(), "you type", 0.7))
    ghost = editor.await_ghost()
    moments.append(Moment(editor.look(), "the bundled model proposes, offline", 3.0, key=True))
    before = editor.buffer
    editor.press("<Tab>")
    eventually(lambda: editor.buffer != before, "the buffer changes")
    moments.append(Moment(editor.look(), "Tab accepts", 2.5))
    assert editor.buffer == ghost.put_into(before), "the buffer does not hold what was shown"
    return moments


def _type(editor: Neovim, text: str) -> None:
    for key in text:
        editor.press(key.replace("<", "<lt>"))
        time.sleep(KEY_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
