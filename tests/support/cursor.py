"""Code with a cursor in it, and everything that completing it without a model takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from codegen_lsp.completion.budget import Plan, plan
from codegen_lsp.completion.place import place_of
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.collect import collect
from codegen_lsp.prompts.tokenizer import END_OF_TEXT, CodeTokenizer
from codegen_lsp.types import CompletionContext, CompletionQuery, Snapshot, Trigger

CURSOR = "¦"


def query_at(
    code: str,
    trigger: Trigger = Trigger.AUTOMATIC,
    *,
    language: str = "python",
    uri: str = "file:///a.py",
) -> CompletionQuery:
    """A query at the cursor sign in *code*."""
    before, sign, after = code.partition(CURSOR)
    assert sign, "the code has no cursor"
    return CompletionQuery(Snapshot(uri, language, before + after), len(before), trigger)


def context_at(code: str, *, language: str = "python") -> CompletionContext:
    """The context at the cursor sign in *code*."""
    query = query_at(code, language=language)
    return collect(query.snapshot, query.offset, 4096)


def plan_at(
    code: str,
    trigger: Trigger = Trigger.AUTOMATIC,
    *,
    language: str = "python",
    settings: Settings | None = None,
) -> Plan:
    """The plan at the cursor sign in *code*."""
    return plan(place_of(context_at(code, language=language)), trigger, settings or Settings())


def word_tokenizer(words: Iterable[str] = ()) -> CodeTokenizer:
    """A tokenizer of the 256 bytes and *words* (ASCII), each of which is one token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {sign: number for number, sign in enumerate([END_OF_TEXT, *alphabet])}
    merges: list[tuple[str, str]] = []
    for word in words:
        signs = word.replace(" ", "Ġ").replace("\n", "Ċ")
        for length in range(2, len(signs) + 1):
            if signs[:length] not in vocabulary:
                vocabulary[signs[:length]] = len(vocabulary)
                merges.append((signs[: length - 1], signs[length - 1]))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END_OF_TEXT])
    return CodeTokenizer(tokenizer, vocabulary[END_OF_TEXT])


def says(tokenizer: CodeTokenizer, text: str) -> Callable[[object], list[int]]:
    """An answer for a scripted engine: *text*, whatever is asked."""
    return lambda _: tokenizer.encode(text)
