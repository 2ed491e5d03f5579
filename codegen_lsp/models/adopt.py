"""Old folders of CTranslate2: a vocabulary of lines becomes the list that is read today.

Knows CTranslate2's file names. Does not know tokenizers or manifests.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from codegen_lsp.errors import ConversionError

__all__ = ["link", "with_json_vocabulary"]


def with_json_vocabulary(folder: Path, scratch: Path) -> Path:
    """*folder* if its vocabulary is a JSON list, else a copy in *scratch* in which it is one.

    The copy's large files are links where the file system has them.

    :raises ConversionError: the vocabulary is no text.
    """
    old = [
        path for path in folder.glob("*vocabulary.txt") if not path.with_suffix(".json").exists()
    ]
    if not (folder / "model.bin").is_file() or not old:
        return folder
    copy = scratch / "source"
    copy.mkdir()
    for path in folder.iterdir():
        if path.is_file():
            link(path, copy / path.name)
    for path in old:
        try:
            # Not splitlines: tokens hold characters that it takes for line ends.
            tokens = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
        except UnicodeDecodeError as error:
            raise ConversionError(f"{path} is no vocabulary: {error}") from error
        (copy / path.name).unlink()
        content = json.dumps([token.removesuffix("\r") for token in tokens], indent=1)
        (copy / path.with_suffix(".json").name).write_text(content, encoding="utf-8")
    return copy


def link(path: Path, target: Path) -> None:
    """Make *target* the same file as *path*, or a copy of it where files cannot be linked."""
    try:
        os.link(path.resolve(), target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(path, target)
