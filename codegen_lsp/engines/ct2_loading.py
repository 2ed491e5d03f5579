"""Opening a model folder with CTranslate2: devices, files, and what may be wrong with them.

Imports CTranslate2 when it is asked for a model. Does not know requests; ``ct2`` keeps what is
opened here.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from codegen_lsp.engines.ct2_networks import Network
from codegen_lsp.engines.ct2_support import Attempt, attempts, token_bytes, translate
from codegen_lsp.engines.hardware import refuse_if_too_large
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.engines.vocabulary import Words
from codegen_lsp.errors import EngineUnavailableError, ModelDamagedError

__all__ = ["check_files", "cuda_devices", "open_model", "weights_size"]

SIZE_MULTIPLE: Final = 8
"""Some devices pad the output to a multiple of this."""


def cuda_devices() -> int:
    """CUDA devices that CTranslate2 can use; 0 without it, a driver or a device."""
    try:
        import ctranslate2

        return int(ctranslate2.get_cuda_device_count())
    except (ImportError, RuntimeError):
        return 0


def weights_size(spec: EngineSpec) -> int | None:
    """Bytes of the weights, as they are stored; ``None`` where there are none."""
    with suppress(OSError):
        return (spec.folder / "model.bin").stat().st_size
    return None


def check_files(folder: Path, network: Network) -> None:
    """Whether all that CTranslate2 reads of a model is in *folder*.

    :raises ModelDamagedError: it is not.
    """
    for name in network.files:
        if not (folder / name).is_file():
            raise ModelDamagedError(f"{folder / name} is missing", mend="install it again")


def open_model(spec: EngineSpec, network: Network, words: Words, threads: int) -> Any:
    """CTranslate2's Generator or Translator, on the first device and in the first type that work.

    :raises ModelDamagedError: the folder is not a complete model.
    :raises EngineUnavailableError: library, device or memory are missing.
    """
    try:
        import ctranslate2
    except (ImportError, OSError) as error:
        raise EngineUnavailableError(
            f"CTranslate2 cannot be imported ({error})", mend="pip install ctranslate2"
        ) from error
    failures: list[EngineUnavailableError] = []
    for attempt in attempts(
        spec.device,
        spec.compute_type,
        cuda_devices(),
        ctranslate2.get_supported_compute_types,
    ):
        try:
            return _try(attempt, spec, network, words, threads)
        except EngineUnavailableError as error:
            failures.append(error)
    raise failures[0]


def _try(attempt: Attempt, spec: EngineSpec, network: Network, words: Words, threads: int) -> Any:
    import ctranslate2

    if attempt.device == "cpu":
        # Weights, and all that is kept of one prompt.
        read = spec.context_length * token_bytes(spec.folder / "model.bin", attempt.compute_type)
        refuse_if_too_large(spec.name, (weights_size(spec) or 0) + read)
    try:
        model = getattr(ctranslate2, network.loader)(
            str(spec.folder),
            device=attempt.device,
            compute_type=attempt.compute_type,
            # One at a time: on a GPU what is kept would not be synchronised between two.
            inter_threads=1,
            intra_threads=threads,
            max_queued_batches=-1,
        )
        # A missing CUDA library or a wrong weight shows itself only here.
        rows = network.rows(model, words.all[words.end])
    except (RuntimeError, ValueError, MemoryError, OSError) as error:
        raise translate(error, spec.folder) from error
    if not 0 <= rows - len(words.all) < SIZE_MULTIPLE:
        vocabulary = spec.folder / network.vocabulary
        raise ModelDamagedError(
            f"{vocabulary} has {len(words.all)} entries, the model {rows}",
            mend="install the model again",
        )
    return model
