"""The words of a text: what two pieces of code have in common when they are about the same thing.

Knows identifiers and how people join words in them (``HTTPServer``, ``http_server``,
``HTTP_SERVER`` and ``httpServer`` are one). Knows no language: words in comments and strings count
like all others. Ids are CRC-32 of a word's UTF-8, the same in every process and on every day.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Final
from zlib import crc32

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["STOP_WORDS", "ids_of", "names", "packed_ids", "word_ids", "words"]

_STOP: Final = """
and as break case catch class const continue default do else enum export extends false final
finally for from function if implements import in interface is let new nil none not null or
package private protected public return self static struct super switch this throw throws
true try type typedef typeof undefined use using var void while with yield

async await cls def del elif except global lambda nonlocal pass raise

auto char constexpr define double endif extern float goto ifdef ifndef include inline int
long namespace nullptr operator short sizeof template typename union unsigned virtual

chan defer fallthrough func go range select crate dyn fn impl loop match mod move mut pub ref
trait unsafe where

abstract boolean fun instanceof internal object override readonly sealed val volatile

begin elsif end ensure local module rescue then unless until

an at be by has it of on that the to
"""
STOP_WORDS: Final = frozenset(_STOP.split())
"""Words that say nothing about what code is for; they are no words, but parts of whole names."""

_NAME: Final = re.compile(r"[^\W\d]\w*")
_PARTS: Final = re.compile(r"[A-Z]{2,}s(?![a-z])|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_LONGEST: Final = 64
"""Characters; what is longer was not written by a person."""

_MOST_PARTS: Final = 10
"""A name of more parts is a digest or encoded data."""

_MEMORY: Final = 16_384
"""How many identifiers' words are remembered, a few MB."""


def names(text: str) -> list[str]:
    """The identifiers of *text* as they are written, in order, with repetitions."""
    return _NAME.findall(text)


def words(text: str) -> list[str]:
    """The words of *text* in order, with repetitions, in lower case.

    An identifier gives the words it is joined from, without stop words, single letters and
    numbers, and, where it is joined from several, itself: ``parseHTTPHeader2`` gives ``parse``,
    ``http``, ``header`` and ``parse_http_header_2``.
    """
    return list(chain.from_iterable(map(_words_of, _NAME.findall(text))))


def word_ids(text: str) -> NDArray[np.uint32]:
    """The ids of the distinct words of *text*, ascending."""
    import numpy as np  # not needed by who reads files, which is a process of its own

    return np.frombuffer(packed_ids(text), dtype=np.uint32)


def packed_ids(text: str) -> bytes:
    """What :func:`word_ids` gives, as the bytes of an array of this machine's uint32."""
    return array("I", ids_of(_NAME.findall(text))).tobytes()


def ids_of(identifiers: Iterable[str]) -> list[int]:
    """The ids of the distinct words of some identifiers, ascending."""
    return sorted(set(chain.from_iterable(map(_ids_of, set(identifiers)))))


def _split(name: str) -> tuple[str, ...]:
    """The words of one identifier, then the whole of it where it is more than one word."""
    if len(name) > _LONGEST:
        return ()
    parts = _PARTS.findall(name) if name.isascii() else _parts(name)
    if len(parts) > _MOST_PARTS:
        return ()
    lower = [part.lower() for part in parts]
    good = [part for part in lower if len(part) > 1 and part not in STOP_WORDS and part[0] > "9"]
    if len(lower) > 1 and any(len(part) > 1 and part[0] > "9" for part in lower):
        good.append("_".join(lower))
    return tuple(good)


def _parts(name: str) -> list[str]:
    """What ``_PARTS`` finds, by the cases of all alphabets, which regular expressions lack."""
    marked: list[str] = []
    for index, char in enumerate(name):
        before = name[index - 1] if index else "_"
        after = name[index + 1] if index + 1 < len(name) else "_"
        turns = char.isdecimal() != before.isdecimal()
        rises = char.isupper() and (not before.isupper() or after.islower())
        marked.append(f"_{char}" if turns or rises else char)
    return [part for part in "".join(marked).split("_") if part]


def _split_ids(name: str) -> tuple[int, ...]:
    return tuple(crc32(word.encode("utf-8", "replace")) for word in _split(name))


_words_of: Final[Callable[[str], tuple[str, ...]]] = lru_cache(_MEMORY)(_split)
_ids_of: Final[Callable[[str], tuple[int, ...]]] = lru_cache(_MEMORY)(_split_ids)
