"""CTranslate2's two kinds of models, and how each is asked: one visible table.

A decoder goes on with its prompt. An encoder-decoder reads the prompt with one half and writes the
answer with the other, which may be given the answer's beginning. Knows the names of CTranslate2's
classes, methods and options without importing it; ``ct2`` runs them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from codegen_lsp.engines.vocabulary import DECODER_PADDING, DECODER_VOCABULARY
from codegen_lsp.errors import EngineUnavailableError, GenerationError
from codegen_lsp.types import GenerationRequest, Prompt, Token

__all__ = ["NETWORKS", "Choose", "Network", "Question", "network_of"]

Choose = Callable[[Prompt], tuple[int, ...]]
"""Which beginning of a prompt is to be kept once it was read; shorter than the prompt or empty."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request as CTranslate2 takes it."""

    batch: tuple[list[list[str]], ...]
    """The positional arguments: batches of one sequence of tokens."""

    options: dict[str, Any]
    """The keyword arguments that depend on the request."""

    given: int = 0
    """How many tokens come back first that were not generated."""

    anchor: tuple[int, ...] = ()
    """What CTranslate2 keeps of the prompt."""


@dataclass(frozen=True, slots=True)
class Network:
    """How one kind of model is loaded and asked."""

    loader: str
    """CTranslate2's class."""

    method: str
    """The method of that class that generates."""

    vocabulary: str
    """Name of the file that lists the tokens."""

    padding: re.Pattern[str]
    """Entries of the vocabulary that stand for no text and are never generated."""

    rows: Callable[[Any, str], int]
    """Runs one token through a model; the number of logits that come out."""

    ask: Callable[[GenerationRequest, Sequence[str], int, int, Choose], Question]
    """The question for a request, given the vocabulary, the id of end-of-text, which also stands
    for an empty prompt, the context length, and who chooses the anchor.

    :raises GenerationError: an id is not in the vocabulary.
    """

    after: Callable[[GenerationRequest, Token], GenerationRequest]
    """What is left to ask for once a first token was generated."""

    anchored: bool = False
    """Whether CTranslate2 can keep what it has read of a prompt."""

    @property
    def files(self) -> tuple[str, ...]:
        """What CTranslate2 reads."""
        return ("model.bin", "config.json", self.vocabulary)


def network_of(architecture: str) -> Network:
    """The kind of model that a manifest calls *architecture*.

    :raises EngineUnavailableError: CTranslate2 has no such kind.
    """
    if architecture not in NETWORKS:
        raise EngineUnavailableError(
            f"CTranslate2 cannot run a model of architecture {architecture!r}",
            mend=f"use a model that is one of {', '.join(NETWORKS)}",
        )
    return NETWORKS[architecture]


def _decoder_rows(model: Any, word: str) -> int:
    return int(model.forward_batch([[word]]).shape[-1])


def _seq2seq_rows(model: Any, word: str) -> int:
    # One or two marks of a text's beginning and end count as nothing, which would not be run.
    result = model.translate_batch(
        [[word] * 3], beam_size=1, max_decoding_length=1, return_logits_vocab=True
    )
    return int(result[0].logits[0][0].shape[-1])


def _ask_decoder(
    request: GenerationRequest,
    vocabulary: Sequence[str],
    end: int,
    context_length: int,
    choose: Choose,
) -> Question:
    """Prompt and answer share the context; a prompt that leaves no room loses its beginning."""
    new_tokens = max(1, min(request.max_new_tokens, context_length - 1))
    prompt = _fitted(request.prompt, max(1, context_length - new_tokens), end)
    _check_ids(request, prompt.tokens, len(vocabulary))
    anchor = choose(prompt)
    own = {
        "include_prompt_in_result": False,
        "static_prompt": [vocabulary[i] for i in anchor] or None,
        "cache_static_prompt": bool(anchor),
        "max_length": new_tokens,
    }
    rest = [vocabulary[i] for i in prompt.tokens[len(anchor) :]]
    return Question(([rest],), own | _common(request, end), anchor=anchor)


def _fitted(prompt: Prompt, room: int, end: int) -> Prompt:
    """The last *room* tokens of *prompt*, at least one.

    What had to be cut here has no stable part: with the next token it is cut elsewhere.
    """
    if len(prompt) <= room:
        return prompt if len(prompt) else Prompt((), (end,))
    return Prompt((), prompt.tokens[-room:])


def _ask_seq2seq(
    request: GenerationRequest,
    vocabulary: Sequence[str],
    end: int,
    context_length: int,
    choose: Choose,
) -> Question:
    """Prompt and answer have a context each; what begins the answer counts as answer.

    An encoder reads every token in the light of all others: there are no anchors. To a prompt of
    no tokens but a mark of the beginning or the end CTranslate2 answers nothing.
    """
    prefix = request.answer_prefix
    # The token that starts every answer takes a place, too.
    new_tokens = max(1, min(request.max_new_tokens, context_length - 1 - len(prefix)))
    ids = request.prompt.tokens[-context_length:] or (end,)
    _check_ids(request, (*ids, *prefix), len(vocabulary))
    own: dict[str, Any] = {
        "beam_size": 1,
        "max_input_length": 0,  # unlimited: the line above has seen to that
        "min_decoding_length": 0,  # an answer may be empty
        "max_decoding_length": len(prefix) + new_tokens,
        "target_prefix": [[vocabulary[i] for i in prefix]] if prefix else None,
    }
    source = [vocabulary[i] for i in ids]
    return Question(([source],), own | _common(request, end), given=len(prefix))


def _check_ids(request: GenerationRequest, ids: Sequence[int], size: int) -> None:
    named = (*ids, *request.stop_ids, *request.first_ids)
    wrong = next((i for i in named if not 0 <= i < size), None)
    if wrong is not None:
        raise GenerationError(
            f"token id {wrong} is not in the model's vocabulary of {size}",
            mend="use the tokenizer that belongs to the model",
        )


def _common(request: GenerationRequest, end: int) -> dict[str, Any]:
    """Options that mean the same to both classes."""
    sampling = request.sampling
    greedy = sampling.temperature <= 0
    return {
        "return_scores": True,
        # The first token is checked against these, and chosen by its logit where it is none.
        "return_logits_vocab": bool(request.first_ids) or request.odds > 0,
        "end_token": [end, *request.stop_ids],
        "sampling_topk": 1 if greedy else sampling.top_k,
        "sampling_topp": 1.0 if greedy else sampling.top_p,
        "sampling_temperature": 1.0 if greedy else sampling.temperature,
    }


def _after_in_prompt(request: GenerationRequest, token: Token) -> GenerationRequest:
    prompt = Prompt(request.prompt.stable, (*request.prompt.tail, token.id))
    return replace(request, prompt=prompt, max_new_tokens=request.max_new_tokens - 1, first_ids=())


def _after_in_answer(request: GenerationRequest, token: Token) -> GenerationRequest:
    prefix = (*request.answer_prefix, token.id)
    left = request.max_new_tokens - 1
    return replace(request, answer_prefix=prefix, max_new_tokens=left, first_ids=())


NETWORKS: Final[Mapping[str, Network]] = {
    "decoder": Network(
        loader="Generator",
        method="generate_batch",
        vocabulary=DECODER_VOCABULARY,
        padding=DECODER_PADDING,
        rows=_decoder_rows,
        ask=_ask_decoder,
        after=_after_in_prompt,
        anchored=True,
    ),
    "encoder-decoder": Network(
        loader="Translator",
        method="translate_batch",
        vocabulary="shared_vocabulary.json",
        # <extra_id_N> are tokens here: they mark what is missing and begin its answer.
        padding=re.compile(r"<padding_\d+>"),
        rows=_seq2seq_rows,
        ask=_ask_seq2seq,
        after=_after_in_answer,
    ),
}
"""By ``Manifest.architecture``."""
