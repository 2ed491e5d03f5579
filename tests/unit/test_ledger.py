"""What is known of a folder's files, when things go wrong or come in an odd order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codegen_lsp.context import keeper as module
from codegen_lsp.context.facts import FileFacts, facts_of
from codegen_lsp.context.files import Refusal, Stamp
from codegen_lsp.context.index import Index
from codegen_lsp.context.ledger import Ledger

OLD, NEW = Stamp(3, 1_000), Stamp(3, 2_000)


def read(path: str, stamp: Stamp) -> FileFacts:
    return facts_of(path, stamp, "x = 1\n")


class Broken(Index):
    """An index that cannot take a file."""

    def add(self, facts: FileFacts) -> None:
        raise MemoryError


def settle(ledger: Ledger, path: str, outcome: FileFacts | Refusal) -> bool:
    again = ledger.settle(path, outcome)
    ledger.done(path)
    return again


def test_a_result_that_cannot_be_taken_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing stays under way for ever, and the file is asked for again when it is looked at."""
    monkeypatch.setattr(module, "Index", Broken)
    keeper = module.Keeper(tmp_path, lambda root, paths: None)
    keeper._ledger.want({"a.py": OLD})
    assert keeper._ledger.take() == ["a.py"]
    with pytest.raises(MemoryError):
        keeper.settle("a.py", read("a.py", OLD))
    assert keeper.pending == 0
    keeper._ledger.want({"a.py": OLD})
    assert keeper._ledger.take() == ["a.py"]


def test_a_file_that_went_while_it_was_read_stays_away() -> None:
    """The result is void; if the file came again meanwhile, it is read once more."""
    ledger = Ledger(index := Index())
    ledger.want({"a.py": OLD, "b.py": OLD})
    assert ledger.take() == ["a.py", "b.py"]
    ledger.drop(["a.py", "b.py"])
    ledger.want({"b.py": NEW})
    for path in ("a.py", "b.py"):
        assert not settle(ledger, path, read(path, OLD))
    assert index.paths() == []
    assert ledger.take() == ["b.py"]
    assert not settle(ledger, "b.py", read("b.py", NEW))
    assert index.paths() == ["b.py"]


def test_what_is_refused_is_not_asked_for_again_until_it_changes() -> None:
    """Unless the reason may pass without a change of the file."""
    ledger = Ledger(Index())
    for refusal, again in ((Refusal.BINARY, False), (Refusal.UNREADABLE, True)):
        ledger.want({"a.py": OLD})
        assert ledger.take() == ["a.py"]
        settle(ledger, "a.py", refusal)
        ledger.want({"a.py": OLD})
        assert bool(ledger.pending()) is again
        ledger.drop(["a.py"])


def test_a_file_that_is_to_be_read_again_is_never_said_to_be_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was changed while it was read: between the two readings the folder is not ready."""
    keeper = module.Keeper(tmp_path, lambda root, paths: None)
    keeper._looking = False  # as after a look
    keeper._ledger.want({"a.py": OLD})
    keeper._ledger.take()
    states = []
    hint = keeper.hint

    def hinting(*arguments: Any) -> None:
        states.append(keeper.state)
        hint(*arguments)
        states.append(keeper.state)

    monkeypatch.setattr(keeper, "hint", hinting)
    keeper.settle("a.py", read("a.py", NEW))
    assert states == ["reading", "reading"]
    assert keeper.state == "reading"
