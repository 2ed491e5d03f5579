"""llama.cpp's own server as one more engine, so that it is measured by the same hands.

Starts ``llama_child`` and asks ``/completion`` over HTTP with token ids, prompt caching and
streaming, as a plugin would. Closing the connection cancels a request. Knows nothing of models
beyond the path of a GGUF file; imports nothing of llama.cpp.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from codegen_lsp.engines.base import EngineInfo
from codegen_lsp.errors import EngineUnavailableError, GenerationError
from codegen_lsp.types import GenerationRequest, Prompt, Token

__all__ = ["LlamaPeer", "available"]

CHILD: Final = "codegen_lsp.evaluation.bench.llama_child"

LOAD_SECONDS: Final = 300.0

END_SECONDS: Final = 10.0

LONGEST_LINE: Final = 1 << 22
"""The last message of an answer repeats the whole prompt."""


def available() -> bool:
    """Whether llama.cpp is installed."""
    return importlib.util.find_spec("xllamacpp") is not None


@dataclass(frozen=True, slots=True)
class Chunk:
    """One message of a streamed answer."""

    text: str
    tokens: tuple[int, ...]
    timings: Mapping[str, Any] | None = None
    """Only in the last one."""


class LlamaPeer:
    """A server process and requests to it; an engine like any other."""

    def __init__(
        self, gguf: Path, context_length: int, name: str, kind: str = "", threads: int = 0
    ) -> None:
        """:param threads: as many as what it is compared with has; 0: llama.cpp's own choice."""
        self._gguf = gguf
        self._info = EngineInfo("llama.cpp server", name, "cpu", kind, threads, context_length)
        self._process: asyncio.subprocess.Process | None = None
        self._host, self._port = "", 0

    @property
    def info(self) -> EngineInfo:
        """What runs here; 0 threads are llama.cpp's own choice."""
        return self._info

    @property
    def pid(self) -> int:
        """The server's process id; 0 before :meth:`load`."""
        return self._process.pid if self._process is not None else 0

    async def load(self) -> None:
        """Start the process and wait until it listens.

        :raises EngineUnavailableError: it ends, or does not say where it listens.
        """
        if self._process is not None:
            return
        shape = (str(self._info.context_length), str(self._info.threads))
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", CHILD, str(self._gguf), *shape),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert self._process.stdout is not None  # noqa: S101 - asked for with PIPE
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), LOAD_SECONDS)
        except TimeoutError:
            line = b""
        address = urlsplit(line.decode("ascii", "replace").strip())
        if not address.hostname or not address.port:
            await self.close()
            raise EngineUnavailableError(
                "llama.cpp's server did not start", mend="pip install 'codegen-lsp[llama]'"
            )
        self._host, self._port = address.hostname, address.port

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Token, None]:
        """Greedy tokens as they arrive; ``aclose()`` closes the connection.

        :raises GenerationError: the server refuses the request or goes away.
        """
        body: dict[str, object] = {
            "prompt": list(request.prompt.tokens) or [0],
            "n_predict": request.max_new_tokens,
            "temperature": 0,
        }
        async with contextlib.aclosing(self.stream(body)) as chunks:
            async for chunk in chunks:
                for token in chunk.tokens:
                    yield Token(token)

    async def stream(self, body: Mapping[str, object]) -> AsyncGenerator[Chunk, None]:
        """The messages that answer *body*, to which streaming and prompt caching are added.

        :raises GenerationError: the server refuses the request or goes away.
        """
        wanted = {"stream": True, "cache_prompt": True, "return_tokens": True, **body}
        try:
            reader, writer = await asyncio.open_connection(
                self._host, self._port, limit=LONGEST_LINE
            )
        except OSError as error:
            raise GenerationError(f"llama.cpp's server went away ({error})") from error
        try:
            writer.write(_post(self._host, json.dumps(wanted).encode()))
            async for message in _messages(reader):
                yield _chunk(message)
                if message.get("stop"):
                    return
        except (OSError, ValueError) as error:
            raise GenerationError(f"llama.cpp's server went away ({error})") from error
        finally:
            writer.close()

    def warm(self, prompt: Prompt) -> int:
        """Not known from outside."""
        return 0

    async def prewarm(self, prompt: Prompt) -> None:
        """Nobody does that for it."""

    async def close(self) -> None:
        """End the process. Idempotent."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


def _post(host: str, body: bytes) -> bytes:
    head = (
        f"POST /completion HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[Mapping[str, Any]]:
    """The events of an answer. llama.cpp writes each into one chunk, so that a line is whole."""
    status = await reader.readline()
    if b" 200 " not in status:
        detail = (await reader.read(2000)).rpartition(b"\r\n\r\n")[2]
        raise GenerationError(
            f"llama.cpp's server refused a request: {detail.decode('utf-8', 'replace').strip()}"
        )
    while line := await reader.readline():
        if line.startswith(b"data: {"):
            yield json.loads(line[6:])


def _chunk(message: Mapping[str, Any]) -> Chunk:
    if "error" in message:
        raise GenerationError(f"llama.cpp's server failed: {message['error']}")
    return Chunk(
        str(message.get("content", "")),
        tuple(message.get("tokens") or ()),
        message.get("timings"),
    )
