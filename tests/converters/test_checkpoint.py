"""Weights in whichever files a folder has, and safetensors written tensor by tensor."""

from __future__ import annotations

import json
import struct
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from codegen_lsp.converters.checkpoint import (
    open_checkpoint,
    read_config,
    weight_files,
    write_safetensors,
)
from codegen_lsp.converters.tensors import LazyTensors
from codegen_lsp.errors import ConversionError
from tests.support.pickles import storage, tensor, write_archive

Arrays = dict[str, NDArray[Any]]

WEIGHTS: Arrays = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.linspace(0, 1, 5).astype(np.float16),
    "c": np.array(3.5, np.float32),
}


def same(found: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]]) -> None:
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        assert np.array_equal(found[name], array), name


def write_raw(path: Path, tensors: Mapping[str, tuple[str, list[int], bytes]]) -> None:
    """A safetensors file of types that numpy does not know."""
    header: dict[str, Any] = {}
    data = b""
    for name, (kind, shape, content) in tensors.items():
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_index(folder: Path, kind: str, where: Mapping[str, str]) -> None:
    name = {"safetensors": "model.safetensors", "bin": "pytorch_model.bin"}[kind]
    (folder / f"{name}.index.json").write_text(json.dumps({"weight_map": where}))


def write_bin(path: Path, arrays: Arrays) -> None:
    content = {
        name: tensor(storage("FloatStorage", name, array.size), 0, array.shape, _strides(array))
        for name, array in arrays.items()
    }
    write_archive(path, content, arrays)


def _strides(array: NDArray[Any]) -> tuple[int, ...]:
    return tuple(step // array.itemsize for step in array.strides)


def sharded_safetensors(folder: Path) -> None:
    save_file({"a": WEIGHTS["a"]}, folder / "model-00001-of-00002.safetensors")
    save_file({"b": WEIGHTS["b"], "c": WEIGHTS["c"]}, folder / "model-00002-of-00002.safetensors")
    first, second = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
    write_index(folder, "safetensors", {"a": first, "b": second, "c": second})


def sharded_bin(folder: Path) -> None:
    write_bin(folder / "one.bin", {"a": WEIGHTS["a"]})
    write_bin(folder / "two.bin", {"c": WEIGHTS["c"]})
    write_index(folder, "bin", {"a": "one.bin", "c": "two.bin"})


def both(folder: Path) -> None:
    save_file(WEIGHTS, folder / "model.safetensors")
    write_bin(folder / "pytorch_model.bin", {"a": np.zeros((2, 3), np.float32)})


LAYOUTS: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "one safetensors": (lambda f: save_file(WEIGHTS, f / "model.safetensors"), {"a", "b", "c"}),
    "safetensors in shards": (sharded_safetensors, {"a", "b", "c"}),
    "one bin": (lambda f: write_bin(f / "pytorch_model.bin", {"a": WEIGHTS["a"]}), {"a"}),
    "bin in shards": (sharded_bin, {"a", "c"}),
    "both: safetensors win": (both, {"a", "b", "c"}),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_layouts_of_files(tmp_path: Path, case: str) -> None:
    """Every way weights are published gives the same tensors."""
    write, names = LAYOUTS[case]
    write(tmp_path)
    same(open_checkpoint(tmp_path), {name: WEIGHTS[name] for name in names})


def test_types_that_numpy_lacks_or_nobody_needs(tmp_path: Path) -> None:
    """Bfloat16 is widened, float64 rounded, integers and truth values left out."""
    write_raw(
        tmp_path / "model.safetensors",
        {
            "b": ("BF16", [2, 1], np.array([0x3F80, 0xC000], np.uint16).tobytes()),
            "d": ("F64", [1], np.array([0.1]).tobytes()),
            "mask": ("BOOL", [2], b"\0\1"),
            "ids": ("I64", [1], bytes(8)),
        },
    )
    expected = {"b": np.array([[1], [-2]], np.float32), "d": np.array([0.1], np.float32)}
    same(open_checkpoint(tmp_path), expected)


def test_an_eight_bit_float_is_refused_when_it_is_needed(tmp_path: Path) -> None:
    """The file opens; the tensor that cannot be read names its type."""
    write_raw(tmp_path / "model.safetensors", {"x": ("F8_E4M3", [2], b"\0\0")})
    tensors = open_checkpoint(tmp_path)
    assert "x" in tensors
    with pytest.raises(ConversionError, match=r"x in .* is stored as F8_E4M3"):
        tensors["x"]


def missing_shard(folder: Path) -> None:
    sharded_safetensors(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def missing_tensor(folder: Path) -> None:
    sharded_bin(folder)
    write_index(folder, "bin", {"a": "one.bin", "z": "two.bin"})


def leading_out(folder: Path) -> None:
    write_index(folder, "safetensors", {"a": "../model.safetensors"})


def truncated(folder: Path) -> None:
    save_file(WEIGHTS, folder / "model.safetensors")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-3])


def written(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda folder: None, "holds no weights"),
    "a missing shard": (missing_shard, "lacks model-00002-of-00002.safetensors"),
    "a tensor missing in its shard": (missing_tensor, "two.bin lacks z"),
    "an index that leads out of the folder": (leading_out, "no file beside it"),
    "an index that is no JSON": (written("model.safetensors.index.json", "{"), "damaged"),
    "an index without a map": (written("pytorch_model.bin.index.json", "{}"), "no weight_map"),
    "an index of no object": (written("model.safetensors.index.json", "[]"), "no JSON object"),
    "a safetensors file cut off": (truncated, "model.safetensors"),
    "no safetensors file": (written("model.safetensors", "<html>"), "model.safetensors"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_named(tmp_path: Path, case: str) -> None:
    """One line with the file that is wrong."""
    damage, says = BAD[case]
    damage(tmp_path)
    with pytest.raises(ConversionError, match=says) as caught:
        open_checkpoint(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, "{", "[1]", "\x00", "[" * 100_000])
def test_bad_configurations_are_named(tmp_path: Path, content: str | None) -> None:
    """Missing, cut off, no object, nested without end."""
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConversionError, match=r"config\.json") as caught:
        read_config(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("limit", [1, 24, 40, 1 << 30])
def test_written_tensors_come_back(tmp_path: Path, limit: int) -> None:
    """In one file or several, the library and this package read what was written."""
    views = WEIGHTS | {"t": WEIGHTS["a"].T, "e": np.zeros((0, 2), np.float32)}
    files = write_safetensors(tmp_path / "new", views, max_shard_bytes=limit)
    assert weight_files(tmp_path / "new") == files
    assert (len(files) == 1) == (limit == 1 << 30)
    found: Arrays = {}
    for file in files:
        found |= load_file(file)
    same(found, views)
    same(open_checkpoint(tmp_path / "new"), views)
    assert not list((tmp_path / "new").glob(".writing*"))


def test_transformers_loads_written_shards(tmp_path: Path) -> None:
    """Index and header are as the judge expects them."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.CodeGenConfig(
        vocab_size=40, n_positions=16, n_embd=16, n_layer=1, n_head=4, rotary_dim=4
    )
    model = transformers.CodeGenForCausalLM(config)
    state = {n: t.numpy() for n, t in model.state_dict().items() if t.is_floating_point()}
    config.save_pretrained(tmp_path)
    assert len(write_safetensors(tmp_path, state, max_shard_bytes=4000)) > 1
    again = transformers.CodeGenForCausalLM.from_pretrained(tmp_path)
    for name, value in again.state_dict().items():
        if name in state:
            assert torch.equal(value, torch.from_numpy(state[name])), name


def test_each_tensor_is_asked_for_once_and_not_kept(tmp_path: Path) -> None:
    """Twenty tensors of a megabyte never stand in memory together."""
    asked: list[int] = []

    def make(index: int) -> NDArray[np.float32]:
        asked.append(index)
        return np.full(1 << 18, index, np.float32)

    tensors = LazyTensors({f"t{i}": lambda i=i: make(i) for i in range(20)})
    tracemalloc.start()
    write_safetensors(tmp_path, tensors, max_shard_bytes=5 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert asked == list(range(20))
    assert peak < 4 << 20
    assert open_checkpoint(tmp_path)["t7"][0] == 7


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    """Weights that were there stay when new ones cannot be made."""
    write_safetensors(tmp_path, WEIGHTS)

    def fails() -> NDArray[Any]:
        raise ConversionError("no such tensor")

    with pytest.raises(ConversionError, match="no such tensor"):
        write_safetensors(tmp_path, LazyTensors({"a": lambda: WEIGHTS["b"], "b": fails}))
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    same(open_checkpoint(tmp_path), WEIGHTS)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    """A type that is no weight's, nothing at all, and a folder that is a file."""
    with pytest.raises(ConversionError, match="int64"):
        write_safetensors(tmp_path, {"a": np.arange(3)})
    with pytest.raises(ConversionError, match="no tensors"):
        write_safetensors(tmp_path, {})
    (tmp_path / "file").write_text("")
    with pytest.raises(ConversionError, match="cannot write"):
        write_safetensors(tmp_path / "file", WEIGHTS)


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    """The system's word for it, a way out, and nothing left behind."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no full device")
    (tmp_path / ".writing-00001.safetensors").symlink_to("/dev/full")
    with pytest.raises(ConversionError, match=r"No space left.*make room"):
        write_safetensors(tmp_path, {"a": np.zeros(1 << 16, np.float32)})
    assert not list(tmp_path.iterdir())
