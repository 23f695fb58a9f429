"""cellscope: microscope images of cells in; tables, pictures and reports out."""

import importlib
from typing import Any

__version__ = "0.1.0"

_DOORS = {
    "predict": "cellscope.api",
    "train": "cellscope.api",
    "evaluate": "cellscope.api",
    "prepare": "cellscope.api",
    "export": "cellscope.api",
    "open": "cellscope.results",
    "Run": "cellscope.results",
    "Evaluation": "cellscope.results",
}


def __getattr__(name: str) -> Any:
    """Import a function when it is first used: ``import cellscope`` imports neither torch, numpy nor pandas."""
    if name not in _DOORS:
        raise AttributeError(f"module 'cellscope' has no attribute {name!r}")
    found = getattr(importlib.import_module(_DOORS[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Name the functions that are imported late, too."""
    return sorted({*globals(), *_DOORS})
