"""The real server with a service that needs no model: it says what it was asked.

The completion at an offset is ``⟨OFFSET of LENGTH: the ten code points before the cursor⟩``.
Words on the cursor's line change that: ``nothing`` (no completion), ``wait`` (until cancelled or
superseded), ``broken`` (the model cannot be opened), ``crash`` (an error nobody expects),
``print`` (a library that writes to stdout), ``tail`` (the rest of the line is replaced).
"""

from __future__ import annotations

import argparse
import asyncio
import os

from codegen_lsp.completion.scheduler import Superseded
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.surroundings import Surroundings
from codegen_lsp.errors import ModelNotFoundError
from codegen_lsp.server import run
from codegen_lsp.types import Completion, CompletionQuery, Source


class EchoService:
    """Stands in for ``CompletionService``."""

    def __init__(self, settings: Settings, surroundings: Surroundings) -> None:
        self.settings = settings
        self.waiting: dict[str, asyncio.Future[None]] = {}

    async def complete(self, query: CompletionQuery) -> Completion | None:
        """What the words on the cursor's line ask for."""
        text, offset, uri = query.snapshot.text, query.offset, query.snapshot.uri
        if (older := self.waiting.pop(uri, None)) is not None and not older.done():
            older.set_exception(Superseded())
        line = text[:offset].rpartition("\n")[2]
        if "nothing" in line:
            return None
        if "wait" in line:
            self.waiting[uri] = asyncio.get_running_loop().create_future()
            await self.waiting[uri]
        if "broken" in line:
            raise ModelNotFoundError(f"no model '{self.settings.model}'", mend="pull one")
        if "crash" in line:
            raise ValueError(text)
        if "print" in line:
            print("from Python", flush=True)
            os.write(1, b"from C\n")
        end = len(text[offset:].partition("\n")[0]) + offset if "tail" in line else offset
        before = text[max(0, offset - 10) : offset]
        answer = f"⟨{offset} of {len(text)}: {before}⟩"
        return Completion(answer, offset, end, Source.COLD, self.settings.model)

    def moved(self, query: CompletionQuery) -> None:
        """A completion there is invented as quickly."""

    def edited(self) -> None:
        """Nothing waits for a rest."""

    def configure(self, settings: Settings) -> None:
        """Take new settings over."""
        self.settings = settings

    def forget(self, uri: str) -> None:
        """Nothing is remembered."""

    def statistics(self) -> dict[str, int]:
        """Nothing is counted."""
        return {}

    async def close(self) -> None:
        """Nothing is open."""


def main() -> int:
    """``--tcp HOST:PORT`` or stdio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tcp")
    arguments = parser.parse_args()
    if arguments.tcp:
        host, _, port = arguments.tcp.rpartition(":")
        return run.serve_tcp(host, int(port), {}, debug=False, service_factory=EchoService)
    return run.serve_stdio({}, debug=False, service_factory=EchoService)


if __name__ == "__main__":
    raise SystemExit(main())
