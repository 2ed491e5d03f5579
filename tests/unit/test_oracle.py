"""A model that is always right, and one that breaks off: what the clean-up leaves of them.

On Python's standard library, with fixed seeds. The shares that are asked for are those of a good
clean-up, not of one version of the library: they are measured to be higher.
"""

from __future__ import annotations

import ast
import functools
import random
import re
import sysconfig
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest

from codegen_lsp.completion.budget import plan
from codegen_lsp.completion.cleanup import Draft, tidy
from codegen_lsp.completion.loops import loop_start
from codegen_lsp.completion.place import place_of
from codegen_lsp.completion.stopping import End, Stopper
from codegen_lsp.config.settings import Settings
from codegen_lsp.types import CompletionContext, Trigger

MODULES = """argparse ast bisect calendar cmd codeop configparser contextlib csv dataclasses difflib
dis filecmp fileinput fnmatch fractions functools getopt glob gzip heapq inspect json/decoder
json/encoder linecache logging/handlers mailbox mimetypes netrc numbers opcode operator optparse
pathlib pickle platform plistlib pprint profile queue random sched secrets selectors shelve shlex
shutil smtplib socketserver statistics string stringprep subprocess tarfile tempfile textwrap
threading timeit tokenize traceback types typing uuid warnings weakref zipapp encodings/cp437
encodings/utf_8 email/message http/client http/server urllib/parse xml/dom/minidom"""

NEAR = 4096
"""Characters of a document that a request shows on either side."""

TOKEN = re.compile(r"\w{1,6}| ?[^\w\s]{1,2}|\n[ \t]*|[ \t]+|.", re.DOTALL)


@dataclass(frozen=True)
class Hidden:
    """A text with a hole."""

    text: str
    start: int
    end: int

    @property
    def before(self) -> str:
        return self.text[: self.start]

    @property
    def truth(self) -> str:
        return self.text[self.start : self.end]

    @property
    def after(self) -> str:
        return self.text[self.end :]

    def answered(self, said: str, trigger: Trigger, tokens: int = 10_000) -> str:
        """What is shown of *said*, which breaks off after *tokens* tokens."""
        context = CompletionContext(
            self.before[-NEAR:],
            self.after[:NEAR],
            language_id="python",
            starts_document=self.start <= NEAR,
        )
        planned = plan(place_of(context), trigger, Settings())
        stopper, end = Stopper(planned), End.WHOLE
        for count, token in enumerate(TOKEN.findall(said)):
            if count == tokens:
                end = End.CUT
                break
            if stopper.push(token):
                break
        answer = stopper.finish(end)
        left = tidy(Draft(answer.text, planned, context, answer.end))
        assert left is None or not left.replaced
        return "" if left is None else left.text


@functools.cache
def texts() -> tuple[str, ...]:
    folder = Path(sysconfig.get_path("stdlib"))
    paths = [folder / f"{name}.py" for name in MODULES.split()]
    found = tuple(path.read_text("utf-8") for path in paths if path.is_file())
    if len(found) < len(paths) // 2:
        pytest.skip("the standard library is not there as text")
    return found


@functools.cache
def hidden_lines() -> tuple[Hidden, ...]:
    """Ends of lines: from the first character, from a token, from within a word."""
    draw, found = random.Random(0), []
    for text in texts():
        lines = [m for m in re.finditer(r"[^\n]+", text) if len(m.group().strip()) > 5]
        for line in draw.sample(lines, min(5, len(lines))):
            code = line.group().rstrip()
            places = [m.start() for m in re.finditer(r"\w+|[^\w\s]", code)]
            place = draw.choice(
                [places[0], draw.choice(places), draw.randrange(places[0], len(code))]
            )
            if len(code) - place > 3:
                found.append(Hidden(text, line.start() + place, line.start() + len(code)))
    return tuple(found)


@functools.cache
def hidden_blocks() -> tuple[Hidden, ...]:
    """Bodies of two lines or more of functions, classes, branches and loops."""
    draw, found = random.Random(0), []
    for text in texts():
        starts = [0, *(m.end() for m in re.finditer("\n", text))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nodes = list(ast.walk(ast.parse(text)))
        bodies = []
        for node in nodes:
            body = getattr(node, "body", None)
            if isinstance(node, ast.stmt) and isinstance(body, list):
                first, last = body[0], body[-1]
                start = starts[first.lineno - 1] + first.col_offset
                end = starts[(last.end_lineno or 1) - 1] + (last.end_col_offset or 0)
                hole = Hidden(text, start, text.find("\n", end) if "\n" in text[end:] else end)
                if (
                    hole.before.rstrip(" ").endswith(":\n")
                    and "\n" in hole.truth
                    and text.isascii()
                ):
                    bodies.append(hole)
        found += draw.sample(bodies, min(3, len(bodies)))
    return tuple(found)


def share(results: list[bool]) -> float:
    assert len(results) > 100
    return sum(results) / len(results)


@pytest.mark.parametrize("trigger", Trigger)
@pytest.mark.parametrize("more", [0, 300])
def test_the_right_line_survives(trigger: Trigger, more: int) -> None:
    """The end of a line is shown as it was, also where the model goes on with what follows."""
    right = [
        hole.answered(hole.truth + hole.after[:more], trigger).split("\n")[0] == hole.truth
        for hole in hidden_lines()
    ]
    assert share(right) >= 0.97


@pytest.mark.parametrize("more", [0, 300])
def test_the_right_block_survives(more: int) -> None:
    """A body is shown as it was; unasked, one without blank lines that is not too long."""
    short = [
        hole
        for hole in hidden_blocks()
        if hole.truth.count("\n") < 12 and not re.search(r"\n[ \t]*\n", hole.truth)
    ]
    right = [
        hole.answered(hole.truth + hole.after[:more], trigger) == hole.truth
        for trigger in Trigger
        for hole in short
    ]
    assert share(right) >= 0.95


def spoiled(hole: Hidden, draw: random.Random) -> list[tuple[str, int]]:
    """Answers that break off, that lack a line, and that end too early."""
    said = hole.truth + hole.after[:200]
    lines = hole.truth.split("\n")
    without = draw.randrange(1, len(lines))
    return [
        (said, draw.randrange(1, 60)),
        ("\n".join(lines[:without] + lines[without + 1 :]) + hole.after[:200], 10_000),
        (said[: draw.randrange(1, len(said))], 10_000),
    ]


def parses(code: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(code)
        except SyntaxError:
            return False
    return True


def test_what_is_shown_of_a_spoiled_block_fits() -> None:
    """Several lines parse where they stand, hold no loop and do not say what follows."""
    draw = random.Random(1)
    parsed = []
    for hole in hidden_blocks():
        below = next((line for line in hole.after.split("\n") if line.strip()), "")
        for said, tokens in spoiled(hole, draw):
            shown = hole.answered(said, Trigger.AUTOMATIC, tokens)
            assert len(below.strip()) < 4 or below not in shown.split("\n")
            assert loop_start((), "", shown) is None
            if "\n" in shown:
                parsed.append(parses(hole.before + shown + hole.after))
    assert share(parsed) >= 0.97
