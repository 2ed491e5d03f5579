"""Where codegen-lsp keeps things: ``CODEGEN_LSP_HOME`` moves store, settings and logs together.

This module only names folders; it creates none (who writes, creates).
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

__all__ = ["calibration_file", "home", "models_folder", "settings_file"]

APP = "codegen-lsp"


def home() -> Path:
    """The folder of store and logs, ``CODEGEN_LSP_HOME`` or the platform's user data folder."""
    moved = os.environ.get("CODEGEN_LSP_HOME")
    if not moved:
        return platformdirs.user_data_path(APP, appauthor=False)
    try:
        return Path(moved).expanduser()
    except RuntimeError:  # ~name of a user that there is not: as it is written, as shells do
        return Path(moved)


def models_folder() -> Path:
    """The folder in which each installed model has a folder of its own."""
    return home() / "models"


def settings_file() -> Path:
    """The user's settings, a TOML file that need not exist."""
    if os.environ.get("CODEGEN_LSP_HOME"):
        return home() / "settings.toml"
    return platformdirs.user_config_path(APP, appauthor=False) / "settings.toml"


def calibration_file() -> Path:
    """What was learned here about which suggestions are right, a JSON file that need not exist."""
    return home() / "calibration.json"
