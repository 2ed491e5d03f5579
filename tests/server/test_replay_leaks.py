"""What a replay hides reaches the model in no way: not from the disk, not from an index that was
read before, not from another document, not from another position, not key by key.

The real server with the bundled model over stdio; what is read is written down by
``support.spied_server``. Every hidden word stands once in the whole repository, or in a copy of it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from codegen_lsp.evaluation.client import Client
from codegen_lsp.evaluation.replay.corpora import own
from codegen_lsp.evaluation.replay.driver import ask_points
from codegen_lsp.evaluation.replay.editor import Buffer, Editor, Shown
from codegen_lsp.evaluation.replay.keystrokes import type_lines
from codegen_lsp.evaluation.replay.results import Point
from codegen_lsp.evaluation.replay.sampling import draw_blocks, draw_lines, draw_points
from codegen_lsp.evaluation.replay.working_copy import WorkingCopy, make_copy

BUNDLED = Path(__file__).parents[2] / "codegen_lsp" / "models" / "bundled"
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not (BUNDLED / "model.bin").exists(), reason="the bundled model is not there"
)

WORDS = ("amber", "birch", "cedar", "delta", "ember", "flint", "grove", "heron", "ivory", "jade")

FUNCTION = '''\
def {name}_rate(price, count):
    """How much it is per piece."""
    total = price * {number} + {name}_margin
    ledger.note(total, "{name}_first", count)
    if total > {number}0:
        return {name}_second(total) + count
    return count / {name}_third


'''

OTHER = """\
from shop.{last} import {name}_rate


def bill_of_{name}(price, count):
    total = {name}_rate(price, count)
    print("bill", total)
    return total
"""


def module(names: tuple[str, ...]) -> str:
    """A module with a function for each name."""
    functions = "".join(
        FUNCTION.format(name=name, number=number) for number, name in enumerate(names, 2)
    )
    return "import math\n\n\n" + functions.rstrip() + "\n"


def marked(text: str) -> set[str]:
    """The words that stand on one line only."""
    return set(re.findall(r"[a-z]+_(?:margin|first|second|third)\b", text))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Modules, who uses them, and what gives them away: a copy, a bundle, a copy without words."""
    folder = tmp_path / "source" / "shop"
    folder.mkdir(parents=True)
    first, second = module(WORDS[:5]), module(WORDS[5:])
    (folder / "alpha.py").write_text(first)
    (folder / "beta.py").write_text(second)
    for name, last in (("amber", "alpha"), ("heron", "beta")):
        (folder / f"use_{name}.py").write_text(OTHER.format(name=name, last=last))
    (folder / "zz_backup.py").write_text(first.replace("price", "cost", 3))
    more = "".join(f"def extra_{n}(value):\n    return value + {n}\n\n\n" for n in range(300))
    (folder / "zz_bundle.py").write_text(second + "\n\n" + more)
    return folder


@asynccontextmanager
async def editor(
    folder: Path, tmp_path: Path
) -> AsyncIterator[tuple[Editor, WorkingCopy, Callable[[], list[str]]]]:
    """An editor on a copy of *folder*, and what the model has read since that was asked last."""
    (tmp_path / "scratch").mkdir()
    copy = make_copy(own(folder), tmp_path / "scratch")
    prompts = tmp_path / "prompts"
    prompts.touch()
    begin = 0

    def read() -> list[str]:
        nonlocal begin
        found = prompts.read_text(encoding="utf-8").splitlines()
        new, begin = found[begin:], len(found)
        return [json.loads(line) for line in new]

    client = Client(
        {"suggestions": "eager"},
        command=(sys.executable, "-m", "tests.support.spied_server", "--stdio"),
        environment={"SPIED_PROMPTS": str(prompts), "PYTHONPATH": str(ROOT)},
        folder=copy.root,
    )
    async with client:
        one = Editor(client, copy)
        await one.begin()
        read()
        yield one, copy, read


def drawn(copy: WorkingCopy) -> Iterator[Point]:
    """Points and bodies of the two modules, as a replay draws them, many of each file."""
    held = {path: text for path, text in copy.texts.items() if not path.startswith("use_")}
    for seed in range(3):
        yield from draw_points("shop", held, seed, 8)
        yield from draw_blocks("shop", held, seed, 4)


def test_a_copy_has_no_file_that_gives_another_away(repository: Path, tmp_path: Path) -> None:
    """Each of the words stands in one file: a copy and a bundle are out."""
    copy = make_copy(own(repository), tmp_path / "scratch")
    for word in marked(module(WORDS)):
        assert sum(word in text for text in copy.texts.values()) == 1, word


async def test_no_hidden_word_is_read_at_a_point(repository: Path, tmp_path: Path) -> None:
    """Also after the file was shown whole at another point, and left open whole.

    Nor does any answer say it, whoever gave it: what was asked before is asked of nobody again.
    """
    leaks: list[tuple[Point, str]] = []
    asked = 0

    async with editor(repository, tmp_path) as (one, copy, read):
        points = sorted(drawn(copy), key=lambda point: (point.path, point.line, point.column))
        # There and back: every file is left and comes again, other ones stay open beside it.
        for point in [*points, *reversed(points)]:
            (answer,) = await ask_points(one, copy, [point], lambda: None)
            hidden = marked(point.truth)
            prompts = read()
            asked += bool(prompts) and bool(hidden)
            # Nor is it answered from what stands elsewhere, or was said at another time.
            texts = [*prompts, answer.text or ""]
            leaks += [(point, word) for text in texts for word in hidden if word in text]
    assert leaks == []
    assert asked > 10


async def test_a_line_is_read_as_far_as_it_is_typed(repository: Path, tmp_path: Path) -> None:
    """Key by key: what is not typed yet is nowhere."""
    leaks: list[tuple[Point, str]] = []
    asked = 0

    class Typist(Editor):
        """Sees what the model has read after each key."""

        async def ask(self, buffer: Buffer, patience: float | None = None) -> Shown | None:
            """With all the time there is, so that no question is given up."""
            nonlocal asked
            shown = await super().ask(buffer, None)
            written = marked(buffer.before + buffer.after)
            unwritten = marked(point.truth) - written
            prompts = read()
            asked += bool(prompts) and bool(unwritten)
            leaks.extend((point, word) for text in prompts for word in unwritten if word in text)
            return shown

    async with editor(repository, tmp_path) as (one, copy, read):
        held = {path: text for path, text in copy.texts.items() if not path.startswith("use_")}
        typist = Typist(one._client, copy)
        lines = [line for line in draw_lines("shop", held, 0, 40) if marked(line.truth)][:4]
        for point in lines:
            await type_lines(typist, copy, [point], 0, lambda: None)
    assert leaks == []
    assert asked > 10
