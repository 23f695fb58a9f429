"""A file lock that says whether another process uses a folder."""

from __future__ import annotations

import time
from typing import Any

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
