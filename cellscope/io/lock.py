"""A file lock that says whether another process uses a folder."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # not a POSIX system: two processes in one folder are then the user's to avoid
    fcntl = None  # type: ignore[assignment]

CAN_LOCK = fcntl is not None


def lock(stream: Any, *, patience: float = 0.0, shared: bool = False) -> bool:
    """Lock an open file until it is closed.

    Parameters
    ----------
    stream : file object
    patience : float
        Seconds to wait for another process.
    shared : bool
        Let others lock it as shared.

    Returns
    -------
    bool
        False if another process holds it; True also where locks are not known.
    """
    if fcntl is None:
        return True
    give_up = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                return False
            time.sleep(0.05)
        except OSError:  # a file system without locks
            return True
        else:
            return True


_held: dict[Path, BinaryIO] = {}


def hold(path: Path, *, patience: float = 0.5) -> bool:
    """Lock a file, made if it is not there, for this process; its end, however it comes, unlocks it.

    Parameters
    ----------
    path : Path
        In a folder that is there.
    patience : float
        Seconds to wait for another process.

    Returns
    -------
    bool
        False if another process holds it.
    """
    path = path.resolve()
    release(path)
    while True:
        stream = open(path, "ab")  # noqa: SIM115 - open for as long as it is held
        if not lock(stream, patience=patience):
            stream.close()
            return False
        if os.name == "nt" or (path.exists() and os.path.samestat(os.fstat(stream.fileno()), path.stat())):
            _held[path] = stream
            return True
        stream.close()  # who held it has removed it meanwhile


def release(path: Path) -> None:
    """Unlock a file that this process may hold."""
    if (stream := _held.pop(path.resolve(), None)) is not None:
        stream.close()


def is_held(path: Path) -> bool:
    """Tell whether a process, this one or another, holds a file; False where locks are not known."""
    try:
        with open(path, "rb") as stream:
            return CAN_LOCK and not lock(stream, shared=True)
    except OSError:
        return False
