"""Text to token ids and back, for the byte-level BPE tokenizers of the CodeGen family.

Knows one file, ``tokenizer.json``, and the byte alphabet of GPT-2 that such tokenizers write
tokens in (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019). Does
not know prompts. The library ``tokenizers`` is imported when a file is read, not before.
"""

from __future__ import annotations

import bisect
import codecs
import functools
import itertools
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from codegen_lsp.errors import ModelDamagedError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["END_OF_TEXT", "CodeTokenizer", "StreamDecoder", "byte_alphabet"]

END_OF_TEXT: Final = "<|endoftext|>"
"""The token between documents, in every vocabulary that has it."""

_SENTENCE_END: Final = "</s>"
"""What ends a text where neither that token nor ``tokenizer_config.json`` says (CodeT5+)."""

_MARK: Final = re.compile(r"<\S+>")
"""Added tokens like this are marks of a format, even where a file has them as ordinary text."""

_REMEMBERED: Final = 1024
"""Characters of a text whose ids are remembered together."""

_SHORT: Final = 160
"""Characters of a text that is not worth remembering."""


class CodeTokenizer:
    """One model's tokenizer. Immutable; may be shared by threads."""

    def __init__(self, tokenizer: Tokenizer, eos_id: int) -> None:
        # What a user wrote is text, even where it looks like a special token.
        tokenizer.encode_special_tokens = True
        # Left over in some files from training; either would change what a text is.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._bytes = _token_bytes(tokenizer)
        self._special = {
            token.content: number
            for number, token in sorted(tokenizer.get_added_tokens_decoder().items())
            if token.special
        }
        self._strings = _token_strings(self._bytes)
        self._sorted = sorted((text, token) for token, text in self._strings.items())
        self._ids = dict(reversed(self._sorted))
        self.continuations = functools.lru_cache(maxsize=256)(self._continuations)
        self._remembered = functools.lru_cache(maxsize=64)(self._encode)
        self.eos_id: Final = eos_id
        """The id of end-of-text."""

    @classmethod
    def from_folder(cls, folder: Path) -> CodeTokenizer:
        """The tokenizer in a model folder.

        :raises ModelDamagedError: ``tokenizer.json`` is missing, unreadable, or of another kind.
        """
        from tokenizers import decoders

        path = folder / "tokenizer.json"
        try:
            tokenizer = _with_marks(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelDamagedError(f"{path} is missing", mend="install the model again") from None
        except Exception as error:  # the library raises plain Exception for a bad file
            raise ModelDamagedError(
                f"{path} cannot be read: {error}", mend="install the model again"
            ) from error
        if not isinstance(tokenizer.decoder, decoders.ByteLevel):
            raise ModelDamagedError(
                f"{path} is no byte-level tokenizer, as CodeGen's are",
                mend="use the tokenizer.json that belongs to the model",
            )
        names = (END_OF_TEXT, _configured_end(folder), _SENTENCE_END)
        ends = (tokenizer.token_to_id(name) for name in names if name)
        eos_id = next((number for number in ends if number is not None), None)
        if eos_id is None:
            raise ModelDamagedError(
                f"{path} has no token {END_OF_TEXT}",
                mend="use the tokenizer.json that belongs to the model",
            )
        return cls(tokenizer, eos_id)

    @property
    def vocab_size(self) -> int:
        """Number of tokens; a model may have more rows, which stand for nothing."""
        return len(self._bytes)

    def encode(self, text: str) -> list[int]:
        """The ids of *text*; nothing in it is taken for a special token.

        Lone surrogates, which no encoding of text can hold, become question marks. The ids of
        long texts are remembered in part: from one keystroke to the next little has changed.
        """
        if len(text) < _SHORT:
            return list(self._encode(text))
        cut = _cut(text)
        line = _line_cut(text, cut)
        parts = (self._remembered(part) for part in (text[:cut], text[cut:line]) if part)
        return [*itertools.chain.from_iterable(parts), *self._encode(text[line:])]

    def _encode(self, text: str) -> tuple[int, ...]:
        try:
            ids = self._encoded(text)
        except (TypeError, UnicodeEncodeError):
            clean = text.encode("utf-8", "replace").decode("utf-8")
            ids = self._encoded(clean)
        return tuple(ids)

    def _encoded(self, text: str) -> list[int]:
        # Unlike ``encode``, this lets other threads run meanwhile: up to 10 ms for a long text.
        return self._tokenizer.encode_batch([text], add_special_tokens=False)[0].ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of *ids*; special tokens and unknown ids have none.

        Bytes that are no UTF-8 become U+FFFD.
        """
        parts = map(self._bytes.get, ids, itertools.repeat(b""))
        return b"".join(parts).decode("utf-8", "replace")

    def render(self, ids: Iterable[int]) -> str:
        """The text of *ids* for people: special tokens are shown by their names."""
        names = {number: name.encode() for name, number in self._special.items()}
        shown = (names.get(i, self._bytes.get(i, b"")) for i in ids)
        return b"".join(shown).decode("utf-8", "replace")

    def id_of(self, name: str) -> int | None:
        """The id of a special token; ``None`` where this vocabulary has none of that name."""
        return self._special.get(name)

    @property
    def special_ids(self) -> Mapping[str, int]:
        """Every special token and its id, by id."""
        return self._special

    def token_text(self, token: int) -> str | None:
        """The text of one token; ``None`` where it is part of a character, or no text."""
        return self._strings.get(token)

    def id_to_token(self, token: int) -> str | None:
        """The token as ``tokenizer.json`` writes it; ``None`` for an unknown id."""
        name: str | None = self._tokenizer.id_to_token(token)
        return name

    def _continuations(self, text: str) -> tuple[int, ...]:
        """The tokens that could come next if the text to come begins with *text* (not empty).

        Those that begin with *text*, and those that *text* begins with. Sorted.
        """
        start = bisect.bisect_left(self._sorted, (text, -1))
        # The greatest code point sorts after every token that begins with *text*.
        stop = bisect.bisect_left(self._sorted, (text + "\U0010ffff", -1))
        found = {token for _, token in self._sorted[start:stop]}
        parts = (self._ids.get(text[:length]) for length in range(1, len(text)))
        found.update(token for token in parts if token is not None)
        return tuple(sorted(found))

    def extends(self, text: str) -> bool:
        """Whether some token begins with *text* and goes on."""
        start = bisect.bisect_left(self._sorted, (text + "\0", -1))
        return start < len(self._sorted) and self._sorted[start][0].startswith(text)

    def stream(self) -> StreamDecoder:
        """A decoder for one answer."""
        return StreamDecoder(self._bytes)


class StreamDecoder:
    """Decodes token by token; a character whose bytes are incomplete is held back.

    What ``push`` and ``flush`` return together is ``decode`` of all ids.
    """

    def __init__(self, token_bytes: Mapping[int, bytes]) -> None:
        self._bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        """The text that *token* completes; often empty inside an emoji."""
        return self._decoder.decode(self._bytes.get(token, b""))

    def flush(self) -> str:
        """What was held back, as U+FFFD; the decoder can be used again."""
        return self._decoder.decode(b"", final=True)


def _cut(text: str) -> int:
    """A place that no token spans, about a thousand characters apart; 0 in a short text.

    That is before a line end that follows something visible: every pre-tokenizer in use begins
    anew there.
    """
    last = len(text) // _REMEMBERED * _REMEMBERED
    for place in range(last, max(0, last - _REMEMBERED), -1):
        if text[place : place + 1] == "\n" and not text[place - 1].isspace():
            return place
    return 0


def _line_cut(text: str, least: int) -> int:
    """The last place of that kind behind *least*: what stands above the last line; else *least*."""
    place = text.rfind("\n", least + 1)
    while place > 0 and text[place - 1].isspace():
        place = text.rfind("\n", least + 1, place)
    return max(place, least)


def _with_marks(content: str) -> Tokenizer:
    """The tokenizer of a ``tokenizer.json``; every added token that is a mark is special.

    Else a document that holds the letters ``<fim-prefix>`` would hold the mark, and an answer's
    end would be shown as text.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(content)
    added = tokenizer.get_added_tokens_decoder().values()
    if all(token.special or not _MARK.fullmatch(token.content) for token in added):
        return tokenizer  # seldom otherwise, so that a large file is not read twice
    document: Any = json.loads(content)
    for entry in document["added_tokens"]:
        entry["special"] = entry["special"] or bool(_MARK.fullmatch(entry["content"]))
    return Tokenizer.from_str(json.dumps(document))


def _configured_end(folder: Path) -> str | None:
    """The end-of-text token that ``tokenizer_config.json`` names.

    Some published configurations contradict their model, so this is asked second.
    """
    try:
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        eos = config.get("eos_token")
    except (OSError, ValueError, AttributeError):
        return None  # the file is optional
    name = eos.get("content") if isinstance(eos, dict) else eos
    return name if isinstance(name, str) else None


def byte_alphabet() -> dict[str, int]:
    """GPT-2's characters for the 256 bytes: printable ones stand for themselves."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(shown)]
    alphabet = {chr(byte): byte for byte in shown}
    return alphabet | {chr(256 + place): byte for place, byte in enumerate(hidden)}


def _token_bytes(tokenizer: Tokenizer) -> dict[int, bytes]:
    """What each token stands for; special tokens for nothing.

    A character that stands for no byte is left out. Fifty thousand names are read at each start:
    the alphabet's characters become those of Latin-1, whose numbers are the bytes.
    """
    alphabet = byte_alphabet()
    latin: dict[int, str | None] = dict.fromkeys(range(256))
    latin |= {ord(character): chr(byte) for character, byte in alphabet.items()}
    table = {
        token: name.translate(latin).encode("latin-1", "ignore")
        for name, token in tokenizer.get_vocab(with_added_tokens=True).items()
    }
    for token, added in tokenizer.get_added_tokens_decoder().items():
        table[token] = b"" if added.special else added.content.encode()
    return table


def _token_strings(token_bytes: Mapping[int, bytes]) -> dict[int, str]:
    """The tokens that are whole characters, at least one."""
    strings: dict[int, str] = {}
    for token, content in token_bytes.items():
        try:
            if content:
                strings[token] = content.decode("utf-8")
        except UnicodeDecodeError:
            continue
    return strings
