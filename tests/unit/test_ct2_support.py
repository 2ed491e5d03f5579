"""What CTranslate2 can run on, what its failures mean, and what the machine has."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import pytest

from codegen_lsp.engines.ct2_support import Attempt, attempts, token_bytes, translate
from codegen_lsp.engines.hardware import Machine, default_threads, machine, quota_of
from codegen_lsp.errors import CodegenError, EngineUnavailableError, ModelDamagedError
from codegen_lsp.models.store import bundled_folder
from tests.support.tiny import make_tiny

CPU = {"int8", "int8_float32", "float32"}
GPU = {"int8", "int8_float16", "float16", "float32"}


@dataclass(frozen=True)
class Choice:
    device: str
    compute_type: str
    cuda: int
    expected: list[tuple[str, str]]


CHOICES = [
    Choice("auto", "auto", 0, [("cpu", "int8"), ("cpu", "int8_float32"), ("cpu", "float32")]),
    Choice("auto", "float32", 0, [("cpu", "float32")]),
    Choice(
        "cuda",
        "auto",
        1,
        [("cuda", "float16"), ("cuda", "int8_float16"), ("cuda", "float32")],
    ),
    Choice("auto", "float16", 1, [("cuda", "float16")]),
    Choice("auto", "int8", 2, [("cuda", "int8"), ("cpu", "int8")]),
]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_device_and_type_are_chosen_from_the_machine(choice: Choice) -> None:
    """CUDA before CPU, float16 before int8 there, int8 first on a CPU; others as a fallback."""
    found = attempts(
        choice.device, choice.compute_type, choice.cuda, {"cpu": CPU, "cuda": GPU}.__getitem__
    )
    assert found == [Attempt(*pair) for pair in choice.expected]


def test_cuda_without_a_device() -> None:
    """Asking for a device that is not there is an error with a way out."""
    with pytest.raises(EngineUnavailableError, match="'cpu'"):
        attempts("cuda", "auto", 0, {"cpu": CPU, "cuda": GPU}.__getitem__)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("CUDA failed with error out of memory", EngineUnavailableError),
        ("Library libcublas.so.12 is not found or cannot be loaded", EngineUnavailableError),
        ("Requested float16 compute type, but ...", EngineUnavailableError),
        ("Unsupported model binary version 99", ModelDamagedError),
        ("File model.bin is incomplete:\n failed to read a buffer", ModelDamagedError),
        ("", ModelDamagedError),
    ],
)
def test_messages_of_the_library_are_translated(message: str, kind: type[CodegenError]) -> None:
    """A failure to load becomes one of our errors, on one line."""
    error = translate(RuntimeError(message), Path("somewhere"))
    assert type(error) is kind
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000", None), ("200000 100000", 2), ("50000 100000", 1), ("", None), ("x y", None)],
)
def test_container_quota(text: str, cores: int | None) -> None:
    """A quota counts whole cores, at least one."""
    assert quota_of(text) == cores


@pytest.mark.parametrize(
    ("physical", "usable", "threads"), [(4, 8, 4), (16, 32, 8), (8, 2, 2), (1, 1, 1)]
)
def test_threads_come_from_usable_physical_cores(physical: int, usable: int, threads: int) -> None:
    """Physical cores, cut down to what the process may use and to eight."""
    assert default_threads(Machine(physical, usable, 1, "x86_64")) == threads


def test_this_machine_has_a_core_and_memory() -> None:
    """The machine that runs the tests is described."""
    assert machine().usable_cores >= 1
    assert machine().memory > 0


@pytest.mark.parametrize(
    ("compute_type", "of_a_number"),
    [("int8_float32", 4), ("float32", 4), ("float16", 2), ("int8_float16", 2), ("bfloat16", 2)],
)
def test_what_a_token_takes(tmp_path: Path, compute_type: str, of_a_number: int) -> None:
    """A key and a value in each layer, as wide as the model."""
    model = make_tiny(tmp_path).ct2 / "model.bin"
    assert token_bytes(model, compute_type) == 2 * 2 * 32 * of_a_number
    # Measured: a thousand tokens of the bundled model take 10.2 MB of memory.
    assert token_bytes(bundled_folder() / "model.bin", "float32") == 10_240


def test_heads_that_share_keys_take_less(tmp_path: Path) -> None:
    """What counts is what queries leave of the projection (multi-query attention)."""
    model = tmp_path / "model.bin"
    shapes = {"linear_0": (256 + 2 * 32, 256), "linear_1": (256, 256)}

    def string(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    content = struct.pack("<I", 6) + string("TransformerDecoderSpec") + struct.pack("<II", 8, 2)
    for name, shape in shapes.items():
        content += string(f"decoder/layer_0/self_attention/{name}/weight")
        content += struct.pack("<BIIBI", 2, *shape, 1, 3) + bytes(3)
    model.write_bytes(content)
    assert token_bytes(model, "float32") == 2 * 32 * 4


@pytest.mark.parametrize("content", [b"", b"\6\0\0\0", b"\7\0\0\0" + bytes(99), b"\6" * 999])
def test_a_file_that_does_not_tell(tmp_path: Path, content: bytes) -> None:
    """Nothing is known of what a token takes, and that is no error."""
    (tmp_path / "model.bin").write_bytes(content)
    assert token_bytes(tmp_path / "model.bin", "float32") == 0
    assert token_bytes(tmp_path / "none", "float32") == 0
