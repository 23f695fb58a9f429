"""``--devices``: which devices of this machine work, with how many CPUs and threads each."""

from __future__ import annotations

import itertools
import os

import torch

from cellscope.engine.device import available_cpus, pick_device
from cellscope.engine.distribute.pool import Slot
from cellscope.engine.memory import free_memory
from cellscope.errors import UsageError

MEMORY = 2 * 2**30
"""Bytes that ``auto`` leaves for each process on a CPU."""


def slots_of(devices: str) -> list[Slot]:
    """Return the processes that ``--devices`` asks for.

    Parameters
    ----------
    devices : str
        ``auto`` (every GPU; without one, a process per CPU as far as memory goes), ``all`` (every GPU), numbers of
        GPUs separated by commas, ``cpu:N`` (N processes), ``cpu`` (one per CPU).

    Returns
    -------
    list of Slot
        The CPUs that this process may use are divided among them.

    Raises
    ------
    UsageError
        A device that is not there.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if devices == "all" and not gpus:
        raise UsageError("--devices all: there is no GPU; give cpu:N for N processes on the CPUs")
    if devices.startswith("cpu") or (devices == "auto" and not gpus):
        named = devices.partition(":")[2]
        count = int(named) if named else available_cpus()
        if devices == "auto":
            count = max(1, min(count, free_memory(MEMORY * available_cpus()) // MEMORY))
        return _bound(["cpu"] * count)
    numbers = range(gpus) if devices in ("auto", "all") else [int(number) for number in devices.split(",")]
    names = [f"cuda:{number}" for number in numbers]
    for name in names:
        pick_device(name)
    return _bound(names)


def _bound(names: list[str]) -> list[Slot]:
    """Divide the CPUs: neighbours together, all of them used; with more processes than CPUs nothing is bound."""
    granted = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    count = len(names)
    if len(granted) < count:
        return [Slot(name, (), max(1, available_cpus() // count)) for name in names]
    edges = [number * len(granted) // count for number in range(count + 1)]
    parts = [tuple(granted[start:end]) for start, end in itertools.pairwise(edges)]
    most = int(os.environ.get("OMP_NUM_THREADS") or len(granted))
    return [Slot(name, part, max(1, min(most, len(part)))) for name, part in zip(names, parts, strict=True)]
