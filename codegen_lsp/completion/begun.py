"""Words that were begun: how likely their rest is, now that their beginning is known.

A model said how likely a token is among all; of those which begin as somebody typed, its share is
larger. Knows what was said and its odds. Does not know what is made of it.
"""

from __future__ import annotations

from dataclasses import replace

from codegen_lsp.completion.cache import Said
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.types import Piece

__all__ = ["among", "settled"]


def settled(said: Said, tokenizer: CodeTokenizer) -> Said:
    """*said*, with how likely a word that was begun is, given how it begins; if that is known."""
    if not said.begun or not said.pieces:
        return said
    first = said.pieces[0]
    found = among(first, tokenizer)
    if found is None or first.log_prob is None:
        return said
    likely = replace(first, log_prob=min(0.0, first.log_prob - found[0]))
    return Said((likely, *said.pieces[1:]), said.over)


def among(piece: Piece, tokenizer: CodeTokenizer) -> tuple[float, float] | None:
    """How likely tokens are that begin like what is given of a piece: any, and the likeliest."""
    if piece.odds is None or not piece.given:
        return None
    ids = tokenizer.continuations(piece.given)
    return piece.odds.among(ids) if ids else None
