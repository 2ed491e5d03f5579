"""What stands elsewhere, beside the model."""

from __future__ import annotations

import pytest

from codegen_lsp.config.settings import Settings
from codegen_lsp.types import Source, Trigger
from tests.support.cursor import query_at
from tests.support.keystrokes import QUIET, Neighbours, saying, serving, shown

COPYING = "def third(rows):\n    for row in rows:\n        connection.execute(¦\n"


async def test_what_stands_elsewhere_needs_no_model() -> None:
    """It is there at once, goes on while it is typed, and is not what was asked for explicitly."""
    engine, neighbours = saying("value\n"), Neighbours()
    service = serving(engine, neighbours=neighbours)
    completion = await service.complete(query_at(COPYING))
    assert (shown(completion), completion and completion.source) == (
        "INSERT_ROW, row.values())",
        Source.COPY,
    )
    typed = await service.complete(query_at(COPYING.replace("¦", "INS¦")))
    assert (shown(typed), typed and typed.source) == ("ERT_ROW, row.values())", Source.TYPED)
    assert (engine.requests, service.statistics()["copied"]) == ([], 1)
    asked = await service.complete(query_at(COPYING, Trigger.INVOKED))
    assert shown(asked) == "value"


@pytest.mark.parametrize("broken", [True, False])
async def test_without_copies(broken: bool) -> None:
    """Where they are not wanted, or cannot be looked for, the model is asked."""
    engine, neighbours = saying("value\n"), Neighbours()
    neighbours.broken = broken
    settings = QUIET if broken else Settings(prefetch=False, copies=False)
    service = serving(engine, settings, neighbours=neighbours)
    assert shown(await service.complete(query_at(COPYING))) == "value"
