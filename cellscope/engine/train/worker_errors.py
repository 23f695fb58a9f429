"""What went wrong in a data-loading process, in one line: torch hands over the whole traceback as a text."""

from __future__ import annotations

import shutil
from pathlib import Path

from cellscope.errors import CellscopeError
from cellscope.io.text import one_line

SHARED = Path("/dev/shm")
_OUT_OF_SHARED = ("shared memory", "shared_memory", "/torch_", "bus error", "unable to mmap", "no space left on device")


def worker_error(error: BaseException) -> CellscopeError | None:
    """Explain an error of a data-loading process.

    Parameters
    ----------
    error : BaseException
        What the training raised.

    Returns
    -------
    CellscopeError or None
        None where it did not come from such a process.
    """
    text = str(error)
    if "DataLoader worker" not in text and "/torch_" not in text:
        return None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any(word in text.lower() for word in _OUT_OF_SHARED):
        return CellscopeError(
            f"the data-loading processes ran out of shared memory{_free()}; use --num-workers 0, or give more of it "
            "(in a container: --shm-size)"
        )
    return CellscopeError(
        f"a data-loading process failed: {one_line(lines[-1])[:200]}; --num-workers 0 loads data without such processes"
    )


def _free() -> str:
    try:
        usage = shutil.disk_usage(SHARED)
    except OSError:
        return ""
    return f" ({SHARED} has {usage.total / 2**20:.3g} MiB)"
