"""JAXFORMER's checkpoints and exports are the model that was saved, however many cores it had."""

from __future__ import annotations

import json
import pickle
import shutil
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codegen_lsp.converters import verify
from codegen_lsp.converters.from_jaxformer import convert_jaxformer, is_jaxformer, read_jaxformer
from codegen_lsp.converters.reference import forward
from codegen_lsp.converters.samples import sample_tokens
from codegen_lsp.converters.shape import Shape
from codegen_lsp.converters.to_hf import from_hf_tensors
from codegen_lsp.errors import ConversionError
from tests.support.jaxformer import (
    Store,
    as_bfloat16,
    as_is,
    write_checkpoint,
    write_export,
    write_run,
)
from tests.support.tiny import Weights, random_weights, write_tokenizer

SHAPE = Shape(vocab_size=320, n_positions=64, n_embd=64, n_layer=3, n_head=8, rotary_dim=4)

PLAIN = random_weights(SHAPE, seed=3, scale=0.1)

TOKENS = np.random.default_rng(1).integers(0, 280, (2, 24)).tolist()


def logits(plain: Any, shape: Shape) -> Any:
    return np.concatenate([forward(plain, shape, tokens) for tokens in TOKENS])


def check(
    folder: Path, expected: Weights = PLAIN, shape: Shape = SHAPE, tolerance: float = 1e-6
) -> None:
    """What is read from *folder* is *expected*, tensor by tensor."""
    plain, found = read_jaxformer(folder)
    assert found == replace(shape, parts=4)
    assert set(plain) == set(expected)
    for name in expected:
        assert plain[name].shape == expected[name].shape, name
        assert plain[name].dtype in (np.float32, np.float16), name
        assert np.allclose(plain[name], expected[name], rtol=0, atol=tolerance), name


@pytest.mark.parametrize("cores", [4, 8])
@pytest.mark.parametrize(("files", "copies"), [(1, 1), (1, 3), (2, 1), (4, 1), (8, 1), (4, 2)])
def test_there_and_back(tmp_path: Path, cores: int, files: int, copies: int) -> None:
    """Whole arrays, parts and copies of either make the same weights."""
    check(write_checkpoint(tmp_path / "7", PLAIN, SHAPE, cores, files=files, copies=copies))


@pytest.mark.parametrize("cores", [4, 8])
def test_logits_in_transformers(tmp_path: Path, cores: int) -> None:
    """The folder that is written computes in transformers what the weights compute."""
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    source = write_checkpoint(tmp_path / "7", PLAIN, SHAPE, cores, files=2)
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json")
    shape = convert_jaxformer(source, tokenizer, tmp_path / "hf")
    found = verify.transformers_logits(tmp_path / "hf", TOKENS)
    assert found is not None
    expected = logits(PLAIN, SHAPE)
    assert np.abs(found - expected).max() <= 1e-4
    assert (found.argmax(-1) == expected.argmax(-1)).all()
    assert Shape.from_folder(tmp_path / "hf") == shape


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    cores=st.sampled_from([1, 2, 4, 8]),
    files=st.sampled_from([1, 2, 4]),
    heads=st.integers(1, 3),
    head=st.sampled_from([2, 4, 6]),
    layers=st.integers(1, 3),
    rows=st.integers(1, 9),
)
def test_any_shape(
    tmp_path_factory: pytest.TempPathFactory,
    cores: int,
    files: int,
    heads: int,
    head: int,
    layers: int,
    rows: int,
) -> None:
    """No width, number of layers or rows is special, not even where two of them are equal."""
    width = cores * heads * head
    shape = Shape(files * rows, 16, width, layers, cores * heads, rotary_dim=2)
    plain = random_weights(shape)
    files = files if width % files == 0 else 1
    folder = tmp_path_factory.mktemp("any") / "7"
    check(write_checkpoint(folder, plain, shape, cores, files=files), plain, shape)


def fortran(array: Any) -> Any:
    return np.asfortranarray(array)


STORES: dict[str, tuple[Store, Any, float]] = {
    "bfloat16": (as_bfloat16, np.savez, 0.01),
    "float16": (partial(np.asarray, dtype=np.float16), np.savez, 1e-3),
    "float64": (partial(np.asarray, dtype=np.float64), np.savez, 1e-6),
    "first index fastest": (fortran, np.savez, 1e-6),
    "compressed": (as_is, np.savez_compressed, 1e-6),
    "compressed, first index fastest": (fortran, np.savez_compressed, 1e-6),
}


@pytest.mark.parametrize(("store", "save", "tolerance"), STORES.values(), ids=STORES.keys())
def test_ways_of_storing(tmp_path: Path, store: Store, save: Any, tolerance: float) -> None:
    """Half precision, and whatever order numpy found the numbers in."""
    folder = write_checkpoint(tmp_path / "7", PLAIN, SHAPE, 4, files=2, store=store, save=save)
    check(folder, tolerance=tolerance)


def test_one_layer_is_read_at_a_time(tmp_path: Path) -> None:
    """All layers lie in one array; a layer's weights take the memory of that layer."""
    shape = replace(SHAPE, n_layer=16)
    folder = write_checkpoint(tmp_path / "7", random_weights(shape), shape, 4)
    plain, _ = read_jaxformer(folder)
    tracemalloc.start()
    try:
        layer = plain["h.9.fc_in.kernel"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert layer.nbytes <= peak <= 3 * layer.nbytes


def test_the_run_may_lie_above_the_step(tmp_path: Path) -> None:
    """One JSON file serves all steps of a run; the one beside a step comes first."""
    folder = write_checkpoint(tmp_path / "7", PLAIN, SHAPE, 4)
    (folder / "codegen_tiny.json").rename(tmp_path / "codegen_tiny.json")
    check(folder)
    write_run(tmp_path / "codegen_other.json", replace(SHAPE, n_layer=9), 4)
    write_run(folder / "codegen_tiny.json", SHAPE, 4)
    check(folder)


def test_version_three_where_nothing_is_said(tmp_path: Path) -> None:
    """The trainer takes a run that names no version for one on eight cores."""
    folder = write_checkpoint(tmp_path / "7", PLAIN, SHAPE, 8)
    write_run(folder / "codegen_tiny.json", SHAPE, 8, tpu_version=None)
    check(folder)


def test_the_callers_shape_takes_precedence(tmp_path: Path) -> None:
    """Also over a run that misstates the cores; the wrong number is another model."""
    folder = write_checkpoint(tmp_path / "7", PLAIN, SHAPE, 4)
    write_run(folder / "codegen_tiny.json", SHAPE, 8)
    wrong, shape = read_jaxformer(folder)
    right, _ = read_jaxformer(folder, replace(SHAPE, parts=4))
    expected = logits(PLAIN, SHAPE)
    assert np.abs(logits(right, shape) - expected).max() <= 1e-4
    with pytest.raises(ConversionError, match="not the same model"):
        verify.require("cores", verify.compare(expected, logits(wrong, shape)), verify.EXACT)


@pytest.mark.parametrize("cores", [4, 8])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float16", 2e-3)])
def test_exports(tmp_path: Path, cores: int, dtype: str, tolerance: float) -> None:
    """What the library's own converter wrote is read with the cores of the run beside it."""
    pytest.importorskip("torch", reason="torch is not installed")
    folder = write_export(tmp_path / "7", PLAIN, SHAPE, cores, dtype)
    assert not is_jaxformer(folder)
    write_run(tmp_path / "codegen_tiny.json", SHAPE, cores)
    assert is_jaxformer(folder)
    check(folder, tolerance=tolerance)


def test_an_export_of_another_run(tmp_path: Path) -> None:
    """The two JSON files must describe one model."""
    pytest.importorskip("torch", reason="torch is not installed")
    folder = write_export(tmp_path / "7", PLAIN, SHAPE, 8, "float32")
    write_run(tmp_path / "codegen_other.json", replace(SHAPE, n_layer=2), 8)
    with pytest.raises(ConversionError, match="another model"):
        read_jaxformer(folder)


def test_what_is_a_checkpoint(tmp_path: Path) -> None:
    """A step's folder is; the folder of its optimizer, of a run, or of nothing is not."""
    folder = write_checkpoint(tmp_path / "7", PLAIN, SHAPE, 4)
    assert is_jaxformer(folder)
    assert not any(is_jaxformer(path) for path in (folder / "opt", tmp_path, tmp_path / "none"))


# What is wrong with a checkpoint


def rewritten(folder: Path, change: Callable[[list[Any]], object], number: int = 0) -> None:
    path = folder / "model" / f"{number}.npz"
    with np.load(path) as file:
        arrays = [file[name] for name in file]
    change(arrays)
    np.savez(path, *arrays)


def with_array(index: int, array: Any) -> Callable[[Path], object]:
    return lambda folder: rewritten(folder, lambda arrays: arrays.__setitem__(index, array))


def with_value(index: int, value: float) -> Callable[[Path], object]:
    return lambda folder: rewritten(folder, lambda arrays: arrays[index].fill(value), number=1)


def with_run(**changes: object) -> Callable[[Path], object]:
    return lambda folder: write_run(folder / "codegen_tiny.json", SHAPE, 4, **changes)


def with_text(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def cut(name: str, keep: float) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(keep * len(content))])

    return change


def flipped(folder: Path) -> None:
    """One bit of a weight, far behind every header."""
    path = folder / "model/1.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


class Bomb:
    """Says so when it is unpickled."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was opened",))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "no checkpoint"),
    "no files": (lambda folder: shutil.rmtree(folder / "model"), "no checkpoint"),
    "one of its files missing": (
        lambda folder: (folder / "model/1.npz").unlink(),
        r"lacks 1 of its 2 files",
    ),
    "the first file missing": (
        lambda folder: (folder / "model/0.npz").unlink(),
        r"lacks 0 of its 2 files",
    ),
    "another number of processes": (with_text("ckpt.json", '{"process_count": 3}'), "3 processes"),
    "no number of processes": (with_text("ckpt.json", "{}"), "process_count"),
    "processes of no number": (with_text("ckpt.json", '{"process_count": "2"}'), "'2'"),
    "half a ckpt.json": (with_text("ckpt.json", '{"process'), "cannot read"),
    "too few arrays": (lambda folder: rewritten(folder, list.pop), "13 arrays"),
    "too many arrays": (lambda folder: rewritten(folder, lambda a: a.append(a[0])), "15 arrays"),
    "another shape": (with_array(9, np.zeros((3, 64, 120), np.float32)), "ff/proj_in/w.*120"),
    "no axes": (with_array(1, np.float32(1)), "embed/embedding_sharded/proj/w"),
    "objects": (with_array(3, np.array([Bomb()], dtype=object)), "pickle"),
    "integers": (with_array(0, np.zeros(64, np.int64)), "int64"),
    "not finite": (with_value(7, np.nan), "proj_qkv/w of layer 0.*finite"),
    "infinite": (with_value(1, np.inf), "embedding_sharded.*finite"),
    "half a file": (cut("model/0.npz", 0.5), "cannot read"),
    "an empty file": (cut("model/1.npz", 0), "cannot read"),
    "no zip file": (
        lambda folder: (folder / "model/0.npz").write_bytes(pickle.dumps(Bomb())),
        "cannot read",
    ),
    "no run": (lambda folder: (folder / "codegen_tiny.json").unlink(), "no JSON file"),
    "two runs": (
        lambda folder: write_run(folder / "other.json", replace(SHAPE, n_layer=2), 4),
        "several models",
    ),
    "layers of another model": (with_run(model_layers=2), "attn/proj_out/w"),
    "words of another model": (with_run(model_vocab_size=300), "embedding"),
    "no heads": (with_run(model_heads=None), "model_heads as None"),
    "a truth for a number": (with_run(model_dim=True), "model_dim as True"),
    "heads that do not fit": (with_run(model_head_dim=16), "contradicts itself"),
    "more cores than heads": (with_run(tpu_cores=16), "contradicts itself"),
    "an unknown version": (with_run(tpu_version=9), "how many cores"),
}


@pytest.mark.parametrize(("damage", "message"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_read(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    """One line that names the matter, and nothing is unpickled."""
    folder = write_checkpoint(tmp_path / "7", PLAIN, SHAPE, 4, files=2)
    damage(folder)
    with pytest.raises(ConversionError, match=message) as caught:
        dict(read_jaxformer(folder)[0])
    assert "\n" not in str(caught.value)


def test_a_bit_that_flipped(tmp_path: Path) -> None:
    """A conversion first compares the files with the checksums in them."""
    source = write_checkpoint(tmp_path / "7", PLAIN, SHAPE, 4, files=2)
    flipped(source)
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json")
    with pytest.raises(ConversionError, match=r"1\.npz.*checksum"):
        convert_jaxformer(source, tokenizer, tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


def test_a_file_cut_while_it_is_read(tmp_path: Path) -> None:
    """What fails after the headers were read is one line as well."""
    folder = write_checkpoint(tmp_path / "7", PLAIN, SHAPE, 4)
    plain, _ = read_jaxformer(folder)
    cut("model/0.npz", 0.1)(folder)
    with pytest.raises(ConversionError, match="cannot read"):
        plain["h.2.fc_out.kernel"]


def test_the_end_of_text_is_the_tokenizers(tmp_path: Path) -> None:
    """Neither layout says what ends a text."""
    source = write_checkpoint(tmp_path / "7", PLAIN, SHAPE, 4)
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json")
    content = json.loads(tokenizer.read_text())
    vocabulary = content["model"]["vocab"]
    last = max(vocabulary, key=vocabulary.__getitem__)
    vocabulary[last], vocabulary["<|endoftext|>"] = 0, vocabulary[last]
    content["added_tokens"][0]["id"] = vocabulary["<|endoftext|>"]
    tokenizer.write_text(json.dumps(content))
    shape = convert_jaxformer(source, tokenizer, tmp_path / "hf")
    assert shape.eos_token_id == 279
    assert Shape.from_folder(tmp_path / "hf").eos_token_id == 279


@pytest.mark.parametrize(
    ("size", "token", "message"),
    [(280, "<|end|>", "no token"), (330, "<|endoftext|>", "330 tokens")],
)
def test_tokenizers_of_other_models(tmp_path: Path, size: int, token: str, message: str) -> None:
    """They are refused before anything is written."""
    source = write_checkpoint(tmp_path / "7", PLAIN, SHAPE, 4)
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json", size)
    tokenizer.write_text(tokenizer.read_text().replace("<|endoftext|>", token))
    content = json.loads(tokenizer.read_text())
    for number in range(len(content["model"]["vocab"]), size):  # the text has no more to learn
        content["model"]["vocab"][f"<{number}>"] = number
    tokenizer.write_text(json.dumps(content))
    with pytest.raises(ConversionError, match=message):
        convert_jaxformer(source, tokenizer, tmp_path / "hf")
    assert not (tmp_path / "hf").exists()
    with pytest.raises(ConversionError, match="cannot read the tokenizer"):
        convert_jaxformer(source, tmp_path / "none.json", tmp_path / "hf")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Weights]:
    """A tokenizer, and weights that know a piece of this project's code by heart."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    tokenizer = write_tokenizer(tmp_path_factory.mktemp("trained") / "tokenizer.json")
    batch = torch.tensor(sample_tokens(tokenizer, 320, sequences=1, length=64))
    torch.manual_seed(0)
    model: Any = transformers.CodeGenForCausalLM(
        transformers.CodeGenConfig.from_dict(SHAPE.to_config())
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        model(batch, labels=batch).loss.backward()
        optimizer.step()
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return tokenizer, dict(from_hf_tensors(state, SHAPE))


@pytest.mark.parametrize("cores", [4, 8])
def test_the_wrong_number_of_cores_is_noticed(
    tmp_path: Path, trained: tuple[Path, Weights], cores: int
) -> None:
    """Weights that predict code show how they are cut; the other number is not converted."""
    tokenizer, plain = trained
    source = write_checkpoint(tmp_path / "7", plain, SHAPE, cores)
    convert_jaxformer(source, tokenizer, tmp_path / "right")
    write_run(source / "codegen_tiny.json", SHAPE, 12 - cores)
    with pytest.raises(ConversionError, match=f"only if {cores} cores.*tpu_cores"):
        convert_jaxformer(source, tokenizer, tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()
    write_run(source / "codegen_tiny.json", SHAPE, 12 - cores, tpu_cores=cores)
    convert_jaxformer(source, tokenizer, tmp_path / "mended")
