"""Memory: how much is free, and freed blocks that are kept for the next use, a network's next layer."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Blocks up to this many bytes come from the heap; larger ones, such as whole slides, go back to the system when freed.
KEPT = 64 * 2**20
#: Numbers of `mallopt`, from glibc's ``malloc.h``.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
OWN_CGROUP, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""Where the system tells a process's group, and the limits of groups."""
_NAMES_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_NAMES_2 = ("memory.max", "memory.current", "inactive_file")
"""Files of a cgroup of version 1 and 2: its limit, what it uses, and the line of ``memory.stat`` about files' pages."""
_UNLIMITED = 2**60
"""Version 1 says "no limit" by a number: the largest multiple of a page."""
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
    for group in _groups():
        limit = group.limit()
        if limit is not None:
            free = min(free, max(limit - group.used(), 0))
    return free


def memory_limit() -> int | None:
    """Return the least memory that a cgroup of this process may use, bytes; None where there is no limit.

    It counts the limit of the process's own group and of those above it, as a container, systemd or a batch system
    sets them (https://docs.kernel.org/admin-guide/cgroup-v2.html, cgroup-v1/memory.html).
    """
    return min((limit for group in _groups() if (limit := group.limit()) is not None), default=None)


@dataclass(frozen=True)
class _Group:
    """A folder that tells of a cgroup's memory, and what its files are called."""

    folder: Path
    names: tuple[str, str, str]

    def limit(self) -> int | None:
        value = self._number(self.names[0])
        return None if value is None or value >= _UNLIMITED else value

    def used(self) -> int:
        """Give the bytes in use, without the pages of files read long ago: the system drops them when it needs room."""
        try:
            lines = (self.folder / "memory.stat").read_text(encoding="ascii").splitlines()
            dropped = next(int(line.split()[1]) for line in lines if line.startswith(f"{self.names[2]} "))
        except (OSError, ValueError, StopIteration):
            dropped = 0
        return max((self._number(self.names[1]) or 0) - dropped, 0)

    def _number(self, name: str) -> int | None:
        try:
            return int((self.folder / name).read_text(encoding="ascii"))
        except (OSError, ValueError):  # no such file at the root, "max" where there is no limit
            return None


def _groups() -> Iterator[_Group]:
    """Give the cgroups of this process that may limit its memory, of either version, its own first."""
    try:
        lines = OWN_CGROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, place = rest.partition(":")
        if not controllers:
            root, names = CGROUPS, _NAMES_2
        elif "memory" in controllers.split(","):
            root, names = CGROUPS / "memory", _NAMES_1
        else:
            continue
        folder = root / place.lstrip("/")
        for each in (folder, *folder.parents):
            yield _Group(each, names)
            if each == root:  # in a container this is its own group, wherever `place` says it is
                break
