"""URIs that no editor should send."""

from __future__ import annotations

import pytest

from codegen_lsp.context.uris import name_of, path_of


@pytest.mark.parametrize(
    "uri", ["file://[", "file://[abc/a.py", "vscode-notebook-cell://]/a.ipynb"]
)
def test_what_is_no_uri_is_no_file(uri: str) -> None:
    """An address that cannot be taken apart is no file, has some name, and raises nothing."""
    assert path_of(uri) is None
    assert name_of(uri) == uri.rpartition("/")[2]
