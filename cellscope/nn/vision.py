"""torchvision and timm without PyTorch's compiler, whose import takes longer than that of PyTorch itself.

Neither needs it to run our networks:

- ``torchvision.ops.roi_align`` imports ``torch._dynamo`` for one question, which it asks only where deterministic
  algorithms are demanded of a GPU; the compiler is imported when the question comes.
- ``timm`` marks functions of a transformer that is not used here as not to be compiled; the mark imports the compiler.

Importing this module imports torchvision.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any
from unittest import mock

import torch

COMPILER = "torch._dynamo"
ASKED = f"{COMPILER}.utils"
QUESTION = "is_compile_supported"


def _is_compile_supported(device_type: str) -> bool:
    """Ask the compiler itself."""
    answer: bool = getattr(importlib.import_module(ASKED), QUESTION)(device_type)
    return answer


def _import_torchvision() -> None:
    """Import torchvision's operators; as always where the compiler, or torchvision, is there already."""
    if COMPILER in sys.modules or "torchvision" in sys.modules:
        return
    stand_in = ModuleType(ASKED)
    setattr(stand_in, QUESTION, _is_compile_supported)
    sys.modules[ASKED] = stand_in
    try:
        importlib.import_module("torchvision.ops")
    except ImportError:  # it asks more of the compiler than it did: import both as they are
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    finally:
        if sys.modules.get(ASKED) is stand_in:
            del sys.modules[ASKED]
    importlib.import_module("torchvision.ops")


def import_timm() -> ModuleType:
    """Import timm; as always where the compiler, or timm, is there already."""
    if COMPILER in sys.modules or "timm" in sys.modules:
        return importlib.import_module("timm")
    with mock.patch.object(torch.compiler, "disable", _as_it_is):
        return importlib.import_module("timm")


def _as_it_is(function: Callable[..., Any] | None = None, **_: Any) -> Callable[..., Any]:
    """Stand for ``torch.compiler.disable``, with or without arguments."""
    return (lambda decorated: decorated) if function is None else function


_import_torchvision()
