"""Freed memory is kept for the next use: what a network frees in one layer it asks for again in the next."""

from __future__ import annotations

import ctypes
import os
import platform

#: Blocks up to this many bytes come from the heap; larger ones, such as whole slides, go back to the system when freed.
KEPT = 64 * 2**20
#: Numbers of `mallopt`, from glibc's ``malloc.h``.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
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
