"""One request's answers: its jobs, the parts they say, and the bodies made of them.

Knows OpenAI's schema of a completion. Does not know HTTP: ``app`` sends what is made here.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from codegen_lsp.errors import CodegenError
from codegen_lsp.team.batching import Batcher
from codegen_lsp.team.jobs import Job
from codegen_lsp.team.model import Served
from codegen_lsp.team.requests import Asked, Question
from codegen_lsp.team.writing import Odd, Said, Writer, odd

__all__ = ["Answers", "Part", "Shape", "collect"]


@dataclass(frozen=True, slots=True)
class Part:
    """Something that one choice says, or its end."""

    index: int
    said: Said

    finish: str | None = None
    """``stop`` or ``length`` in a choice's last part."""


class Answers:
    """The choices of one request, on their way. For one event loop."""

    def __init__(self, asked: Asked, served: Served, batcher: Batcher) -> None:
        self._asked = asked
        self._served = served
        self._batcher = batcher
        self._loop = asyncio.get_running_loop()
        self._parts: deque[Part | CodegenError] = deque()
        self._event = asyncio.Event()
        self._woken = False
        self._open = asked.choices
        self.first_at = 0.0
        """When the first token came, on the monotonic clock; 0 before."""
        self._writers: list[Writer] = []
        self._jobs: list[Job] = []
        if asked.most:
            for index in range(asked.choices):
                self._add(index, asked.questions[index // asked.n])

    @property
    def new_tokens(self) -> int:
        """Tokens of all choices so far."""
        return sum(writer.tokens for writer in self._writers)

    @property
    def began_at(self) -> float:
        """When the first of them went into the model, on the monotonic clock; 0 before."""
        return min((job.began_at for job in self._jobs if job.began_at), default=0.0)

    def _add(self, index: int, question: Question) -> None:
        asked = self._asked

        def say(said: Said) -> None:
            self._put(Part(index, said))

        def leave(failure: CodegenError | None) -> None:
            writer.finish()
            self._put(failure or Part(index, Said(), _reason(writer, job)))

        offset = len(question.text) if asked.echo else 0
        writer = Writer(
            self._served.tokenizer, asked.stops, asked.stop_ids, asked.logprobs, say, offset
        )
        job = Job(
            question.ids,
            asked.most,
            asked.sampling,
            writer.take,
            leave,
            logits=asked.logprobs is not None,
            group=self,
        )
        self._writers.append(writer)
        self._jobs.append(job)

    def start(self) -> None:
        """Queue them.

        :raises QueueFullError: there is no room.
        :raises GenerationError: the server closes.
        """
        if self._jobs:
            self._batcher.submit(self._jobs)

    def cancel(self) -> None:
        """Nobody listens any more: all of them end at their next token. Idempotent."""
        self._batcher.cancel(self._jobs)

    async def bursts(self) -> AsyncIterator[list[Part]]:
        """What they say, as it comes; each choice ends with a part that says why.

        What came while nobody listened comes at once.

        :raises GenerationError: the model failed.
        """
        if not self._jobs:
            yield [Part(index, Said(), "length") for index in range(self._open)]
            return
        while self._open:
            await self._event.wait()
            self._event.clear()
            self._woken = False
            burst: list[Part] = []
            while self._parts:
                part = self._parts.popleft()
                if isinstance(part, CodegenError):
                    raise part
                self._open -= part.finish is not None
                burst.append(part)
            if burst:
                yield burst

    def _put(self, part: Part | CodegenError) -> None:
        """Called on any thread."""
        if not self.first_at:
            self.first_at = time.monotonic()
        self._parts.append(part)
        wanted = self._asked.stream or isinstance(part, CodegenError) or part.finish is not None
        if wanted and not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop is gone, and with it who listened
                self._loop.call_soon_threadsafe(self._event.set)

    async def echoes(self) -> list[Said]:
        """What ``echo`` repeats of each question, with its odds where they were asked for.

        :raises GenerationError: the model failed.
        """
        asked, served = self._asked, self._served
        if not asked.echo:
            return [Said() for _ in asked.questions]
        if asked.logprobs is None:
            return [Said(one.text, list(one.ids)) for one in asked.questions]
        return [
            await asyncio.to_thread(_scored, question, asked.logprobs, served)
            for question in asked.questions
        ]


def _reason(writer: Writer, job: Job) -> str:
    return "length" if not writer.stopped and job.left <= 0 else "stop"


def _scored(question: Question, count: int, served: Served) -> Said:
    """The prompt of *question* with the odds of its tokens. Blocks."""
    said = Said(question.text, list(question.ids))
    if not question.text:  # what stands for an empty prompt is not echoed
        return said
    decoder, offset = served.tokenizer.stream(), 0
    rows = served.model.score(question.ids)
    for place, token in enumerate(question.ids):
        if place:
            said.odds.append(odd(served.tokenizer, token, rows[place - 1], count, offset))
        else:
            name = odd(served.tokenizer, token, rows[0], 0, 0).token
            said.odds.append(Odd(name, None, None, 0))
        offset += len(decoder.push(token))
    return said


class Shape:
    """The bodies of one request's answer."""

    def __init__(self, asked: Asked, served: Served) -> None:
        self._asked = asked
        self._head = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": served.name,
        }

    def whole(self, saids: Sequence[Said], reasons: Sequence[str], new: int) -> dict[str, object]:
        """The answer in one piece."""
        choices = [
            self._choice(i, said, reason)
            for i, (said, reason) in enumerate(zip(saids, reasons, strict=True))
        ]
        return {**self._head, "choices": choices, "usage": self._usage(new)}

    def chunk(self, part: Part) -> dict[str, object]:
        """One part of a stream."""
        return {**self._head, "choices": [self._choice(part.index, part.said, part.finish)]}

    def last(self, new: int) -> dict[str, object]:
        """The chunk that counts."""
        return {**self._head, "choices": [], "usage": self._usage(new)}

    def _choice(self, index: int, said: Said, reason: str | None) -> dict[str, object]:
        odds = _logprobs(said.odds) if self._asked.logprobs is not None else None
        choice: dict[str, object] = {
            "index": index,
            "text": said.text,
            "logprobs": odds,
            "finish_reason": reason,
        }
        if self._asked.token_ids:
            choice["token_ids"] = said.ids
        return choice

    def _usage(self, new: int) -> Mapping[str, int]:
        read = self._asked.prompt_tokens
        return {"prompt_tokens": read, "completion_tokens": new, "total_tokens": read + new}


def _logprobs(odds: Sequence[Odd]) -> dict[str, object]:
    return {
        "tokens": [one.token for one in odds],
        "token_logprobs": [one.log_prob for one in odds],
        "top_logprobs": [one.top for one in odds],
        "text_offset": [one.offset for one in odds],
    }


async def collect(answers: Answers, asked: Asked) -> tuple[list[Said], list[str]]:
    """Everything that the choices say, and why each ended.

    :raises GenerationError: the model failed.
    """
    echoes = await answers.echoes()
    saids = [
        Said(echo.text, list(echo.ids), list(echo.odds)) for echo in echoes for _ in range(asked.n)
    ]
    reasons = ["stop"] * asked.choices
    async for burst in answers.bursts():
        for part in burst:
            said = saids[part.index]
            said.text += part.said.text
            said.ids += part.said.ids
            said.odds += part.said.odds
            reasons[part.index] = part.finish or reasons[part.index]
    return saids, reasons
