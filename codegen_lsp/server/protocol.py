"""JSON-RPC as this server wants it: strict about order, forgiving about everything else.

Differs from pygls' protocol in that a handler's synchronous part runs when its message is
dispatched, that messages out of order are refused as the specification asks, that a message that
cannot be read costs nothing but a log line, and that ``exit`` ends the connection and not the
process. Knows methods and messages; what a feature does is its own affair.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInternalError,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcMethodNotFound,
    JsonRpcRequestCancelled,
    JsonRpcServerNotInitialized,
)
from pygls.protocol import LanguageServerProtocol, lsp_method

from codegen_lsp.server.features.cursor import DID_MOVE_CURSOR, DidMoveCursor
from codegen_lsp.server.logs import log_unexpected

if TYPE_CHECKING:
    from codegen_lsp.server.session import CodegenServer

__all__ = ["CodegenProtocol"]

logger = logging.getLogger(__name__)

Json = dict[str, Any]

REPLACED = (
    types.TEXT_DOCUMENT_DID_OPEN,
    types.TEXT_DOCUMENT_DID_CHANGE,
    types.TEXT_DOCUMENT_DID_CLOSE,
    types.NOTEBOOK_DOCUMENT_DID_OPEN,
    types.NOTEBOOK_DOCUMENT_DID_CHANGE,
    types.NOTEBOOK_DOCUMENT_DID_CLOSE,
)
"""Built-in features of pygls that feed its workspace, which this server does not use."""

OWN_TYPES = {DID_MOVE_CURSOR: DidMoveCursor}
"""Messages of our own that have parameters."""

KNOWN_CAPABILITIES = ("general", "workspace", "window")
"""What is kept of capabilities that lsprotocol cannot read as a whole."""


class CodegenProtocol(LanguageServerProtocol):
    """One connection's protocol state."""

    _server: CodegenServer

    exit_code: int | None = None
    """Set by ``exit``: 0 after ``shutdown``, else 1."""

    _initialized = False

    def receive(self, body: bytes) -> None:
        """Handle one message, whatever it is."""
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            logger.warning("a message of %d bytes that is not JSON is ignored", len(body))
            return
        if not _is_rpc(message):
            logger.warning("a message of %d bytes that is not JSON-RPC 2.0 is ignored", len(body))
            return
        if "method" not in message:
            self._receive_response(message)
            return
        refusal = self._refusal(message["method"])
        if refusal is not None:
            self._refuse(message, refusal)
            return
        readable = self._readable(message)
        if readable is not None:
            self.handle_message(readable)

    def _refusal(self, method: str) -> JsonRpcException | None:
        """Why a message cannot be handled now, or at all."""
        if method == types.EXIT:
            return None
        if self._shutdown:
            return JsonRpcInvalidRequest(f"{method} after shutdown")
        if not self._initialized and method != types.INITIALIZE:
            return JsonRpcServerNotInitialized(f"{method} before initialize")
        if self._initialized and method == types.INITIALIZE:
            return JsonRpcInvalidRequest("initialize for the second time")
        known = method in self.fm.builtin_features or method in self.fm.features
        if known or method == types.CANCEL_REQUEST:
            return None
        return JsonRpcMethodNotFound(f"no such method: {method}")

    def _refuse(self, message: Json, refusal: JsonRpcException) -> None:
        """Answer a request with the refusal; a notification is only named in the log."""
        harmless = isinstance(refusal, JsonRpcMethodNotFound)  # editors send what they know
        level = logging.DEBUG if harmless else logging.WARNING
        logger.log(level, "a message is refused: %s", refusal.message)
        if "id" in message:
            self._send_response(message["id"], error=refusal.to_response_error())

    def _readable(self, message: Json) -> Any:
        """The message as lsprotocol's types, or ``None`` if its parameters make no sense."""
        method = message["method"]
        try:
            return self.structure_message(message)
        except JsonRpcException:
            if method == types.INITIALIZE:
                return self._readable_initialize(message)
            if method in (types.TEXT_DOCUMENT_DID_CHANGE, types.NOTEBOOK_DOCUMENT_DID_CHANGE):
                self._server.lose_document(message.get("params"))
            self._refuse(message, JsonRpcInvalidParams(f"parameters of {method} make no sense"))
        return None

    def _readable_initialize(self, message: Json) -> Any:
        """An editor with capabilities that lsprotocol does not know is still an editor."""
        params = _mapping(message.get("params"))
        given = _mapping(params.get("capabilities"))
        for names in (KNOWN_CAPABILITIES, ("general",), ()) if given else ():
            kept = {name: given[name] for name in names if name in given}
            try:
                readable = self.structure_message(
                    {**message, "params": {**params, "capabilities": kept}}
                )
            except JsonRpcException:
                continue
            logger.warning("some of the editor's capabilities make no sense and are ignored")
            return readable
        self._refuse(message, JsonRpcInvalidParams("parameters of initialize make no sense"))
        return None

    def _receive_response(self, message: Json) -> None:
        """An answer to a request of ours."""
        try:
            self.handle_message(self.structure_message(message))
        except Exception:  # pygls lets the types' own errors through
            logger.warning("an answer of the editor that makes no sense is ignored")
            future = self._request_futures.pop(message["id"], None)
            if future is not None:
                future.cancel()

    # pygls' own keeps this connection alive in a cache for the sake of a look into a table.
    def get_message_type(self, method: str) -> type[Any] | None:  # type: ignore[override]
        """What the messages of a method are read as."""
        return OWN_TYPES.get(method) or super().get_message_type(method)

    def _register_builtin_features(self) -> None:
        super()._register_builtin_features()  # type: ignore[no-untyped-call]
        for method in REPLACED:
            self.fm.builtin_features.pop(method, None)

    def _execute_handler(
        self,
        msg_id: str | int,
        handler: Callable[..., Any],
        callback: Callable[[Future[Any]], None],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        """Run a handler; one that returns a coroutine has done its first part at dispatch.

        That first part is where a handler takes its snapshot: a coroutine function would begin
        only after the messages that came in the same packet were applied.
        """
        if inspect.iscoroutinefunction(handler) or inspect.isgeneratorfunction(handler):
            super()._execute_handler(msg_id, handler, callback, args, kwargs)
            return
        future: Future[Any] = Future()
        try:
            result = handler(*(args or ()), **(kwargs or {}))
        except Exception as error:
            future.add_done_callback(callback)
            future.set_exception(error)
            return
        if inspect.iscoroutine(result):
            self._follow(msg_id, result, callback)
            return
        future.add_done_callback(callback)
        future.set_result(result)

    def _follow(
        self,
        msg_id: str | int,
        work: Coroutine[Any, Any, Any],
        callback: Callable[[Any], None],
    ) -> None:
        task = asyncio.ensure_future(work)
        self._request_futures[msg_id] = task  # type: ignore[assignment]  # as pygls does
        task.add_done_callback(lambda _: self._request_futures.pop(msg_id, None))
        task.add_done_callback(callback)

    def _check_handler_result(self, future: Future[Any]) -> None:
        """Name a notification's failure in the log, and nowhere else."""
        if not future.cancelled() and (error := future.exception()) is not None:
            log_unexpected(logger, "a notification could not be handled", error)

    def _send_handler_result(self, future: Future[Any], *, msg_id: str | int) -> None:
        """Answer a request: its result, that it was cancelled, or that the server failed."""
        self._request_futures.pop(msg_id, None)
        if future.cancelled():
            refusal: JsonRpcException = JsonRpcRequestCancelled("cancelled by the editor")
        elif (error := future.exception()) is None:
            self._send_response(msg_id, result=future.result())
            return
        elif isinstance(error, JsonRpcException):
            refusal = error
        else:
            log_unexpected(logger, "a request could not be answered", error)
            refusal = JsonRpcInternalError("the server failed; its log says where")
        self._send_response(msg_id, error=refusal.to_response_error())

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(
        self, params: types.InitializeParams
    ) -> Generator[Any, Any, types.InitializeResult]:
        """Answer ``initialize``; from now on other messages are welcome."""
        self._initialized = True
        result = yield from super().lsp_initialize(params)
        if not self._server.completion_is_offered:
            result.capabilities.completion_provider = None
        return result

    @lsp_method(types.EXIT)
    def lsp_exit(self, *args: Any) -> Generator[Any, Any, None]:
        """Note that the connection is to end, and with which exit code."""
        self.exit_code = 0 if self._shutdown else 1
        yield from ()

    def cancel_all(self) -> None:
        """Cancel every request that is still being worked on."""
        for future in list(self._request_futures.values()):
            future.cancel()
        self._request_futures.clear()


def _mapping(found: object) -> Json:
    return found if isinstance(found, dict) else {}


def _is_rpc(message: object) -> bool:
    """Whether this is a request, a notification or an answer of JSON-RPC 2.0."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return False
    if "id" in message and not isinstance(message["id"], str | int):
        return False
    if "method" in message:
        return isinstance(message["method"], str)
    return "id" in message and ("result" in message or "error" in message)
