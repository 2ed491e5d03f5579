"""llama.cpp's server, asked the way llama.vim asks it: the peer of ``bench typing``.

What is llama.vim's (version a1c8e6e of January 2026): 256 lines before the cursor, 128 tokens; at
most 250 ms for the first answer and one second for what follows it, which is asked for while the
answer is in sight; one request at a time, never given up, the next one when it is over, looked for
every 100 ms; 250 answers kept, the longest that was typed along for up to 128 characters is shown;
no request with more than 8 characters right of the cursor.

What is not: CodeGen cannot fill in, so the prompt is the prefix alone, in the model's own tokens,
cut by whole lines to the model's context; tokens are the likeliest ones, as ours are; chunks of
other files are left out; answers are found by what is before the cursor only.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from codegen_lsp.errors import CodegenError
from codegen_lsp.evaluation.bench.backends import Reply
from codegen_lsp.evaluation.bench.llama_peer import LlamaPeer
from codegen_lsp.prompts.tokenizer import CodeTokenizer

__all__ = ["VimPeer"]

PREFIX_LINES: Final = 256
PREDICT: Final = 128
FIRST_MS: Final = 250
AHEAD_MS: Final = 1000
MOST_RIGHT: Final = 8
KEPT: Final = 250
LOOK_BEHIND: Final = 128
RETRY_SECONDS: Final = 0.1

COUNTED: Final = ("requests", "asked", "cached", "joined", "unwanted", "ahead")
"""By the names that our server has for it."""


@dataclass(slots=True)
class VimPeer:
    """A plugin and its server."""

    peer: LlamaPeer
    tokenizer: CodeTokenizer
    _answers: OrderedDict[str, str] = field(default_factory=OrderedDict)
    """Text before the cursor to what was answered there, the latest used last."""

    _job: asyncio.Task[float | None] | None = None
    """The request that is under way; its result is the milliseconds to the first token."""

    _ahead: asyncio.Task[None] | None = None
    """What waits to ask for the text after the suggestion in sight."""

    _counts: dict[str, float] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0.0))

    async def start(self, folder: Path) -> int:
        """Start the server and let it read something."""
        await self.peer.load()
        await self._generate("def first(values):\n    return ", FIRST_MS)
        self._answers.clear()
        return self.peer.pid

    def opened(self, path: str, text: str) -> None:
        """Nothing is sent."""

    def moved(self, path: str, text: str, offset: int) -> None:
        """Nothing is sent: the plugin reads ahead while somebody writes."""

    def changed(self, path: str, text: str, offset: int, removed: int, inserted: str) -> None:
        """Nothing is sent."""

    def closed(self, path: str) -> None:
        """Nothing is sent."""

    async def ask(self, path: str, text: str, offset: int) -> Reply:
        """From the answers that are kept, else from the server when it is free.

        :raises CodegenError: the server went away.
        """
        self._counts["requests"] += 1
        if self._ahead is not None:
            self._ahead.cancel()
        prefix = text[:offset]
        kept = self._kept(prefix)
        if kept is not None:
            self._counts["cached"] += 1
            return self._shown(prefix, kept, Reply(source="cache"))
        end = text.find("\n", offset)
        if (len(text) if end < 0 else end) - offset > MOST_RIGHT:
            self._counts["unwanted"] += 1
            return Reply()
        return await self._in_turn(prefix)

    async def _in_turn(self, prefix: str) -> Reply:
        """Wait for the request under way, which may answer this one; then ask."""
        begin = time.perf_counter()
        while self._job is not None and not self._job.done():
            await asyncio.wait({self._job})
            kept = self._kept(prefix)
            if kept is not None:
                self._counts["joined"] += 1
                return self._shown(prefix, kept, Reply(source="flight"))
            await asyncio.sleep(RETRY_SECONDS - (time.perf_counter() - begin) % RETRY_SECONDS)
        self._counts["asked"] += 1
        waited = (time.perf_counter() - begin) * 1000
        self._job = asyncio.create_task(self._generate(prefix, FIRST_MS))
        first = await asyncio.shield(self._job)
        reply = Reply(first_ms=None if first is None else waited + first, source="engine")
        return self._shown(prefix, self._kept(prefix) or "", reply)

    def _shown(self, prefix: str, answer: str, reply: Reply) -> Reply:
        """*reply* with *answer*; what follows it is asked for while it is in sight."""
        text = answer.rstrip("\n")
        if text:
            self._ahead = asyncio.create_task(self._follow(prefix + text))
        return Reply(text, reply.first_ms, reply.source)

    async def _follow(self, prefix: str) -> None:
        while self._job is not None and not self._job.done():
            await asyncio.wait({self._job})
        if prefix not in self._answers:
            self._counts["ahead"] += 1
            self._job = asyncio.create_task(self._generate(prefix, AHEAD_MS))

    async def explained(self, reply: Reply) -> Reply:
        """Everything is known."""
        return reply

    async def counters(self) -> Mapping[str, float]:
        """What the plugin counted."""
        return dict(self._counts)

    async def stop(self) -> None:
        """End the server."""
        for task in (self._ahead, self._job):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, CodegenError):
                    await task
        await self.peer.close()

    def _kept(self, prefix: str) -> str | None:
        """What was answered here; else the longest rest of an answer that was typed along."""
        if prefix in self._answers:
            self._answers.move_to_end(prefix)
            return self._answers[prefix]
        rests = [""]
        for back in range(1, min(LOOK_BEHIND, len(prefix)) + 1):
            answer = self._answers.get(prefix[:-back])
            if answer is not None and answer.startswith(prefix[-back:]):
                rests.append(answer[back:])
        return max(rests, key=len) or None

    def _keep(self, prefix: str, answer: str) -> None:
        self._answers[prefix] = answer
        self._answers.move_to_end(prefix)
        if len(self._answers) > KEPT:
            self._answers.popitem(last=False)

    async def _generate(self, prefix: str, most_ms: int) -> float | None:
        """Ask the server and keep the answer; milliseconds to the first token."""
        body: dict[str, object] = {
            "prompt": self._prompt(prefix),
            "n_predict": PREDICT,
            "t_max_predict_ms": most_ms,
            "temperature": 0,
        }
        begin = time.perf_counter()
        first: float | None = None
        parts: list[str] = []
        async with contextlib.aclosing(self.peer.stream(body)) as chunks:
            async for chunk in chunks:
                if first is None:
                    first = (time.perf_counter() - begin) * 1000
                parts.append(chunk.text)
        self._keep(prefix, "".join(parts))
        return first

    def _prompt(self, prefix: str) -> list[int]:
        """The last lines of *prefix*, as many as the context has room for."""
        room = self.peer.info.context_length - PREDICT
        prefix = "\n".join(prefix.split("\n")[-1 - PREFIX_LINES :])
        ids = self.tokenizer.encode(prefix)
        while len(ids) > room and "\n" in prefix:
            lines = prefix.split("\n")
            # Tokens are spread over lines unevenly: cut by their share, then look again.
            spare = max(1, len(lines) * (len(ids) - room) // len(ids))
            prefix = "\n".join(lines[spare:])
            ids = self.tokenizer.encode(prefix)
        return ids[-room:] or [0]
