"""Where the networks run and in which number format: the one place that decides."""

from __future__ import annotations

import contextlib
import os

import torch

from cellscope.errors import UsageError

PRECISIONS = ("auto", "32", "bf16", "16")


def pick_device(name: str = "auto") -> torch.device:
    """Turn a ``--device`` value into a device that exists.

    Parameters
    ----------
    name : str
        ``auto`` (CUDA, then MPS, then CPU), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Returns
    -------
    torch.device

    Raises
    ------
    UsageError
        If an explicitly named device is missing: work is never moved elsewhere silently.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps") if torch.backends.mps.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:N or mps") from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise UsageError(f"device {name} is not there: {count} CUDA device(s) found; use --device auto or cpu")
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device mps is not there; use --device auto or cpu")
    elif device.type not in ("cpu", "mps"):
        raise UsageError(f"unsupported device {name!r}; use auto, cpu, cuda, cuda:N or mps")
    return device


def has_fast_bfloat16(device: torch.device) -> bool:
    """Tell whether `device` has bfloat16 units; without them it can be over ten times slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
        return bool(amx or getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
    return False


def pick_precision(name: str, device: torch.device) -> torch.dtype | None:
    """Turn a ``--precision`` value into the autocast type, or None for plain float32.

    ``auto`` takes bfloat16 only where `device` has units for it (see `has_fast_bfloat16`).

    Raises
    ------
    UsageError
        If the name is unknown, or float16 is asked for on a CPU.
    """
    if name not in PRECISIONS:
        raise UsageError(f"unknown precision {name!r}; use one of {', '.join(PRECISIONS)}")
    if name == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device) else None
    if name == "16":
        if device.type == "cpu":
            raise UsageError("precision 16 needs a GPU; use 32, or bf16 on a CPU with bfloat16 units")
        return torch.float16
    return torch.bfloat16 if name == "bf16" else None


def autocast(device: torch.device, dtype: torch.dtype | None) -> contextlib.AbstractContextManager:
    """Give the autocast context for `dtype` on `device`; a context that does nothing when `dtype` is None."""
    return torch.autocast(device.type, dtype) if dtype is not None else contextlib.nullcontext()


def available_cpus() -> int:
    """Count the CPUs this process may use: what the scheduler granted, not what the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
