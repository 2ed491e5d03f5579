"""The table of features: complete, and no failure in it is fatal."""

from __future__ import annotations

import asyncio
import logging

import pytest
from lsprotocol import types

from codegen_lsp.server import server as server_module
from codegen_lsp.server.features import cursor, insight
from codegen_lsp.server.logs import attach_editor, log_unexpected, set_up_logging
from codegen_lsp.server.server import FEATURES, create_server
from codegen_lsp.server.session import CodegenServer
from tests.server.echo_server import EchoService


def new_server() -> CodegenServer:
    """A server that is connected to nothing."""
    return create_server(EchoService)


def test_every_feature_is_listed() -> None:
    """What the table registers is what the server answers."""
    assert set(new_server().protocol.fm.features) == {
        types.INITIALIZE,
        types.INITIALIZED,
        types.NOTEBOOK_DOCUMENT_DID_CHANGE,
        types.NOTEBOOK_DOCUMENT_DID_CLOSE,
        types.NOTEBOOK_DOCUMENT_DID_OPEN,
        types.NOTEBOOK_DOCUMENT_DID_SAVE,
        types.TEXT_DOCUMENT_COMPLETION,
        types.TEXT_DOCUMENT_DID_CHANGE,
        types.TEXT_DOCUMENT_DID_CLOSE,
        types.TEXT_DOCUMENT_DID_OPEN,
        types.TEXT_DOCUMENT_DID_SAVE,
        types.TEXT_DOCUMENT_INLINE_COMPLETION,
        types.WORKSPACE_DID_CHANGE_CONFIGURATION,
        types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS,
        cursor.DID_MOVE_CURSOR,
        insight.CONTEXT,
        insight.LAST_COMPLETION,
        insight.STATISTICS,
    }


def test_one_broken_feature_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named in the log, and the server is there."""

    def broken(ls: CodegenServer) -> None:
        raise RuntimeError("secret")

    set_up_logging(debug=False)
    monkeypatch.setattr(server_module, "FEATURES", (("broken one", broken), *FEATURES))
    assert types.TEXT_DOCUMENT_INLINE_COMPLETION in new_server().protocol.fm.features
    said = capsys.readouterr().err
    assert "the feature 'broken one' is not available: RuntimeError in " in said
    assert "secret" not in said


@pytest.mark.parametrize("debug", [False, True])
def test_unexpected_errors_show_their_message_only_on_request(
    debug: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A message could quote the user's code, so stderr has it with --debug, the editor never."""
    sent: list[logging.LogRecord] = []

    class Editor:
        def log_level(self) -> int:
            return logging.INFO

        def log_to_editor(self, record: logging.LogRecord) -> None:
            sent.append(record)

    async def fail() -> None:
        attach_editor(Editor())
        log_unexpected(logging.getLogger("codegen_lsp.test"), "oh", ValueError("secret"))

    set_up_logging(debug=debug)
    asyncio.run(fail())
    assert ("secret" in capsys.readouterr().err) is debug
    assert [record.getMessage() for record in sent] == ["oh: ValueError (--debug shows more)"]
