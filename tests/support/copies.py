"""Documents that lie open, and code that stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen_lsp.context.copies import Finder, Place, Text, here
from codegen_lsp.context.copies_texts import Searched
from codegen_lsp.types import CompletionQuery
from tests.support.cursor import query_at

LOADING = """\
def load_users(path: Path) -> list[User]:
    with path.open(encoding="utf-8") as handle:
        rows = csv.DictReader(handle, delimiter=";")
        return [User.from_row(row) for row in rows]


def load_groups(path: Path) -> list[User]:
    with path.open(encoding="utf-8") as handle:
        rows = csv.DictReader(handle, delimiter=";")
        return [User.from_row(row) for row in rows]
"""

SERVICE = """\
class Orders:
    def close(self) -> None:
        self._session.commit()
        self._session.close()
        logger.info("closed the session of %s", self._name)
        self._closed = True
"""

SAVING = """\
export function save(items: Item[]): void {
  const text = JSON.stringify(items, null, 2);
  localStorage.setItem("items", text);
}
"""


@dataclass
class Desk:
    """Documents that lie open."""

    others: Sequence[str] = ()

    def texts(self, query: CompletionQuery) -> Searched:
        """All of them."""
        texts = [Text(query.snapshot.uri, query.snapshot.text)]
        texts += [Text(f"other{at}", text, 1) for at, text in enumerate(self.others)]
        return Searched(tuple(texts), query.offset)


def found(code: str, *others: str) -> list[Place]:
    """Places of what stands before the cursor sign."""
    query = query_at(code)
    searched = Desk(others).texts(query)
    around = here(query.snapshot.text, query.offset)
    return Finder().places(around, searched.texts, query.offset)
