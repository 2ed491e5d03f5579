"""Which file systems tell of changes."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import psutil
import pytest

from codegen_lsp.context import mounts
from codegen_lsp.context.mounts import tells_of_changes

MOUNTS = [
    ("/", "ext4", "rw"),
    ("/home", "btrfs", "rw"),
    ("/home/me/share", "nfs4", "rw"),
    ("/home/me/share/local", "xfs", "rw"),
    ("/mnt/c", "9p", "rw"),
    ("/mnt/ssh", "fuse.sshfs", "rw"),
    ("/mnt/ntfs", "fuseblk", "rw"),
    ("/over", "ext4", "rw"),
    ("/over", "cifs", "rw"),
    ("/drive", "ntfs", "rw,remote"),
]


@pytest.mark.skipif(sys.platform == "win32", reason="the mounts are of another system")
@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/srv/project", True),
        ("/home/me/project", True),
        ("/home/me/share", False),
        ("/home/me/share/project", False),
        ("/home/me/shared", True),
        ("/home/me/share/local/project", True),
        ("/mnt/c/project", False),
        ("/mnt/ssh/project", False),
        ("/mnt/ntfs/project", True),
        ("/over/project", False),
        ("/drive/project", False),
        ("\\\\server\\share\\project", False),
    ],
)
def test_network_file_systems_are_known(
    monkeypatch: pytest.MonkeyPatch, folder: str, expected: bool
) -> None:
    """The nearest mount decides; of two in one place the later one."""
    rows = [SimpleNamespace(mountpoint=m, fstype=f, opts=o) for m, f, o in MOUNTS]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: rows)
    assert tells_of_changes(folder) is expected


def test_mounts_that_cannot_be_read_are_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a table of mounts events are tried."""

    def broken(all: bool) -> None:
        raise OSError("no /proc")

    monkeypatch.setattr(psutil, "disk_partitions", broken)
    assert mounts.tells_of_changes("/srv")
