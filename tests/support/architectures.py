"""Tiny checkpoints that transformers makes, and the ways from them to logits."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from codegen_lsp.converters.architecture import Architecture
from codegen_lsp.converters.ct2_file import write_spec
from codegen_lsp.converters.tensors import Array
from codegen_lsp.errors import ConversionError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Checkpoint:
    """What transformers saved, and the model it saved it from."""

    model: Any
    tensors: dict[str, Array]
    config: dict[str, Any]

    def logits(self, tokens: Sequence[int], **inputs: Sequence[int]) -> Floats:
        """[length, vocabulary] as transformers computes them; *inputs* are further token ids."""
        torch = pytest.importorskip("torch", reason="torch is not installed")
        batches = {name: torch.tensor([list(ids)]) for name, ids in inputs.items()}
        with torch.inference_mode():
            found = self.model(input_ids=torch.tensor([list(tokens)]), **batches).logits
        return np.asarray(found[0].numpy(), np.float32)


def make_checkpoint(kind: str, folder: Path, seed: int = 0, **config: object) -> Checkpoint:
    """A random model of transformers' class *kind*, saved in *folder* and read without torch.

    Every weight, biases and scales of norms included, is away from its neutral value.
    """
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from safetensors.numpy import load_file

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(seed)
    cls = getattr(transformers, kind)
    model = cls(cls.config_class(**config)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    model.save_pretrained(folder)
    saved = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return Checkpoint(model, dict(load_file(folder / "model.safetensors")), saved)


def check_reference(
    architecture: Architecture, checkpoint: Checkpoint, tokens: Sequence[int], expected: Floats
) -> None:
    """The numpy reference gives *expected* to 1e-4 and finds the same tokens likeliest."""
    found = architecture.reference(checkpoint.tensors, checkpoint.config, tokens)
    check_logits(np.asarray(found), expected)


def check_logits(found: Floats, expected: Floats) -> None:
    """Two computations of the same logits."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-4
    assert (found.argmax(axis=-1) == expected.argmax(axis=-1)).all()


def check_tensors(architecture: Architecture, checkpoint: Checkpoint, says: str) -> None:
    """Weights that do not fit are refused on both ways, in one line that holds *says*."""
    with pytest.raises(ConversionError, match=re.escape(says)) as caught:
        architecture.reference(checkpoint.tensors, checkpoint.config, [1, 2, 3])
    assert "\n" not in str(caught.value)
    with pytest.raises(ConversionError, match=re.escape(says)):
        _read_all(architecture.specification(checkpoint.tensors, checkpoint.config))


def _read_all(specification: Any) -> None:
    for variable in specification.variables().values():
        if hasattr(variable, "numpy"):
            variable.numpy()


def write_ct2(
    architecture: Architecture,
    tensors: Mapping[str, Array],
    config: Mapping[str, Any],
    out: Path,
    words: Sequence[str] = (),
) -> Path:
    """CTranslate2's files in float32, with *words* or made-up ones as vocabulary; returns *out*.

    The first word ends a text; the configuration says what begins the answer of a T5.
    """
    spec = architecture.specification(tensors, config)
    names = list(words) or [f"w{i}" for i in range(architecture.facts(config).vocab_size)]
    if architecture.kind == "decoder":
        spec.register_vocabulary(names)
    else:
        spec.register_source_vocabulary(names)
        spec.register_target_vocabulary(names)
        spec.config.decoder_start_token = names[config["decoder_start_token_id"]]
    spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = names[0]
    out.mkdir(parents=True)
    write_spec(spec, out, "float32")
    return out


def decoder_logits(folder: Path, tokens: Sequence[int]) -> Floats:
    """[length, vocabulary] as CTranslate2 computes them from a decoder's folder."""
    import ctranslate2

    model = ctranslate2.Generator(str(folder), device="cpu", compute_type="float32")
    return np.asarray(np.array(model.forward_batch([list(tokens)]))[0], np.float32)


def seq2seq_logits(folder: Path, tokens: Sequence[int]) -> Floats:
    """[length, vocabulary] of a decoder that is fed what the encoder reads, by CTranslate2."""
    import ctranslate2

    words = json.loads((folder / "shared_vocabulary.json").read_text(encoding="utf-8"))
    model = ctranslate2.Translator(str(folder), device="cpu", compute_type="float32")
    named = [words[i] for i in tokens]
    result = model.translate_batch(
        [named],
        target_prefix=[named[:-1]],
        beam_size=1,
        min_decoding_length=0,
        max_decoding_length=len(named),
        return_logits_vocab=True,
    )[0]
    return np.stack([np.array(step).reshape(-1) for step in result.logits[0]])
