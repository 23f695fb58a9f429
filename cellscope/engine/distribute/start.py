"""What a worker process of this machine does first. Imports nothing heavy: libraries read settings on import."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import wait

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Variables that libraries take their number of threads from."""


def begin(cpus: Sequence[int], threads: int) -> int:
    """Keep this process to its CPUs and threads, leave signals to its parent, and end it when the parent is gone.

    Parameters
    ----------
    cpus
        Numbers of the CPUs that it may use; empty: all that its parent may.
    threads
        At most.

    Returns
    -------
    int
        The number of the process.
    """
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
    for name in THREADS:
        os.environ[name] = str(threads)
    for name, keep in (("torch", "set_num_threads"), ("cv2", "setNumThreads")):
        if name in sys.modules:
            getattr(sys.modules[name], keep)(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    return os.getpid()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
