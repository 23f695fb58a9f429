"""Files that outlive a power cut: brought to the disk, and known again by size and hash.

A file that was written and renamed can still be empty, or partly zeros, after the machine went down: its name may reach
the disk before its contents do.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EROFS, errno.EBADF, errno.EACCES, errno.EPERM}
"""What a file system says that cannot bring a file (or a folder) to the disk on request."""

_BLOCK = 2**20


def settle(paths: Iterable[Path]) -> None:
    """Bring files to the disk, and their names in their folders.

    Raises
    ------
    OSError
        The disk is full or broken: some file systems say so only now.
    """
    folders = set()
    for path in paths:
        _sync(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        folders.add(path.parent)
    if os.name != "nt":  # folders cannot be opened there
        for folder in folders:
            _sync(folder, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    try:
        number = os.open(path, flags)
        try:
            os.fsync(number)
        finally:
            os.close(number)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def fingerprint(path: Path) -> list[Any]:
    """Give a file's size in bytes, the time it was changed (ns) and its sha256."""
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns, _sha256(path)]


def is_whole(path: Path, known: list[Any] | None) -> bool:
    """Tell whether a file is still what its fingerprint says, or was changed by a person since.

    Parameters
    ----------
    path : Path
    known : list or None
        From `fingerprint`; None where there is none: the file must be there and not be empty.
    """
    try:
        facts = path.stat()
        if not path.is_file() or not facts.st_size:
            return False
        if known is None or len(known) != 3:
            return True
        size, changed, digest = known
        # edited later: the change is kept. What a power cut damages has the time at which it was written, or an older
        return facts.st_mtime_ns > changed or (facts.st_size == size and _sha256(path) == digest)
    except (OSError, TypeError):
        return False


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
