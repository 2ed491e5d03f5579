"""What the gate learned on this machine: weights by model, in one file.

Knows the file. How weights are found is ``evaluation.replay.calibrate``'s affair, what they mean
``gate``'s. A file that cannot be used is named in the log, and the weights that ship are taken.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from codegen_lsp.completion.gate import FEATURES, WEIGHTS
from codegen_lsp.config.home import calibration_file
from codegen_lsp.errors import SettingsError

__all__ = ["Calibration", "calibration_of", "calibrations", "save_calibration", "weights_for"]

logger = logging.getLogger(__name__)


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Weights that were fitted for one model."""

    features: tuple[str, ...]
    """Names of what is weighed, in order."""

    weights: tuple[float, ...]

    points: int
    """How many suggestions they were fitted to."""

    fitted: str
    """When, as an ISO date."""

    repositories: tuple[str, ...] = ()
    """What was replayed, where that is known."""


def weights_for(model: str, path: Path | None = None) -> Sequence[float]:
    """The weights for *model*: its own where there are any, else those that ship."""
    try:
        found = calibration_of(model, path)
    except SettingsError as error:
        logger.warning("%s", error)
        return WEIGHTS
    return WEIGHTS if found is None else found.weights


def calibration_of(model: str, path: Path | None = None) -> Calibration | None:
    """What was fitted for *model*; ``None`` where nothing was.

    :raises SettingsError: the file cannot be read, or holds what this version does not weigh.
    """
    path = path or calibration_file()
    found = calibrations(path).get(model)
    if found is None:
        return None
    fits = found.features == FEATURES and len(found.weights) == len(FEATURES)
    if not fits or not all(map(math.isfinite, found.weights)):
        raise SettingsError(
            f"the calibration of {model} in {path} is of another version",
            mend="calibrate again, or delete the file",
        )
    return found


def calibrations(path: Path | None = None) -> Mapping[str, Calibration]:
    """All that was fitted on this machine, by model; empty where nothing was.

    :raises SettingsError: the file cannot be read.
    """
    return _read(path or calibration_file())


def save_calibration(model: str, calibration: Calibration, path: Path | None = None) -> Path:
    """Keep *calibration* as that of *model*; returns the file.

    The file is replaced in one step, so that a server never reads half of it.

    :raises SettingsError: the file cannot be read or written.
    """
    path = path or calibration_file()
    text = msgspec.json.encode({**_read(path), model: calibration})
    _write(msgspec.json.format(text, indent=1) + b"\n", path)
    return path


def _read(path: Path) -> dict[str, Calibration]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Calibration])
    except FileNotFoundError:
        return {}
    except OSError as error:
        mend = "make it a file that can be read, or delete it"
        raise SettingsError(f"{path} cannot be read ({error.strerror})", mend=mend) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no calibration ({error})", mend="delete it") from error


def _write(text: bytes, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text)
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SettingsError(f"{path} cannot be written ({error.strerror})") from error
