"""One answer from the engine: tokens in, text out, stopped as soon as it is whole.

Knows how a healed prompt is gone on from (``prompts.causal`` says what healing is). Does not
know documents or the order of jobs.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from codegen_lsp.completion.budget import Plan
from codegen_lsp.completion.cache import Said
from codegen_lsp.completion.flight import Saying
from codegen_lsp.completion.model import LoadedModel
from codegen_lsp.completion.stopping import Answer, End, Stopper
from codegen_lsp.completion.worker import Worker
from codegen_lsp.prompts.causal import PreparedPrompt
from codegen_lsp.types import GenerationRequest, Piece, Prompt

__all__ = ["Generated", "generate", "said_already"]

ODDS: Final = 12
"""Of so many tokens of an answer it is of interest how likely others were: as many as somebody may
type before he strays from it."""


@dataclass(slots=True)
class Generated:
    """What came of one job."""

    answer: Answer

    pieces: list[Piece] = field(default_factory=list)
    """One for each token; the answer is the beginning of their texts."""

    first_token_ms: float = 0.0

    last_token_ms: float = 0.0
    """Like :attr:`first_token_ms`, counted from where the engine began."""

    over: bool = False
    """Whether the model had no more to say; else it was stopped."""

    finish: Callable[[], Answer] | None = None
    """What is still to be done for :attr:`answer`; see :meth:`conclude`."""

    def conclude(self) -> Answer:
        """The answer. This may parse, so it is for the thread of a worker."""
        if self.finish is not None:
            self.answer, self.finish = self.finish(), None
        return self.answer

    @property
    def new_tokens(self) -> int:
        """How many tokens were generated."""
        return len(self.pieces)

    @property
    def log_prob(self) -> float | None:
        """Mean log-probability per token."""
        known = [piece.log_prob for piece in self.pieces if piece.log_prob is not None]
        return sum(known) / len(known) if known else None


async def generate(
    model: LoadedModel,
    prepared: PreparedPrompt,
    plan: Plan,
    worker: Worker,
    saying: Saying | None = None,
) -> Generated:
    """The answer to a prompt, to be concluded; with healing where that works out, else without.

    Whether it is whole is decided by *worker* where a line ends, because that takes parsing. Who
    wants to hear it while it is said hands in *saying*.

    :raises GenerationError: the engine failed.
    """
    started = time.monotonic()
    saying = Saying() if saying is None else saying
    prompt, rest = prepared.prompt, prepared.healed
    while rest:
        first = model.tokenizer.continuations(rest)
        request = _request(model, prepared, plan, prompt, first)
        step = await _generate(model, request, rest, plan, started, worker, saying)
        if isinstance(step, Generated):
            return step
        if not step.tokens:  # the engine does not choose what it was asked to
            prompt = prepared.unhealed or prompt
            break
        # What was said of the text left out becomes prompt again; the rest is chosen anew.
        prompt = Prompt(prompt.stable, (*prompt.tail, *step.tokens))
        rest = step.rest
    request = _request(model, prepared, plan, prompt)
    plain = await _generate(model, request, "", plan, started, worker, saying)
    assert isinstance(plain, Generated)  # noqa: S101 - nothing was asked for that can be missed
    return plain


def _request(
    model: LoadedModel,
    prepared: PreparedPrompt,
    plan: Plan,
    prompt: Prompt,
    first_ids: tuple[int, ...] = (),
) -> GenerationRequest:
    """The job for *prompt*, no longer than what the context has room for.

    An engine that is asked for more has to forget the beginning of the prompt.
    """
    # An answer with a context of its own begins with a mark of the engine's, and with ours.
    taken = 1 + len(prepared.answer_prefix) if model.family.apart else len(prompt)
    room = max(1, model.engine.info.context_length - taken)
    return GenerationRequest(
        prompt=prompt,
        max_new_tokens=min(plan.max_tokens, room),
        stop_ids=tuple(dict.fromkeys((model.tokenizer.eos_id, *prepared.stop_ids))),
        first_ids=first_ids,
        answer_prefix=prepared.answer_prefix,
        odds=ODDS,
    )


@dataclass(frozen=True, slots=True)
class _Missed:
    """The answer did not begin as it was to; *tokens* did, and *rest* is missing."""

    tokens: tuple[int, ...]
    rest: str


async def _generate(
    model: LoadedModel,
    request: GenerationRequest,
    rest: str,
    plan: Plan,
    started: float,
    worker: Worker,
    saying: Saying,
) -> Generated | _Missed:
    """Generate an answer that is to begin with *rest*, which is no part of the result."""
    stopper, decoder = Stopper(plan), model.tokenizer.stream()
    result = Generated(Answer("", End.WHOLE))
    said: list[int] = []
    stopped = False
    saying.begin()
    async with contextlib.aclosing(model.engine.generate(request)) as tokens:
        async for token in tokens:
            result.last_token_ms = (time.monotonic() - started) * 1000
            result.first_token_ms = result.first_token_ms or result.last_token_ms
            piece = decoder.push(token.id) if token.text is None else token.text
            given = ""
            if rest:
                if not piece or not (piece.startswith(rest) or rest.startswith(piece)):
                    return _Missed(tuple(said), rest)
                said.append(token.id)
                given = rest[: len(piece)]
                rest, piece = rest[len(piece) :], piece[len(rest) :]
            result.pieces.append(Piece(piece, token.log_prob, given, token.odds))
            saying.add(result.pieces[-1])
            if piece and await _push(stopper, piece, worker):
                stopped = True
                break
    if rest:
        return _Missed((), rest)
    await _push(stopper, decoder.flush(), worker)
    ran_out = result.new_tokens >= request.max_new_tokens
    result.over = not stopped and not ran_out
    end = End.CUT if ran_out else End.WHOLE
    result.finish = functools.partial(stopper.finish, end)
    return result


def said_already(said: Said, plan: Plan) -> Generated | None:
    """The answer that *plan* asks for, as far as the model has *said* it already.

    ``None`` where it would have to go on. On the thread of a worker, because this may parse.
    """
    stopper = Stopper(plan)
    result = Generated(Answer("", End.WHOLE), over=said.over)
    for piece in said.pieces:
        result.pieces.append(piece)
        if piece.text and stopper.push(piece.text):
            break
        if result.new_tokens >= plan.max_tokens:
            result.answer = stopper.finish(End.CUT)
            return result
    else:
        if not said.over:
            return None
    result.answer = stopper.finish(End.WHOLE)
    return result


async def _push(stopper: Stopper, piece: str, worker: Worker) -> bool:
    """Whether the answer is whole with *piece*; a line's end is judged on another thread."""
    if "\n" not in piece:
        return stopper.push(piece)
    return await worker.run(functools.partial(stopper.push, piece))
