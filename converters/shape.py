"""The shape of a CodeGen model and its ``config.json`` in the Hugging Face layout.

Knows the fields of that file and their quirks. Does not know weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codegen_lsp.errors import ConversionError

from .checkpoint import read_config

__all__ = ["Shape"]

_ACTIVATION = "gelu_new"


@dataclass(frozen=True, slots=True)
class Shape:
    """What must be known of a model beside its weights."""

    vocab_size: int
    """Rows of the embedding, padding included."""

    n_positions: int
    """Most tokens in one sequence."""

    n_embd: int
    """Width of the residual stream."""

    n_layer: int

    n_head: int

    rotary_dim: int
    """Leading dimensions of each head that are rotated."""

    layer_norm_epsilon: float = 1e-5

    eos_token_id: int = 0
    """Id of the end-of-text token, which also begins a document."""

    parts: int = 4
    """Slices of the fused attention matrix (see ``qkv``)."""

    @property
    def head_dim(self) -> int:
        """Dimensions of one attention head."""
        return self.n_embd // self.n_head

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Shape:
        """The shape that a ``config.json`` of model type ``codegen`` describes.

        :raises ConversionError: another model type or activation, or a field is missing.
        """
        if config.get("model_type") != "codegen":
            kind = config.get("model_type")
            raise ConversionError(
                f"model type {kind!r} is not CodeGen", mend="convert a folder of type 'codegen'"
            )
        if config.get("activation_function", _ACTIVATION) != _ACTIVATION:
            raise ConversionError(f"activation {config['activation_function']!r} is not supported")
        try:
            shape = cls(
                vocab_size=int(config["vocab_size"]),
                n_positions=int(config.get("n_positions", 2048)),
                n_embd=int(config["n_embd"]),
                n_layer=int(config["n_layer"]),
                n_head=int(config["n_head"]),
                rotary_dim=int(config["rotary_dim"]),
                layer_norm_epsilon=float(config.get("layer_norm_epsilon", 1e-5)),
                eos_token_id=int(config.get("eos_token_id") or 0),
                # CodeGen2-1B and -3.7B, and only those, name their head size.
                parts=8 if config.get("head_dim") in (128, 256) else 4,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConversionError(f"config.json lacks or misstates {error}") from error
        shape.check()
        if config.get("n_inner") not in (None, 4 * shape.n_embd):
            raise ConversionError(f"an n_inner of {config['n_inner']} is not supported")
        return shape

    def check(self) -> None:
        """Nothing, where the numbers fit each other.

        :raises ConversionError: they do not.
        """
        sizes = (self.vocab_size, self.n_positions, self.n_embd, self.n_layer, self.n_head)
        if min(sizes) < 1 or self.n_embd % self.n_head:
            raise ConversionError(
                f"the configuration says that {self.n_layer} layers of {self.n_head} heads are"
                f" {self.n_embd} wide, which cannot be"
            )
        if self.rotary_dim % 2 or not 0 < self.rotary_dim <= self.head_dim:
            raise ConversionError(
                f"the configuration rotates {self.rotary_dim} of {self.head_dim} dimensions"
            )

    @classmethod
    def from_folder(cls, folder: Path) -> Shape:
        """The shape in a Hugging Face folder.

        :raises ConversionError: ``config.json`` is missing, unreadable or not CodeGen's.
        """
        return cls.from_config(read_config(folder))

    def to_config(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers.CodeGenConfig`` reads back as this shape."""
        # Where the head size is named, it says that the parts are eight (see from_config).
        eight = {"head_dim": self.head_dim} if self.parts == 8 else {}
        return eight | {
            "activation_function": _ACTIVATION,
            "architectures": ["CodeGenForCausalLM"],
            "attn_pdrop": 0.0,
            "bos_token_id": self.eos_token_id,
            "embd_pdrop": 0.0,
            "eos_token_id": self.eos_token_id,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "model_type": "codegen",
            "n_ctx": self.n_positions,
            "n_embd": self.n_embd,
            "n_head": self.n_head,
            "n_inner": None,
            "n_layer": self.n_layer,
            "n_positions": self.n_positions,
            "resid_pdrop": 0.0,
            "rotary_dim": self.rotary_dim,
            "tie_word_embeddings": False,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "torch_dtype": "float32",
            "use_cache": True,
            "vocab_size": self.vocab_size,
        }
