"""A Hugging Face folder to a model folder that CTranslate2 and the store read.

Knows what stands beside the weights: vocabulary, special tokens, configuration, manifest; and
that the folder appears whole. Needs neither torch nor transformers. Does not know architectures
(``architectures``) or how weights are written (``ct2_file``), and compares no logits (``verify``).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from codegen_lsp.errors import CodegenError, ConversionError
from codegen_lsp.models.manifest import EXTRAS, MANIFEST, Manifest, write_manifest
from codegen_lsp.prompts.tokenizer import END_OF_TEXT

from .architectures import architecture_of
from .checkpoint import open_checkpoint, read_config
from .ct2_file import QUANTIZATIONS, Progress, write_spec

__all__ = ["QUANTIZATIONS", "convert", "vocabulary"]

_PADDING: Final = ("<extra_id_{}>", "<padding_{}>")
"""Names of vocabulary entries that have a row in the embedding and no token.

The second where the tokenizer has tokens of its own that are named like the first, as T5's do.
"""


def convert(
    source: Path,
    out: Path,
    manifest: Manifest,
    quantization: str = "int8",
    *,
    progress: Progress | None = None,
) -> Manifest:
    """Convert the Hugging Face folder *source* into the model folder *out*; returns its manifest.

    Context length, parameters, compute type and architecture of *manifest* are filled in. *out*
    may exist; the files of a model in it are replaced, manifest last, and others are kept. One
    tensor is in memory at a time. *progress* is told bytes written, of how many.

    :raises ConversionError: no known architecture, weights or tokenizer missing, or *out* cannot
        be written.
    """
    if quantization not in QUANTIZATIONS:
        raise ConversionError(
            f"unknown quantization {quantization!r}", mend=f"use one of {', '.join(QUANTIZATIONS)}"
        )
    config = read_config(source)
    architecture = architecture_of(config)
    facts = architecture.facts(config)
    tokens = vocabulary(source / "tokenizer.json", facts.vocab_size)
    spec = architecture.specification(open_checkpoint(source), config)
    if architecture.kind == "decoder":
        _configure_decoder(spec, tokens, _end_of_text(source, config, tokens))
    else:
        _configure_encoder_decoder(spec, tokens, config)
    manifest = msgspec.structs.replace(
        manifest,
        context_length=facts.context_length,
        compute_type=quantization,
        architecture=architecture.kind,
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".convert-", dir=out.parent) as scratch:
            whole = Path(scratch)
            parameters = write_spec(spec, whole, quantization, progress)
            _copy_beside(source, whole)
            manifest = msgspec.structs.replace(manifest, parameters=parameters)
            manifest = write_manifest(whole, manifest)
            _move(whole, out)
    except OSError as error:
        raise ConversionError(
            f"cannot write {out}: {error.strerror or error}", mend="make room there"
        ) from error
    except CodegenError as error:
        raise ConversionError(
            f"cannot convert {source}: {error.message}", mend=error.mend
        ) from error
    return manifest


def _copy_beside(source: Path, whole: Path) -> None:
    """Copy the tokenizer, and what a licence may demand to go with the weights."""
    for name in ("tokenizer.json", *EXTRAS):
        if (source / name).is_file():
            shutil.copyfile(source / name, whole / name)


def _move(whole: Path, out: Path) -> None:
    """Put the files into *out*: without a manifest while they change, the new one last."""
    out.mkdir(exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    for file in sorted(whole.iterdir(), key=lambda path: path.name == MANIFEST):
        file.replace(out / file.name)


def vocabulary(tokenizer: Path, size: int) -> list[str]:
    """Tokens by id, padded to *size* with names that the engine knows never to generate.

    :raises ConversionError: unreadable, or more tokens than *size*.
    """
    try:
        content = json.loads(tokenizer.read_text(encoding="utf-8"))
        by_id = dict(_pieces(content["model"]["vocab"]))
        by_id |= {added["id"]: added["content"] for added in content.get("added_tokens") or ()}
        last = max(by_id, default=size)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConversionError(
            f"cannot read {tokenizer}: {error!r}",
            mend="put the model's tokenizer.json into the folder",
        ) from error
    if last >= size:
        raise ConversionError(f"{tokenizer} does not fit a vocabulary of {size} entries")
    taken = any(token.startswith(_PADDING[0].format("")[:-1]) for token in by_id.values())
    gaps = [index for index in range(size) if index not in by_id]
    by_id |= {index: _PADDING[taken].format(number) for number, index in enumerate(gaps)}
    return [by_id[index] for index in range(size)]


def _pieces(vocab: Any) -> list[tuple[int, str]]:
    """Ids and tokens; Unigram models keep a list of tokens and scores instead of a mapping."""
    if isinstance(vocab, list):
        return [(index, token) for index, (token, _) in enumerate(vocab)]
    return [(int(index), token) for token, index in vocab.items()]


def _end_of_text(source: Path, config: Mapping[str, Any], tokens: Sequence[str]) -> str:
    """The token that ends a text: by its name, whatever id the configuration claims.

    Published configurations give 1 or 2 where the tokenizers say 50256.
    """
    named = _tokenizer_config(source).get("eos_token")
    if isinstance(named, dict):
        named = named.get("content")
    for token in (END_OF_TEXT, named):
        if isinstance(token, str) and token in tokens:
            return token
    return _token(config, "eos_token_id", tokens)


def _tokenizer_config(source: Path) -> dict[str, Any]:
    try:
        content = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}  # it only names what config.json can name, too
    return content if isinstance(content, dict) else {}


def _token(config: Mapping[str, Any], field: str, tokens: Sequence[str]) -> str:
    index = config.get(field)
    if type(index) is not int or not 0 <= index < len(tokens):
        raise ConversionError(
            f"config.json says {index!r} for {field!r}, which is no token of the vocabulary",
            mend="use the config.json and the tokenizer.json that belong to the weights",
        )
    return tokens[index]


def _configure_decoder(spec: Any, tokens: list[str], end: str) -> None:
    spec.register_vocabulary(tokens)
    spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = end


def _configure_encoder_decoder(spec: Any, tokens: list[str], config: Mapping[str, Any]) -> None:
    """Prompts are made by this program: nothing is added to what the encoder reads."""
    spec.register_source_vocabulary(tokens)
    spec.register_target_vocabulary(tokens)
    end = "</s>" if "</s>" in tokens else _token(config, "eos_token_id", tokens)
    start = (
        "pad_token_id" if config.get("decoder_start_token_id") is None else "decoder_start_token_id"
    )
    spec.config.eos_token = end
    spec.config.bos_token = "<s>" if "<s>" in tokens else end
    spec.config.unk_token = "<unk>" if "<unk>" in tokens else end
    spec.config.decoder_start_token = _token(config, start, tokens)
    spec.config.add_source_bos = spec.config.add_source_eos = False
