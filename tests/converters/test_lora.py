"""Adapters merged into weights: what peft itself makes of them, and what cannot be merged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from codegen_lsp.converters.checkpoint import open_checkpoint
from codegen_lsp.converters.lora import base_note, merge
from codegen_lsp.converters.tensors import LazyTensors
from codegen_lsp.errors import ConversionError

LAYERS = ["qkv_proj", "out_proj", "fc_in", "fc_out"]

TOKENS = np.random.default_rng(2).integers(0, 96, (2, 12)).tolist()


def random_model(torch: Any, dtype: str) -> Any:
    """A tiny CodeGen of transformers with every weight away from its neutral value."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(5)
    config = transformers.CodeGenConfig(
        vocab_size=96, n_positions=32, n_ctx=32, n_embd=32, n_layer=2, n_head=4, rotary_dim=4
    )
    model = transformers.CodeGenForCausalLM(config)
    shake(torch, model.parameters())
    return model.to(getattr(torch, dtype)).eval()


def reloaded(folder: Path) -> Any:
    import transformers

    return transformers.CodeGenForCausalLM.from_pretrained(folder, dtype="float32")


def shake(torch: Any, parameters: Any) -> None:
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.2 * torch.randn_like(parameter))


def logits_of(torch: Any, model: Any) -> Any:
    with torch.inference_mode():
        return model(torch.tensor(TOKENS)).logits.numpy()


def check(tmp_path: Path, *, dtype: str = "float32", safe: bool = True, **settings: Any) -> None:
    """An adapter with *settings* is merged here as ``merge_and_unload`` merges it."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    peft = pytest.importorskip("peft", reason="peft is not installed")
    random_model(torch, dtype).save_pretrained(tmp_path / "base")
    # The judge merges in float32 what the base holds in half: so do we.
    model = reloaded(tmp_path / "base")
    wrapped = peft.get_peft_model(model, peft.LoraConfig(**({"target_modules": LAYERS} | settings)))
    shake(torch, [p for name, p in wrapped.named_parameters() if p.requires_grad])
    wrapped.save_pretrained(tmp_path / "adapter", safe_serialization=safe)
    if not safe:  # newer releases of peft write safetensors whatever they are asked for
        as_bin(torch, tmp_path / "adapter")
    judge = wrapped.merge_and_unload().eval()
    expected = {name: tensor.numpy() for name, tensor in judge.state_dict().items()}

    config = json.loads((tmp_path / "base" / "config.json").read_text())
    base = open_checkpoint(tmp_path / "base")
    merged = merge(base, config, tmp_path / "adapter")

    assert set(merged) == set(base)
    changed = 0
    for name in base:
        assert np.allclose(merged[name], expected[name], rtol=0, atol=1e-6), name
        changed += not np.array_equal(merged[name], base[name])
    assert changed
    mine = random_model(torch, "float32")
    mine.load_state_dict({name: torch.tensor(merged[name]).float() for name in merged})
    difference = np.abs(logits_of(torch, mine) - logits_of(torch, judge)).max()
    assert difference <= 1e-4


def as_bin(torch: Any, adapter: Path) -> None:
    weights = adapter / "adapter_model.safetensors"
    if weights.exists():
        tensors = load_file(weights)
        torch.save({k: torch.tensor(v) for k, v in tensors.items()}, adapter / "adapter_model.bin")
        weights.unlink()


MERGED: dict[str, dict[str, Any]] = {
    "the usual four layers": {"r": 4, "lora_alpha": 12},
    "one layer": {"r": 2, "lora_alpha": 3, "target_modules": ["fc_in"]},
    "layers by a pattern": {"r": 2, "target_modules": r".*\.h\.1\.(attn|mlp)\.(qkv_proj|fc_out)"},
    "rank-stabilized": {"r": 4, "lora_alpha": 2, "use_rslora": True},
    "rank and alpha per module": {
        "r": 4,
        "lora_alpha": 8,
        "rank_pattern": {r"h\.0\.mlp\.fc_in": 2, "out_proj": 3},
        "alpha_pattern": {"transformer.h.1.attn.qkv_proj": 5},
    },
    "magnitudes (DoRA)": {"r": 4, "use_dora": True},
    "the embedding": {"r": 4, "target_modules": ["wte", "out_proj"]},
    "the embedding's magnitudes": {"r": 4, "target_modules": ["wte", "fc_in"], "use_dora": True},
    "the projection": {"r": 4, "target_modules": ["lm_head"]},
    "biases of adapted layers": {"r": 2, "bias": "lora_only"},
    "all biases": {"r": 2, "bias": "all", "target_modules": ["out_proj"]},
    "biases of the adapter": {"r": 2, "lora_bias": True, "target_modules": ["fc_in", "fc_out"]},
    "whole modules": {"r": 2, "modules_to_save": ["lm_head", "ln_f"]},
    "whole modules and all biases": {"r": 2, "bias": "all", "modules_to_save": ["lm_head"]},
}


@pytest.mark.parametrize("settings", MERGED.values(), ids=MERGED.keys())
def test_as_peft_merges(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Weights to 1e-6 and logits to 1e-4, whatever an adapter of layers is made of."""
    check(tmp_path, **settings)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_bases(tmp_path: Path, dtype: str) -> None:
    """The sum is taken and kept in float32, although the base is stored in half of it."""
    check(tmp_path, dtype=dtype, r=4, lora_alpha=6)


def test_adapters_in_pickles(tmp_path: Path) -> None:
    """``adapter_model.bin`` is read like the safetensors file."""
    check(tmp_path, safe=False, r=4)


# By hand, without torch


CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "r": 2,
    "lora_alpha": 4,
    "target_modules": ["proj"],
    "base_model_name_or_path": "someone/base-1B",
}

BASE = {
    "model.proj.weight": np.arange(12, dtype=np.float16).reshape(3, 4),
    "model.other.weight": np.ones((3, 4), np.float16),
}

A = np.array([[1, 0, 2, 0], [0, 1, 0, -1]], np.float32)
B = np.array([[1, 0], [0, 1], [1, 1]], np.float32)

Saved = dict[str, np.ndarray[Any, np.dtype[Any]]]


def saved(folder: Path, tensors: Mapping[str, Any] | None = None, **settings: Any) -> Path:
    """An adapter in *folder*: the one of the constants above, where nothing else is said."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | settings))
    default: Saved = {
        "base_model.model.model.proj.lora_A.weight": A,
        "base_model.model.model.proj.lora_B.weight": B,
    }
    save_file(dict(default if tensors is None else tensors), folder / "adapter_model.safetensors")
    return folder


def test_by_hand(tmp_path: Path) -> None:
    """What is adapted becomes ``W + alpha / r * B @ A``; what is not keeps type and value."""
    merged = merge(BASE, {}, saved(tmp_path))
    assert np.array_equal(merged["model.proj.weight"], BASE["model.proj.weight"] + 2 * B @ A)
    assert merged["model.proj.weight"].dtype == np.float32
    assert merged["model.other.weight"] is BASE["model.other.weight"]


def test_turned_matrices(tmp_path: Path) -> None:
    """Layers that lie as [in, out] get the transposed sum."""
    base = {"model.proj.weight": np.zeros((4, 3), np.float32)}
    merged = merge(base, {}, saved(tmp_path, fan_in_fan_out=True))
    assert np.array_equal(merged["model.proj.weight"], 2 * (B @ A).T)


def test_whole_and_adapted(tmp_path: Path) -> None:
    """Where a table was saved whole beside its adapter, it is the table that is adapted."""
    start = "base_model.model.wte."
    table = {
        f"{start}base_layer.weight": np.full((4, 3), 7, np.float32),
        f"{start}lora_embedding_A": A,
        f"{start}lora_embedding_B": B,
    }
    merged = merge(TIED, {}, saved(tmp_path, table, target_modules=["wte"]))
    assert np.array_equal(merged["wte.weight"], 7 + 2 * (B @ A).T)


@pytest.mark.parametrize(
    ("pattern", "factor"),
    [("proj", 3), ("model.proj", 3), (r"m\w+\.proj", 3), ("oj", 2), ("model", 2), ("pro", 2)],
)
def test_patterns_match_ends_of_names(tmp_path: Path, pattern: str, factor: int) -> None:
    """Whole words between dots, up to the end; what does not match leaves the general alpha."""
    merged = merge(BASE, {}, saved(tmp_path, alpha_pattern={pattern: 6}))
    assert np.array_equal(merged["model.proj.weight"], BASE["model.proj.weight"] + factor * B @ A)


def test_merging_is_lazy(tmp_path: Path) -> None:
    """No tensor of the base is read before it is asked for, and only that one then."""
    asked: list[str] = []

    def recipe(name: str) -> Callable[[], Any]:
        def make() -> Any:
            asked.append(name)
            return BASE[name]

        return make

    base = LazyTensors({name: recipe(name) for name in BASE})
    merged = merge(base, {}, saved(tmp_path))
    assert (len(merged), asked) == (2, [])
    assert merged["model.proj.weight"].shape == (3, 4)
    assert asked == ["model.proj.weight"]


TIED = {"wte.weight": np.zeros((4, 3), np.float32), "lm_head.weight": np.zeros((4, 3), np.float32)}


@pytest.mark.parametrize(
    ("config", "together"),
    [
        ({"model_type": "codegen"}, False),
        ({"model_type": "gpt_bigcode"}, True),
        ({"model_type": "gpt_bigcode", "tie_word_embeddings": False}, False),
        ({"model_type": "llama", "tie_word_embeddings": True}, True),
    ],
)
def test_tied_embeddings(tmp_path: Path, config: dict[str, Any], together: bool) -> None:
    """Where one table serves both ends, both of its copies in the checkpoint change."""
    table = {"base_model.model.wte.lora_embedding_A": A, "base_model.model.wte.lora_embedding_B": B}
    merged = merge(TIED, config, saved(tmp_path, table, target_modules=["wte"]))
    assert np.array_equal(merged["wte.weight"], 2 * (B @ A).T)
    assert np.array_equal(merged["lm_head.weight"], merged["wte.weight"]) == together


@pytest.mark.parametrize(
    ("here", "noted"),
    [
        ("someone/base-1B", False),
        ("/models/Base-1B/", False),
        ("someone/base-2B", True),
        ("", False),
    ],
)
def test_another_base_is_noted(tmp_path: Path, here: str, noted: bool) -> None:
    """The adapter says what it was trained on; a folder of that name is that model."""
    note = base_note({"_name_or_path": here}, saved(tmp_path))
    assert (note is not None) == noted
    assert note is None or "base-1B" in note


def tensors_of(**changes: Any) -> Saved:
    """The two matrices with some replaced, added or (None) left out."""
    start = "base_model.model.model.proj."
    parts = {"lora_A": A, "lora_B": B} | changes
    return {f"{start}{name}.weight": part for name, part in parts.items() if part is not None}


BAD: dict[str, tuple[dict[str, Any], Saved | None, str]] = {
    "another kind": ({"peft_type": "IA3"}, None, "IA3"),
    "no kind": ({"peft_type": None}, None, "type None"),
    "a prompt": ({"peft_type": "PREFIX_TUNING"}, None, "PREFIX_TUNING"),
    "single tokens": ({"trainable_token_indices": [1]}, None, "single tokens"),
    "quantized": ({"use_qalora": True}, None, "quantized"),
    "a changed base": ({"init_lora_weights": "pissa_niter_16"}, None, "pissa_niter_16"),
    "another rank": ({"r": 3}, None, "rank 3"),
    "no rank": ({"r": None}, None, "no rank"),
    "a rank of zero": ({"rank_pattern": {"proj": 0}}, None, "no rank"),
    "a pattern that is none": ({"target_modules": "("}, None, "wrong pattern"),
    "targets of no kind": ({"target_modules": 3}, None, "target_modules"),
    "not targeted": ({"target_modules": ["other"]}, None, "does not target"),
    "no B": ({}, tensors_of(lora_B=None), "lora_B"),
    "no magnitude": ({"use_dora": True}, None, "lora_magnitude_vector"),
    "magnitude of no use": ({}, tensors_of(lora_magnitude_vector=np.ones(3)), "magnitude_vector"),
    "too narrow": ({}, tensors_of(lora_A=A[:, :3]), r"\(3, 3\).*\(3, 4\)"),
    "three axes": ({}, tensors_of(lora_A=A[None]), "rank"),
    "not finite": ({}, tensors_of(lora_B=B + np.inf), "not finite"),
    "integers": ({}, tensors_of(lora_B=B.astype(np.int32)), "no tensor of floats"),
    "empty": ({}, {}, "no weights"),
    "an unknown tensor": ({}, {"base_model.model.model.proj.ia3_l": A}, "ia3_l"),
    "an unknown module": (
        {},
        {"base_model.model.h.9.proj.lora_A.weight": A, "h.9.proj.lora_B.weight": B},
        r"h\.9\.proj\.weight",
    ),
    "no bias there": ({"lora_bias": True}, None, "lora_bias"),
    "a whole module of another shape": (
        {},
        {"base_model.model.model.other.weight": A},
        r"\(2, 4\).*\(3, 4\)",
    ),
}


@pytest.mark.parametrize(("settings", "tensors", "message"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_merged(
    tmp_path: Path, settings: dict[str, Any], tensors: Saved | None, message: str
) -> None:
    """One line that names the matter, and no weights."""
    with pytest.raises(ConversionError, match=message) as caught:
        dict(merge(BASE, {}, saved(tmp_path, tensors, **settings)))
    assert "\n" not in str(caught.value)


def test_both_ends_of_a_tied_table(tmp_path: Path) -> None:
    """Two changes of one tensor are not merged here."""
    both = {
        f"base_model.model.{name}.lora_{part}": matrix
        for name, (first, second) in {
            "wte": ("embedding_A", "embedding_B"),
            "lm_head": ("A.weight", "B.weight"),
        }.items()
        for part, matrix in ((first, A), (second, B))
    }
    adapter = saved(tmp_path, both, target_modules=["wte", "lm_head"])
    with pytest.raises(ConversionError, match="one tensor"):
        merge(TIED, {"tie_word_embeddings": True}, adapter)


def without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "no adapter"),
    "no configuration": (without("adapter_config.json"), "no adapter"),
    "no weights": (without("adapter_model.safetensors"), "holds no adapter_model"),
    "half a configuration": (
        lambda folder: (folder / "adapter_config.json").write_text('{"peft_type": '),
        "is damaged: .*; download it again",
    ),
    "a list": (lambda folder: (folder / "adapter_config.json").write_text("[]"), "no JSON object"),
    "half the weights": (
        lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"\x40" * 20),
        "cannot read",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_adapters(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    """What is missing or unreadable is named."""
    adapter = saved(tmp_path / "adapter")
    damage(adapter)
    with pytest.raises(ConversionError, match=message):
        merge(BASE, {}, adapter)
