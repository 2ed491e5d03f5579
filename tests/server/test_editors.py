"""The server as pytest-lsp's clients see it, with the capabilities that real editors send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_lsp
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities

from tests.server.raw_client import echo_command

URI = "file:///notes/%C3%A9.py"
TEXT = "def f():\r\n    return '😀' + \nwait"

CURSOR = {
    types.PositionEncodingKind.Utf8: 20,
    types.PositionEncodingKind.Utf16: 18,
    types.PositionEncodingKind.Utf32: 17,
}
"""The character after ``'😀' +`` in each encoding."""

EDITORS = {
    "visual-studio-code": types.PositionEncodingKind.Utf16,
    "neovim": types.PositionEncodingKind.Utf8,
    "emacs": types.PositionEncodingKind.Utf32,
}
"""Profiles that pytest-lsp knows, and the encoding that the newest of each prefers."""


def capabilities(editor: str) -> types.ClientCapabilities:
    """A profile, with inline completion declared by hand: the profiles are older than it."""
    found = client_capabilities(editor)
    found.general = found.general or types.GeneralClientCapabilities()
    found.general.position_encodings = [EDITORS[editor]]
    found.text_document = found.text_document or types.TextDocumentClientCapabilities()
    found.text_document.inline_completion = types.InlineCompletionClientCapabilities()
    return found


@pytest_lsp.fixture(  # type: ignore[untyped-decorator]  # pytest-lsp does not annotate it
    params=list(EDITORS), config=ClientServerConfig(server_command=echo_command())
)
async def client(request: pytest.FixtureRequest, lsp_client: LanguageClient) -> AsyncIterator[None]:
    """An initialized session with one open document, shut down properly afterwards."""
    lsp_client.feature(types.CLIENT_REGISTER_CAPABILITY)(lambda params: None)
    params = types.InitializeParams(capabilities=capabilities(request.param))
    result = await lsp_client.initialize_session(params)
    assert result.capabilities.inline_completion_provider == types.InlineCompletionOptions()
    assert result.capabilities.position_encoding == EDITORS[request.param]
    item = types.TextDocumentItem(URI, "python", 1, TEXT)
    lsp_client.text_document_did_open(types.DidOpenTextDocumentParams(item))
    yield
    await lsp_client.shutdown_session()


def asking(line: int, character: int) -> types.InlineCompletionParams:
    """An automatic request."""
    return types.InlineCompletionParams(
        types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic),
        types.TextDocumentIdentifier(URI),
        types.Position(line, character),
    )


async def test_ghost_text(client: LanguageClient) -> None:
    """One item that inserts plain text at the cursor, wherever the editor's units put it."""
    encoding = client.capabilities.general.position_encodings[0]  # type: ignore[union-attr,index]
    character = CURSOR[types.PositionEncodingKind(encoding)]
    answer = await client.text_document_inline_completion_async(asking(1, character))
    assert isinstance(answer, types.InlineCompletionList)
    (item,) = answer.items
    here = types.Position(1, character)
    assert item.range == types.Range(here, here)
    assert item.insert_text == f"⟨27 of 32: {TEXT[17:27]}⟩"
    assert item.filter_text is None
    assert item.command is None
    assert not client.messages


async def begun(client: LanguageClient, id: str) -> asyncio.Task[object]:
    """A request that the service works on until something ends it."""
    method = types.TEXT_DOCUMENT_INLINE_COMPLETION
    send = client.protocol.send_request_async
    task = asyncio.create_task(send(method, asking(2, 4), msg_id=id))  # type: ignore[no-untyped-call]
    await asyncio.sleep(0)  # now it is sent
    return task


async def test_a_cancelled_request(client: LanguageClient) -> None:
    """It is answered with RequestCancelled, and the next one as if nothing had been."""
    request = await begun(client, "m1")
    client.cancel_request(types.CancelParams(id="m1"))
    with pytest.raises(JsonRpcException) as failure:
        await request
    assert failure.value.code == -32800
    assert await client.text_document_inline_completion_async(asking(0, 0))


async def test_a_superseded_request(client: LanguageClient) -> None:
    """``null``, which lets an editor keep what it shows."""
    older = await begun(client, "m1")
    assert await client.text_document_inline_completion_async(asking(0, 1))
    assert await older is None
