"""PyTorch's archives without PyTorch: what they hold, and what they may not ask for."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.converters.pickled import open_pickled
from codegen_lsp.errors import ConversionError
from tests.support.pickles import Build, Call, Global, Persistent, storage, tensor, write_archive

FLOATS = np.arange(24, dtype=np.float32)
WHOLE = tensor(storage("FloatStorage", "0", 24), 0, (4, 6), (6, 1))


def test_a_tensor_is_what_was_stored(tmp_path: Path) -> None:
    """Float32 and float16 come as they are, and each access makes an array of its own."""
    halves = np.linspace(-2, 2, 6).astype(np.float16)
    content = {"a": WHOLE, "b": tensor(storage("HalfStorage", "1", 6), 0, (2, 3), (3, 1))}
    path = write_archive(tmp_path / "m.bin", content, {"0": FLOATS, "1": halves})
    tensors, others = open_pickled(path)
    assert list(tensors) == ["a", "b"]
    assert not others
    assert tensors["a"].dtype == np.float32
    assert np.array_equal(tensors["a"], FLOATS.reshape(4, 6))
    assert tensors["b"].dtype == np.float16
    assert np.array_equal(tensors["b"], halves.reshape(2, 3))
    assert tensors["a"] is not tensors["a"]


@given(st.data())
def test_any_view_of_a_storage(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """Offsets, transposed axes, steps and empty axes give the elements that strides say."""
    size = tuple(data.draw(st.lists(st.integers(0, 4), max_size=3)))
    steps = data.draw(st.permutations(range(len(size))))
    stride, reach = [0] * len(size), 1
    for axis in steps:
        stride[axis] = reach * data.draw(st.integers(1, 2))
        reach = stride[axis] * max(size[axis], 1)
    offset = data.draw(st.integers(0, 3))
    values = np.arange(offset + reach, dtype=np.float32)
    view = tensor(storage("FloatStorage", "0", len(values)), offset, size, tuple(stride))
    path = write_archive(tmp_path_factory.mktemp("v") / "m.bin", {"x": view}, {"0": values})
    expected = np.lib.stride_tricks.as_strided(values[offset:], size, [4 * s for s in stride])
    found = open_pickled(path)[0]["x"]
    assert found.shape == size
    assert found.flags.c_contiguous
    assert np.array_equal(found, expected)


def test_what_comes_as_float32(tmp_path: Path) -> None:
    """Bfloat16 is widened bit by bit, float64 is rounded."""
    patterns = np.array([0x3F80, 0xC000, 0x7F80, 0x0001], np.uint16)
    content = {
        "b": tensor(storage("BFloat16Storage", "0", 4), 0, (4,), (1,)),
        "d": tensor(storage("DoubleStorage", "1", 2), 0, (2,), (1,)),
    }
    path = write_archive(tmp_path / "m.bin", content, {"0": patterns, "1": np.array([0.1, 2])})
    tensors, _ = open_pickled(path)
    expected = np.array([1, -2, np.inf, 2.0**-133], np.float32)
    assert np.array_equal(tensors["b"], expected)
    assert tensors["b"].dtype == tensors["d"].dtype == np.float32
    assert np.array_equal(tensors["d"], np.array([0.1, 2], np.float32))


@pytest.mark.parametrize(("order", "letter"), [("big", ">"), ("little", "<"), (None, "<")])
def test_byte_orders(tmp_path: Path, order: str | None, letter: str) -> None:
    """Archives of big-endian machines say so; those without a word are little-endian."""
    stored = FLOATS.astype(letter + "f4")
    path = write_archive(tmp_path / "m.bin", {"a": WHOLE}, {"0": stored}, byteorder=order)
    assert np.array_equal(open_pickled(path)[0]["a"], FLOATS.reshape(4, 6))


def test_masks_are_named_and_not_read(tmp_path: Path) -> None:
    """Truth values and numbers are no weights, even where their data is missing."""
    mask = tensor(storage("BoolStorage", "7", 4), 0, (2, 2), (2, 1))
    path = write_archive(tmp_path / "m.bin", {"a": WHOLE, "mask": mask, "n": 3}, {"0": FLOATS})
    tensors, others = open_pickled(path)
    assert set(tensors) == {"a"}
    assert others == {"mask", "n"}


def test_buffers_that_repeat_a_value_are_named_and_not_read(tmp_path: Path) -> None:
    """An expanded mask or number claims more than it holds; the weights beside it are read."""
    content = {
        "a": WHOLE,
        "mask": tensor(storage("BoolStorage", "1", 1), 0, (1 << 40,), (0,)),
        "scale": tensor(storage("FloatStorage", "0", 24), 0, (1 << 40, 4), (0, 1)),
    }
    path = write_archive(tmp_path / "m.bin", content, {"0": FLOATS})
    tensors, others = open_pickled(path)
    assert set(tensors) == {"a"}
    assert others == {"mask", "scale"}
    assert np.array_equal(tensors["a"], FLOATS.reshape(4, 6))


def test_the_state_of_a_module(tmp_path: Path) -> None:
    """As ``torch.save`` writes it: an ordered dictionary with ``_metadata``, and buffers."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    module = torch.nn.Linear(4, 3).half()
    module.register_buffer("causal_mask", torch.tril(torch.ones((4, 4), dtype=torch.uint8)))
    module.register_buffer("mask", torch.ones((1, 1), dtype=torch.bool).expand(4, 4))
    module.register_buffer("masked_bias", torch.tensor(-1e9))
    state = module.state_dict()
    assert state._metadata
    for new in (True, False):
        path = tmp_path / f"{new}.bin"
        torch.save(state, path, _use_new_zipfile_serialization=new)
        tensors, others = open_pickled(path)
        assert set(tensors) == {"weight", "bias", "masked_bias"}
        assert others == {"causal_mask", "mask"}
        assert tensors["weight"].dtype == np.float16
        assert np.array_equal(tensors["weight"], state["weight"].numpy())


def test_weights_below_state_dict_and_parameters(tmp_path: Path) -> None:
    """Trainers wrap the weights; both wrappings are seen through."""
    hooks = Call(Global("collections", "OrderedDict"), ())
    parameter = Call(Global("torch._utils", "_rebuild_parameter"), (WHOLE, True, hooks))
    content = {"epoch": 3, "state_dict": {"a": parameter}}
    path = write_archive(tmp_path / "m.bin", content, {"0": FLOATS})
    assert np.array_equal(open_pickled(path)[0]["a"], FLOATS.reshape(4, 6))


def attack(target: Path) -> bytes:
    """A pickle that would touch *target*."""

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {target}",)

    return pickle.dumps({"a": Evil()}, protocol=2)


FOREIGN: dict[str, tuple[Any, str]] = {
    "a function of the interpreter": (Call(Global("builtins", "eval"), ("1",)), "builtins.eval"),
    "torch itself": (Call(Global("torch", "load"), ("x",)), "torch.load"),
    "something below an allowed name": (
        Global("collections", "OrderedDict.fromkeys"),
        "collections.OrderedDict.fromkeys",
    ),
    "a module": (Global("transformers", "CodeGenForCausalLM"), "transformers.CodeGenForCausalLM"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_what_no_checkpoint_asks_for(tmp_path: Path, case: str) -> None:
    """The name is in the message; nothing of it runs."""
    value, name = FOREIGN[case]
    path = write_archive(tmp_path / "m.bin", {"a": WHOLE, "b": value}, {"0": FLOATS})
    check_refused(path, f"no checkpoint: it asks for {name};")


def test_a_pickle_that_would_run_a_command(tmp_path: Path) -> None:
    """In an archive or bare, no command runs."""
    marker = tmp_path / "touched"
    check_refused(write_archive(tmp_path / "m.bin", attack(marker), {}), "system")
    (tmp_path / "bare.bin").write_bytes(attack(marker))
    check_refused(tmp_path / "bare.bin", "bare.bin")
    assert not marker.exists()
    pickle.loads(attack(marker))
    assert marker.exists(), "the attack itself must work, or this test proves nothing"


SETTABLE = {
    "a storage's type": (Global("torch", "FloatStorage"), ("f8", True)),
    "a storage's type by name": (Global("torch", "FloatStorage"), {"code": "f8"}),
    "a function": (Global("torch._utils", "_rebuild_tensor_v2"), {"__call__": 1}),
    "a function's slots": (Global("torch._utils", "_rebuild_parameter"), ({}, {"x": 1})),
    "a class": (Global("collections", "OrderedDict"), ({}, {"get": 1})),
    "a class by its names": (Global("collections", "OrderedDict"), {"get": 1}),
}


@pytest.mark.parametrize("case", SETTABLE)
def test_a_pickle_cannot_change_what_it_is_handed(tmp_path: Path, case: str) -> None:
    """The next file is read as if this one had never been."""
    value, state = SETTABLE[case]
    check_refused(
        write_archive(tmp_path / "m.bin", {"a": WHOLE, "b": Build(value, state)}, {"0": FLOATS}),
        "no checkpoint",
    )
    path = write_archive(tmp_path / "n.bin", {"a": WHOLE}, {"0": FLOATS})
    assert np.array_equal(open_pickled(path)[0]["a"], FLOATS.reshape(4, 6))


def check_refused(path: Path, says: str) -> None:
    with pytest.raises(ConversionError) as caught:
        dict(open_pickled(path)[0])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


F = storage("FloatStorage", "0", 24)
WRONG: dict[str, tuple[Any, str]] = {
    "a view beyond its storage": ({"a": tensor(F, 20, (2, 3), (3, 1))}, "reaches beyond"),
    "a stride beyond its storage": ({"a": tensor(F, 0, (2, 3), (30, 1))}, "reaches beyond"),
    "a view repeated without end": ({"a": tensor(F, 0, (1 << 40,), (0,))}, "holds no tensors"),
    "a negative stride": ({"a": tensor(F, 3, (2,), (-1,))}, "impossible shape"),
    "more strides than axes": ({"a": tensor(F, 0, (2,), (1, 1))}, "reaches beyond"),
    "a storage with fewer bytes": (
        {"a": tensor(storage("FloatStorage", "0", 25), 0, (2,), (1,))},
        "96 bytes",
    ),
    "a storage that is not there": (
        {"a": tensor(storage("FloatStorage", "5", 24), 0, (2,), (1,))},
        "no data '5'",
    ),
    "a tensor of nothing": (
        {"a": Call(Global("torch._utils", "_rebuild_tensor_v2"), (1, 0, (1,), (1,)))},
        "without a storage",
    ),
    "an unknown kind of reference": ({"a": Persistent(("module", "x"))}, "unknown way"),
    "no names": ((1, 2), "no tensors by name"),
    "no tensors": ({"a": 1}, "holds no tensors"),
    "masks only": ({"m": tensor(storage("BoolStorage", "0", 96), 0, (2,), (1,))}, "no tensors"),
    "a damaged description": (b"\x80\x02}(X\x05\x00", "cannot be read"),
}


@pytest.mark.parametrize("case", WRONG)
def test_damaged_descriptions(tmp_path: Path, case: str) -> None:
    """One line that says what is wrong."""
    content, says = WRONG[case]
    check_refused(write_archive(tmp_path / "m.bin", content, {"0": FLOATS}), says)


def test_a_compressed_archive(tmp_path: Path) -> None:
    """Offsets into compressed data mean nothing."""
    zipped = write_archive(
        tmp_path / "m.bin", {"a": WHOLE}, {"0": FLOATS}, compression=zipfile.ZIP_DEFLATED
    )
    check_refused(zipped, "compressed")


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off(tmp_path: Path, share: float) -> None:
    """A download that ended early is called damaged, wherever it ended."""
    path = write_archive(tmp_path / "m.bin", {"a": WHOLE}, {"0": FLOATS})
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    check_refused(path, "m.bin")


def test_a_file_that_shrinks_after_it_was_opened(tmp_path: Path) -> None:
    """What is read later is checked later."""
    path = write_archive(tmp_path / "m.bin", {"a": WHOLE}, {"0": FLOATS})
    tensors, _ = open_pickled(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ConversionError, match="ends within a"):
        tensors["a"]


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"version https://git-lfs"])
def test_what_is_no_archive_without_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """Old formats need torch; the line has the command that adds it."""
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "m.bin").write_bytes(content)
    check_refused(tmp_path / "m.bin", "pip install 'codegen-lsp[convert]'")


def test_a_missing_file(tmp_path: Path) -> None:
    """The system's word for it."""
    check_refused(tmp_path / "none.bin", "No such file")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_what_torch_writes(tmp_path: Path, zipped: bool) -> None:
    """Views, shared storages, parameters and every float type, equal to what torch reads."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.manual_seed(0)
    base = torch.randn(8, 6)
    state = {
        "plain": base,
        "transposed": base.T,
        "slice": base[2:5, 1::2],
        "shared": base.view(-1)[5:9],
        "half": torch.randn(3, 4).half(),
        "bfloat16": torch.randn(3, 4).bfloat16(),
        "double": torch.randn(3).double(),
        "scalar": torch.tensor(-1e9),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
        "mask": torch.tril(torch.ones(4, 4, dtype=torch.bool)),
        "ids": torch.arange(4),
    }
    path = tmp_path / "m.bin"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    tensors, others = open_pickled(path)
    assert others == {"mask", "ids"}
    for name in state.keys() - others:
        expected = state[name].detach()
        expected = expected if expected.dtype == torch.float16 else expected.float()
        assert np.array_equal(tensors[name], expected.numpy()), name


def test_a_module_saved_whole(tmp_path: Path) -> None:
    """``torch.save(model)`` is no checkpoint of weights."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "m.bin")
    check_refused(tmp_path / "m.bin", "asks for torch.nn.modules.linear.Linear")


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    """The reader of archives never imports torch."""
    path = write_archive(tmp_path / "m.bin", {"a": WHOLE}, {"0": FLOATS})
    code = (
        "import sys; from pathlib import Path;"
        "from codegen_lsp.converters.pickled import open_pickled;"
        f"print(open_pickled(Path({str(path)!r}))[0]['a'].sum(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["276.0", "False"]
