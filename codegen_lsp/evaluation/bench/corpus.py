"""Code for a typing session: files that the bundled model has not seen in training.

Without a folder of the user's these are this program's own files and those of installed
distributions that are not on the list of what the bundled model was trained on
(``tpu/sources.tsv``). What other models have seen nobody knows.
"""

from __future__ import annotations

import csv
import importlib.metadata
import itertools
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final

import codegen_lsp
from codegen_lsp.context.files import Refusal, read_source, walk
from codegen_lsp.context.ignoring import Ignore
from codegen_lsp.errors import CorpusError
from codegen_lsp.evaluation.bench.script import Page

__all__ = ["pages_from", "unseen_pages"]

FEWEST_LINES: Final = 40
MOST_CHARACTERS: Final = 200_000

MOST_PAGES: Final = 1000
"""Files that are read at all; those that are typed are spread evenly over them."""

FILES_OF_ONE: Final = 60
"""Files that are taken from one distribution at most, so that none is most of the session."""


def pages_from(folder: Path, count: int) -> list[Page]:
    """Up to *count* Python files of *folder*, in the order of their paths.

    :raises CorpusError: there are none that are long enough.
    """
    found = sorted(path for path, _ in walk(folder, Ignore(folder)) if path.endswith(".py"))
    pages = _readable((folder / path, path) for path in found)
    return _some(pages, count, str(folder))


def unseen_pages(count: int) -> list[Page]:
    """Up to *count* files that the bundled model was not trained on.

    :raises CorpusError: none of them is there as source.
    """
    return _some(_readable(_unseen_files()), count, "this installation")


def _some(pages: Iterator[Page], count: int, where: str) -> list[Page]:
    enough = list(itertools.islice(pages, MOST_PAGES))
    chosen = [enough[at * len(enough) // count] for at in range(min(count, len(enough)))]
    if len(enough) < count:
        chosen = enough
    if not chosen:
        raise CorpusError(
            f"no Python file of {where} has {FEWEST_LINES} lines", mend="name another folder"
        )
    return chosen


def _readable(paths: Iterator[tuple[Path, str]]) -> Iterator[Page]:
    """Pages, no two of one name: distributions share folders, some of them files in those."""
    seen: set[str] = set()
    for path, name in paths:
        if name.casefold() in seen:
            continue
        seen.add(name.casefold())
        text = read_source(path)
        if isinstance(text, Refusal) or len(text) > MOST_CHARACTERS:
            continue
        plain = text.replace("\r\n", "\n").replace("\r", "\n")
        if plain.count("\n") >= FEWEST_LINES:
            yield Page(name, plain)


def _unseen_files() -> Iterator[tuple[Path, str]]:
    """Our own files, then a few of each distribution."""
    own = Path(codegen_lsp.__file__).parent
    for path in sorted(own.rglob("*.py")):
        yield path, f"{own.name}/{path.relative_to(own).as_posix()}"
    seen = _trained_on() | {_normal("codegen-lsp")}
    others = {_normal(one.name): one for one in importlib.metadata.distributions()}
    for name in sorted(others.keys() - seen):
        yield from _files_of(others[name])


def _files_of(distribution: importlib.metadata.Distribution) -> Iterator[tuple[Path, str]]:
    names = sorted(str(one) for one in distribution.files or [] if str(one).endswith(".py"))
    for name in names[:FILES_OF_ONE]:
        if not name.startswith(".."):
            yield Path(str(distribution.locate_file(name))), Path(name).as_posix()


def _trained_on() -> set[str]:
    """The distributions of the bundled model's corpus, by their normal names."""
    text = files("codegen_lsp.tpu").joinpath("sources.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    return {_normal(row["name"]) for row in rows if row["role"] == "train"}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
