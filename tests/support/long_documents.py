"""Documents as long as one wants: code that is valid, varied, and the same at every call.

Python is the standard library's own modules, one behind another. TypeScript and C are written by a
small generator: classes and functions whose names, arguments and statements differ. And random
places in them where something can be typed.
"""

from __future__ import annotations

import itertools
import random
import re
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["LANGUAGES", "Spot", "document", "spots"]

_MODULES: Final = (
    "argparse ast calendar cmd configparser csv datetime difflib dis fractions ftplib gettext glob "
    "gzip heapq imaplib inspect locale mailbox mimetypes nntplib optparse pathlib pdb pickle "
    "plistlib poplib pprint pydoc queue random sched selectors shelve shlex shutil smtplib socket "
    "ssl statistics subprocess tarfile tempfile textwrap threading trace traceback typing unittest "
    "uuid weakref zipfile"
)
_FUTURE: Final = re.compile(r"^from __future__ import .*$", re.MULTILINE)

BLOCK_LINES: Final = 6
"""Most lines of an answer that is a block."""

EVERY_BLOCK: Final = 3
"""At one place in so many the answer is a block."""

_DEFINITION: Final = re.compile(r"\n(?=def |class |@|export |/\*\* |struct )")

_NOUNS: Final = (
    "account balance batch buffer channel client cursor delta entry event field filter frame group "
    "handle header index item key label limit line link list match member merge message node "
    "offset order owner page parent part path peer point queue range record region report result "
    "route score session shape signal slot source span stack state stream table target task token "
    "total trace tree unit user value vector view weight window worker"
)
_WORDS: Final = _NOUNS.split()


def _python(lines: int) -> Iterator[str]:
    root, count = Path(sysconfig.get_paths()["stdlib"]), 0
    while count < lines:
        for name in _MODULES.split():
            path = root / f"{name}.py"
            if path.is_file():
                text = _FUTURE.sub("", path.read_text(encoding="utf-8"))
                count += text.count("\n")
                yield text if text.endswith("\n") else text + "\n"


def _name(chance: random.Random, *, type_name: bool = False) -> str:
    first, second = chance.choice(_WORDS), chance.choice(_WORDS)
    return f"{first.title()}{second.title()}" if type_name else f"{first}{second.title()}"


def _typescript(lines: int) -> Iterator[str]:
    chance, count = random.Random(7), 0
    yield 'import { Logger } from "./logger";\nimport * as fs from "node:fs";\n\n'
    while count < lines:
        text = _class(chance)
        count += text.count("\n")
        yield text


def _class(chance: random.Random) -> str:
    name, fields = _name(chance, type_name=True), [_name(chance) for _ in range(3)]
    out = [f"/** Keeps what a {name} knows. */", f"export class {name}{chance.randrange(999)} {{"]
    out += [f"  private {field}: Map<string, number> = new Map();" for field in fields]
    for _ in range(chance.randrange(3, 9)):
        one, two, made = _name(chance), _name(chance), _name(chance)
        out += [
            "",
            f"  {one}({two}: string, limit = {chance.randrange(99)}): number {{",
            f"    const {made} = this.{chance.choice(fields)}.get({two}) ?? 0;",
            f"    if ({made} > limit) {{",
            f"      this.{chance.choice(fields)}.set({two}, {made} - limit);",
            f"      return {made} * {chance.randrange(2, 50)};",
            "    }",
            f"    for (const [key, value] of this.{chance.choice(fields)}) {{",
            f"      console.log(`${{key}}: ${{value}} of {two}`, {made});",
            "    }",
            f"    return {made};",
            "  }",
        ]
    return "\n".join([*out, "}", "", ""])


def _c(lines: int) -> Iterator[str]:
    chance, count = random.Random(11), 0
    yield "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\n"
    while count < lines:
        text = _function(chance, count)
        count += text.count("\n")
        yield text


def _function(chance: random.Random, number: int) -> str:
    one, two, made = chance.sample(_WORDS, 3)
    return f"""struct {one}_{number} {{
    int {two};
    char *{made};
    struct {one}_{number} *next;
}};

/* Finds the {two} of a {one}. */
static int {one}_find_{two}_{number}(struct {one}_{number} *head, const char *{made}, int limit)
{{
    int count = 0;
    for (struct {one}_{number} *at = head; at != NULL; at = at->next) {{
        if (strcmp(at->{made}, {made}) == 0 && at->{two} < limit) {{
            count += at->{two} * {chance.randrange(2, 50)};
            printf("%s: %d of %d\\n", at->{made}, count, limit);
        }} else {{
            at->{two} = limit - count;
        }}
    }}
    return count > limit ? limit : count;
}}

"""


LANGUAGES: Final[Mapping[str, tuple[str, Callable[[int], Iterator[str]]]]] = {
    "python": (".py", _python),
    "typescript": (".ts", _typescript),
    "c": (".c", _c),
}
"""LSP language identifier to the ending of files and to what writes them."""


def document(language_id: str, lines: int) -> str:
    """A text of a language of :data:`LANGUAGES`: whole definitions, at least *lines* lines.

    It ends before the next one that is not indented.
    """
    parts: list[str] = []
    count = 0
    for part in LANGUAGES[language_id][1](lines):
        parts.append(part)
        count += part.count("\n")
        if count >= lines:
            break
    text = "".join(parts)
    end = re.compile(rf"(?:[^\n]*\n){{{lines}}}").match(text)
    assert end is not None
    begin = _DEFINITION.search(text, end.end() - 1)
    return text if begin is None else text[: begin.start() + 1]


@dataclass(frozen=True, slots=True)
class Spot:
    """Where something is typed."""

    text: str
    """The document without what is typed and without what it is answered with."""

    offset: int
    typed: str
    rest: str
    """What stood behind what is typed."""


def spots(text: str, count: int, keys: int) -> Iterator[Spot]:
    """Random places in lines that hold something; always the same."""
    chance = random.Random(3)
    lines = text.splitlines(keepends=True)
    starts = [0, *itertools.accumulate(map(len, lines))]
    openers = [n for n, line in enumerate(lines) if line.rstrip().endswith((":", "{"))]
    longer = [n for n, line in enumerate(lines) if len(line.strip()) > keys and line.isascii()]
    for turn in range(count):
        block = turn % EVERY_BLOCK == 0
        number = chance.choice([n for n in (openers if block else longer) if n > len(lines) // 4])
        stop = number + 1 + (_body(lines, number) if block else 0)
        line = lines[number].rstrip()
        indent = len(line) - len(line.lstrip())
        column = indent if block else chance.randrange(indent, len(line) - keys + 1)
        offset = starts[number] + column
        end = starts[stop] - 1
        typed = text[offset : min(offset + keys, end)].partition("\n")[0]
        yield Spot(text[:offset] + text[end:], offset, typed, text[offset + len(typed) : end])


def _body(lines: Sequence[str], line: int) -> int:
    """How many lines of the block that a line opens are hidden: all of it, if they are few."""
    indent = len(lines[line]) - len(lines[line].lstrip())
    body = 0
    for one in lines[line + 1 : line + 1 + BLOCK_LINES]:
        if one.strip() and len(one) - len(one.lstrip()) <= indent:
            break
        body += 1
    return body
