"""Memory: how much is free, and freed blocks that are kept for the next use, a network's next layer."""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path

#: Blocks up to this many bytes come from the heap; larger ones, such as whole slides, go back to the system when freed.
KEPT = 64 * 2**20
#: Numbers of `mallopt`, from glibc's ``malloc.h``.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
OWN_CGROUP, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""Where the system tells a process's group, and the limits of groups."""
#: What a person has set stays.
_OWN = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_freed_memory() -> bool:
    """Let the allocator of glibc keep freed blocks of up to `KEPT` bytes; nothing elsewhere.

    By default every tensor of some MB is mapped anew and returned to the system, which clears its pages each time
    (``benchmarks/allocator.py``).

    Returns
    -------
    bool
        Whether it was set.
    """
    if platform.libc_ver()[0] != "glibc" or any(os.environ.get(name) for name in _OWN):
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_MMAP_THRESHOLD, KEPT) and library.mallopt(_TRIM_THRESHOLD, 2**31 - 1))


def free_memory(unknown: int = 2**34) -> int:
    """Return the memory that is free, bytes: of the system, or of the cgroup that a container or batch system set.

    Parameters
    ----------
    unknown : int
        What to assume on systems that do not tell.
    """
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            facts = dict(line.split(":", 1) for line in stream)
        free = int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        free = unknown
    return min(free, _left_in_cgroup(free))


def _left_in_cgroup(free: int) -> int:
    """Give what the limits of this process's cgroups (version 2) leave; `free` where there is none."""
    try:
        with OWN_CGROUP.open(encoding="utf-8") as stream:
            place = next(line.rstrip("\n")[3:] for line in stream if line.startswith("0::"))
    except (OSError, StopIteration):
        return free
    folder = CGROUPS / place.lstrip("/")
    for each in (folder, *folder.parents):
        try:
            limit, used = ((each / f"memory.{name}").read_text().strip() for name in ("max", "current"))
            free = min(free, max(int(limit) - int(used), 0))
        except (OSError, ValueError):  # no such file at the root, "max" where there is no limit
            pass
        if each == CGROUPS:
            break
    return free
