"""From the tokens of one answer to its text: stops, odds, and what of it may be said already.

A stop may be spread over tokens, and so may a character: text that could still become a stop is
held back. Runs on the model's threads, which wait for it.

Knows a tokenizer and one answer. Does not know how answers are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.engines.ct2_batch import Step
from codegen_lsp.prompts.tokenizer import CodeTokenizer, byte_alphabet

__all__ = ["Odd", "Said", "Writer", "likeliest", "odd", "token_name"]


@dataclass(frozen=True, slots=True)
class Odd:
    """One token and its log-probabilities (natural), as ``logprobs`` tells them."""

    token: str
    log_prob: float | None
    """``None`` for the first token of an echoed prompt, which nothing stands before."""

    top: dict[str, float] | None
    """The likeliest at this place and the token itself; ``None`` where none were asked for."""

    offset: int
    """Where its text begins in the choice's text."""


@dataclass(slots=True)
class Said:
    """A part of an answer."""

    text: str = ""
    ids: list[int] = field(default_factory=list)
    odds: list[Odd] = field(default_factory=list)


class Writer:
    """The text of one answer, as its tokens come."""

    def __init__(
        self,
        tokenizer: CodeTokenizer,
        stops: Sequence[str],
        stop_ids: frozenset[int],
        logprobs: int | None,
        say: Callable[[Said], None],
        offset: int = 0,
    ) -> None:
        """*say* is given each part; *offset* is where the answer begins in the choice's text."""
        self._tokenizer = tokenizer
        self._decoder = tokenizer.stream()
        self._stops = tuple(stops)
        self._stop_ids = stop_ids
        self._logprobs = logprobs
        self._say = say
        self._offset: Final = offset
        self._held = Said()
        self._length = 0
        """Characters of the answer so far, those held back included."""
        self.tokens = 0
        """Tokens that belong to the answer."""
        self.stopped = False
        """Whether a stop was said; else the answer ends where the model ends it, or its budget."""

    def take(self, step: Step) -> bool:
        """Take the next token; True: a stop was said, and nothing behind it counts."""
        if step.token in self._stop_ids:
            self.stopped = True
            return True
        self.tokens += 1
        self._held.ids.append(step.token)
        if self._logprobs is not None and step.logits is not None:
            offset = self._offset + self._length
            log_probs = _log_softmax(step.logits)
            self._held.odds.append(
                odd(self._tokenizer, step.token, log_probs, self._logprobs, offset)
            )
        return self._add(self._decoder.push(step.token))

    def finish(self) -> None:
        """Nothing comes any more: say what was held back."""
        if not self.stopped:
            self._add(self._decoder.flush())
        self._release(len(self._held.text))

    def _add(self, text: str) -> bool:
        held = self._held
        held.text += text
        self._length += len(text)
        places = [(place, stop) for stop in self._stops if (place := held.text.find(stop)) >= 0]
        if places:
            self._cut(min(places)[0])
            return True
        self._release(len(held.text) - self._begun())
        return False

    def _begun(self) -> int:
        """How many characters at the end may be the beginning of a stop."""
        text = self._held.text
        longest = max(map(len, self._stops), default=1) - 1
        for size in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-size:]) for stop in self._stops):
                return size
        return 0

    def _cut(self, place: int) -> None:
        """Drop the text from *place* on, and the odds of what was in it."""
        held = self._held
        self.stopped = True
        end = self._offset + self._length - len(held.text) + place
        held.text = held.text[:place]
        held.odds = [one for one in held.odds if one.offset < end]

    def _release(self, size: int) -> None:
        """Say *size* characters, and the tokens so far with the last of them."""
        held = self._held
        if size < len(held.text):
            if size:
                self._say(Said(held.text[:size]))
                held.text = held.text[size:]
            return
        if held.text or held.ids:
            self._held = Said()
            self._say(held)


def odd(
    tokenizer: CodeTokenizer,
    token: int,
    log_probs: NDArray[np.float32],
    count: int,
    offset: int,
) -> Odd:
    """*token* under *log_probs* [vocabulary], and the *count* likeliest beside it."""
    own = float(log_probs[token])
    top = None
    if count:
        top = {token_name(tokenizer, i): float(log_probs[i]) for i in likeliest(log_probs, count)}
        top.setdefault(token_name(tokenizer, token), own)
    return Odd(token_name(tokenizer, token), own, top, offset)


def likeliest(values: NDArray[np.float32], count: int) -> list[int]:
    """The places of the *count* greatest *values*, the greatest first."""
    found = np.argpartition(values, -count)[-count:]
    return [int(i) for i in found[np.argsort(-values[found])]]


def token_name(tokenizer: CodeTokenizer, token: int) -> str:
    """A token as ``logprobs`` names it: its text, ``bytes:…`` for a part of a character, its mark.

    Source: the form of OpenAI's own answers.
    """
    text = tokenizer.token_text(token)
    if text is not None:
        return text
    shown = tokenizer.render([token])
    if shown and "\ufffd" not in shown:
        return shown
    alphabet = byte_alphabet()
    codes = (alphabet[one] for one in tokenizer.id_to_token(token) or "" if one in alphabet)
    return "bytes:" + "".join(f"\\x{code:02x}" for code in codes)


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    shifted = logits - logits.max()
    normal: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum())
    return normal
