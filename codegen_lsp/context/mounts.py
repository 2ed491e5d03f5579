"""Which file systems tell of changes: not those that others change over a network.

Knows mounts (psutil) and a table of kinds. Does not know watchdog.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["tells_of_changes"]

_SILENT: Final = (
    "9p",
    "acfs",
    "afp",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "davfs",
    "drvfs",
    "fuse.",
    "gluster",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "orangefs",
    "prl_fs",
    "smb",
    "vboxsf",
    "virtiofs",
    "vmhgfs",
    "webdav",
)
"""How the kinds begin whose changes can come from elsewhere, where no event is made of them."""


def tells_of_changes(real: str) -> bool:
    """Whether the system tells of every change below *real*, a path without links."""
    import psutil  # late: only for folders that are watched

    if real.startswith("\\\\"):  # a share by its name, \\server\share
        return False
    try:
        mounts = psutil.disk_partitions(all=True)
    except (OSError, RuntimeError):
        return True
    around = [mount for mount in mounts if _is_around(mount.mountpoint, real)]
    if not around:
        return True
    # Of mounts over one another, the last one counts.
    nearest = max(enumerate(around), key=lambda each: (len(each[1].mountpoint), each[0]))[1]
    if "remote" in nearest.opts.split(","):
        return False
    return not nearest.fstype.lower().startswith(_SILENT)


def _is_around(mountpoint: str, real: str) -> bool:
    """Whether *real* lies below *mountpoint*."""
    mountpoint, real = os.path.normcase(mountpoint), os.path.normcase(real)
    return real == mountpoint or real.startswith(mountpoint.rstrip(os.sep) + os.sep)
