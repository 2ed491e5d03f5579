"""Tiny random checkpoints in the exact layouts that models are published in.

Quirks included: ``bos_token_id`` 1 where no such token begins anything, ``eos_token_id`` 2 in some
revisions, ``tokenizer_class`` of GPT-2, masks among the weights, tied weights twice in pickles,
half precision, shards with an index, a tokenizer that is Python code only.

Weights are made by transformers from seeds; nothing here knows how they are converted.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

FAMILIES = ("codegen1", "codegen2", "codegen25", "starcoder", "santacoder", "codet5p")

END = "<|endoftext|>"

_TEXT = [
    "def add(first, second):\n    return first + second\n",
    "for index in range(10):\n\tprint(index)\n",
    "class Point:\n    def __init__(self, x, y):\n        self.x = x\n",
]

_CODEGEN: dict[str, Any] = {
    "activation_function": "gelu_new",
    "architectures": ["CodeGenForCausalLM"],
    "attn_pdrop": 0.0,
    "bos_token_id": 1,
    "embd_pdrop": 0.0,
    "eos_token_id": 2,
    "gradient_checkpointing": False,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "codegen",
    "n_ctx": 64,
    "n_embd": 32,
    "n_head": 4,
    "n_inner": None,
    "n_layer": 2,
    "n_positions": 64,
    "resid_pdrop": 0.0,
    "rotary_dim": 4,
    "scale_attn_weights": True,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {
        "text-generation": {"do_sample": True, "max_length": 50, "temperature": 1.0}
    },
    "tie_word_embeddings": False,
    "tokenizer_class": "GPT2Tokenizer",
    "use_cache": True,
    "vocab_size": 512,
}

_BIGCODE: dict[str, Any] = {
    "activation_function": "gelu_pytorch_tanh",
    "architectures": ["GPTBigCodeForCausalLM"],
    "attention_softmax_in_fp32": True,
    "attn_pdrop": 0.1,
    "embd_pdrop": 0.1,
    "inference_runner": 0,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "max_batch_size": None,
    "model_type": "gpt_bigcode",
    "multi_query": True,
    "n_embd": 32,
    "n_head": 4,
    "n_inner": 128,
    "n_layer": 2,
    "n_positions": 64,
    "pre_allocate_kv_cache": False,
    "resid_pdrop": 0.1,
    "scale_attention_softmax_in_fp32": True,
    "scale_attn_weights": True,
    "use_cache": True,
    "vocab_size": 512,
}

CONFIGS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "codegen1": ("CodeGenForCausalLM", _CODEGEN),
    # Heads of 128 and eight parts, as in the 1B: that is what ``head_dim`` says.
    "codegen2": (
        "CodeGenForCausalLM",
        {
            **_CODEGEN,
            "auto_map": {
                "AutoConfig": "configuration_codegen.CodeGenConfig",
                "AutoModelForCausalLM": "modeling_codegen.CodeGenForCausalLM",
            },
            "head_dim": 128,
            "n_embd": 1024,
            "n_head": 8,
            "n_layer": 1,
            "rotary_dim": 64,
        },
    ),
    "codegen25": (
        "LlamaForCausalLM",
        {
            "architectures": ["LlamaForCausalLM"],
            "bos_token_id": 50256,
            "eos_token_id": 50256,
            "hidden_act": "silu",
            "hidden_size": 32,
            "initializer_range": 0.02,
            "intermediate_size": 80,
            "max_position_embeddings": 2048,
            "model_type": "llama",
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "pad_token_id": 0,
            "rms_norm_eps": 1e-06,
            "tie_word_embeddings": False,
            "use_cache": True,
            "vocab_size": 51200,
        },
    ),
    "starcoder": (
        "GPTBigCodeForCausalLM",
        {**_BIGCODE, "bos_token_id": 0, "eos_token_id": 0, "validate_runner_input": True},
    ),
    "santacoder": (
        "GPTBigCodeForCausalLM",
        {**_BIGCODE, "bos_token_id": 49152, "eos_token_id": 49152},
    ),
    "codet5p": (
        "T5ForConditionalGeneration",
        {
            "architectures": ["T5ForConditionalGeneration"],
            "bos_token_id": 1,
            "d_ff": 64,
            "d_kv": 8,
            "d_model": 32,
            "decoder_start_token_id": 0,
            "dense_act_fn": "relu",
            "dropout_rate": 0.1,
            "eos_token_id": 2,
            "feed_forward_proj": "relu",
            "initializer_factor": 1.0,
            "is_encoder_decoder": True,
            "is_gated_act": False,
            "layer_norm_epsilon": 1e-06,
            "model_type": "t5",
            "n_positions": 512,
            "num_decoder_layers": 2,
            "num_heads": 4,
            "num_layers": 2,
            "output_past": True,
            "pad_token_id": 0,
            "relative_attention_max_distance": 128,
            "relative_attention_num_buckets": 32,
            "tie_word_embeddings": True,
            "use_cache": True,
            "vocab_size": 512,
        },
    ),
}
"""transformers' class and ``config.json``, by family."""


def publish(
    folder: Path,
    family: str,
    *,
    format: str = "safetensors",
    shards: int = 1,
    dtype: str = "float16",
    tokenizer: Path | None = None,
    fast: bool = True,
    seed: int = 0,
    **config: object,
) -> Path:
    """A checkpoint of *family* as it is published, in *folder*; returns it.

    *format* is ``safetensors`` or ``bin``. *tokenizer* is a folder of files to publish instead of
    a small trained vocabulary; without *fast* there is no ``tokenizer.json``. What *config* gives
    replaces fields of ``config.json``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kind, fields = CONFIGS[family]
    fields = {**fields, "torch_dtype": dtype, "transformers_version": "4.21.0.dev0", **config}
    if tokenizer is None:
        _TOKENIZERS[family](folder)
    else:
        for path in sorted(tokenizer.glob("*.json")) + sorted(tokenizer.glob("merges.txt")):
            if path.name != "test_vectors.json":
                shutil.copyfile(path, folder / path.name)
    if not fast:
        (folder / "tokenizer.json").unlink(missing_ok=True)
    if family == "santacoder" and tokenizer is None:
        # Published with the right id of its end of text; here that id is another.
        end = json.loads((folder / "added_tokens.json").read_text(encoding="utf-8"))[END]
        fields = {**fields, "bos_token_id": end, "eos_token_id": end}
    _write_json(folder / "config.json", fields)
    state = _state(kind, fields, dtype, seed)
    _write_weights(folder, state, format, shards)
    for name in _EXTRA:
        (folder / name).write_bytes(b"not needed\n" * 10)
    return folder


_EXTRA = (".gitattributes", "README.md", "flax_model.msgpack", "modeling_codegen.py")
"""What repositories hold beside what a conversion needs."""


def _state(kind: str, fields: Mapping[str, Any], dtype: str, seed: int) -> dict[str, Any]:
    """Weights by name, as ``state_dict`` gives them; none at its neutral value."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(seed)
    cls = getattr(transformers, kind)
    model = cls(cls.config_class(**fields)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    model = model.to(getattr(torch, dtype))
    state: dict[str, Any] = dict(model.state_dict())
    if kind == "CodeGenForCausalLM":
        size = fields["n_positions"]
        mask = torch.tril(torch.ones((size, size), dtype=torch.bool)).view(1, 1, size, size)
        for layer in range(fields["n_layer"]):
            state[f"transformer.h.{layer}.attn.causal_mask"] = mask.clone()
    return state


def _write_weights(folder: Path, state: dict[str, Any], format: str, shards: int) -> None:
    """One file, or *shards* files and their index."""
    stem, ending = ("model", "safetensors") if format == "safetensors" else ("pytorch_model", "bin")
    if format == "safetensors":
        state = _without_twins(state)
    names = list(state)
    if shards == 1:
        _save(folder / f"{stem}.{ending}", state)
        return
    where: dict[str, str] = {}
    for shard in range(shards):
        file = f"{stem}-{shard + 1:05}-of-{shards:05}.{ending}"
        part = {name: state[name] for name in names[shard::shards]}
        where |= dict.fromkeys(part, file)
        _save(folder / file, part)
    total = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
    _write_json(folder / f"{stem}.{ending}.index.json", index)


def _without_twins(state: Mapping[str, Any]) -> dict[str, Any]:
    """safetensors keeps each storage once; who reads knows what is tied."""
    seen: set[int] = set()
    kept = {}
    for name, tensor in state.items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            kept[name] = tensor.contiguous()
    return kept


def _save(path: Path, state: Mapping[str, Any]) -> None:
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(dict(state), path, metadata={"format": "pt"})
    else:
        pytest.importorskip("torch").save(dict(state), path)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


# --- Tokenizers ----------------------------------------------------------------------------------


def _trained(first: list[str], size: int = 320) -> Tokenizer:
    """A small byte-level BPE with *first* as its first tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=first,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXT * 50, trainer=trainer)
    return tokenizer


def _write_tokenizer(
    folder: Path, tokenizer: Tokenizer, added: list[str], special: list[str], **config: object
) -> None:
    """All the files; *added* follow the vocabulary, *special* among them are no text."""
    tokenizer.model.save(str(folder))  # vocab.json and merges.txt
    start = tokenizer.get_vocab_size(with_added_tokens=True)
    from tokenizers import AddedToken

    tokenizer.add_tokens([AddedToken(t, normalized=False, special=t in special) for t in added])
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(folder / "added_tokens.json", {token: start + at for at, token in enumerate(added)})
    end = config.get("eos_token", END)
    marks = {"bos_token": config.get("bos_token", end), "eos_token": end, "unk_token": end}
    _write_json(folder / "special_tokens_map.json", marks)
    plain = {"add_prefix_space": False, "model_max_length": 2048, **marks, **config}
    _write_json(folder / "tokenizer_config.json", plain)


def _gpt2() -> Tokenizer:
    """As GPT-2: its end of text behind everything else."""
    tokenizer = _trained([])
    content = json.loads(tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    vocabulary[END] = len(vocabulary)
    fixed = Tokenizer.from_str(json.dumps(content))
    from tokenizers import AddedToken

    fixed.add_special_tokens([AddedToken(END, normalized=False, special=True)])
    return fixed


_WHITESPACE = [" " * n for n in range(31, 1, -1)] + ["\t" * n for n in range(9, 1, -1)]


def _codegen1(folder: Path) -> None:
    _write_tokenizer(folder, _gpt2(), _WHITESPACE, [], tokenizer_class="CodeGenTokenizer")


def _codegen2(folder: Path) -> None:
    marks = ["<eom>", "<sep>", *(f"<mask_{n}>" for n in range(1, 5)), "<python>"]
    _write_tokenizer(folder, _gpt2(), _WHITESPACE + marks, [], tokenizer_class="GPT2Tokenizer")


def _codegen25(folder: Path) -> None:
    """Python code over tiktoken, and nothing that anything else could read."""
    (folder / "tokenization_codegen25.py").write_text("# not run\n", encoding="utf-8")
    _write_json(
        folder / "tokenizer_config.json",
        {
            "add_eos_token": False,
            "add_special_tokens": True,
            "auto_map": {"AutoTokenizer": ["tokenization_codegen25.CodeGen25Tokenizer", None]},
            "clean_up_tokenization_spaces": True,
            "eos_token": END,
            "model_max_length": 1000000000000000019884624838656,
            "pad_token": None,
            "tokenizer_class": "CodeGen25Tokenizer",
        },
    )


def _starcoder(folder: Path) -> None:
    marks = [END, "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<filename>"]
    _write_tokenizer(folder, _trained(marks), [], marks, tokenizer_class="GPT2TokenizerFast")


def _santacoder(folder: Path) -> None:
    marks = [END, "<fim-prefix>", "<fim-middle>", "<fim-suffix>", "<fim-pad>"]
    _write_tokenizer(folder, _trained([]), marks, marks, tokenizer_class="PreTrainedTokenizerFast")


def _codet5p(folder: Path) -> None:
    first = ["<pad>", "<s>", "</s>", "<unk>", "<mask>"]
    marks = [f"<extra_id_{n}>" for n in range(99, -1, -1)]
    _write_tokenizer(
        folder,
        _trained(first),
        marks,
        marks,
        tokenizer_class="RobertaTokenizer",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    )


_TOKENIZERS = {
    "codegen1": _codegen1,
    "codegen2": _codegen2,
    "codegen25": _codegen25,
    "starcoder": _starcoder,
    "santacoder": _santacoder,
    "codet5p": _codet5p,
}
