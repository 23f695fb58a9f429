"""Indented JSON as the json module writes it, in a fraction of its time: outlines are long lists of numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from json.encoder import encode_basestring as quoted
from pathlib import Path
from typing import Any

import numpy as np

_NUMBERS = {float, int}
_STEP = "  "


def indented(value: Any) -> str:
    r"""Write a value with an indentation of two, keys in the order given, characters as they are.

    The same text as ``json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)``, which cannot use its compiled
    encoder when it indents.

    Parameters
    ----------
    value : what JSON can hold, also numpy scalars and arrays, tuples and paths

    Raises
    ------
    ValueError
        NaN or infinity anywhere.
    TypeError
        Something JSON cannot hold.

    Examples
    --------
    >>> indented({"a": [1, 2.5], "b": {}})
    '{\n  "a": [\n    1,\n    2.5\n  ],\n  "b": {}\n}'
    """
    return _text(value, "\n")


def plain(value: Any) -> Any:
    """Numpy scalars and arrays, also as keys, and paths become what the json module knows."""
    if isinstance(value, Mapping):
        return {key.item() if isinstance(key, np.generic) else key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return _plain_leaf(value)


def _plain_leaf(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    return value


def _text(value: Any, line: str) -> str:
    """Write a value; `line` is the line end and the indentation of the line it begins on."""
    kind = type(value)
    if kind is str:
        return quoted(value)
    if kind is float:
        return _finite(repr(value))
    if kind is int:
        return repr(value)
    if isinstance(value, Mapping):
        inner = line + _STEP
        pairs = [f"{_key(key)}: {_text(item, inner)}" for key, item in value.items()]
        return _enclosed("{}", pairs, line)
    if isinstance(value, (list, tuple)):
        if set(map(type, value)) <= _NUMBERS:
            return _finite(_enclosed("[]", list(map(repr, value)), line))
        inner = line + _STEP
        return _enclosed("[]", [_text(item, inner) for item in value], line)
    known = _plain_leaf(value)
    if known is not value:
        return _text(known, line)
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _enclosed(brackets: str, texts: list[str], line: str) -> str:
    if not texts:
        return brackets
    inner = line + _STEP
    return f"{brackets[0]}{inner}{f',{inner}'.join(texts)}{line}{brackets[1]}"


def _finite(text: str) -> str:
    """Refuse numbers written ``nan`` or ``inf``; no other has an n."""
    if "n" in text.replace("\n", ""):
        raise ValueError("Out of range float values are not JSON compliant; an undefined value is None")
    return text


def _key(key: Any) -> str:
    if isinstance(key, str):
        return quoted(key)
    if isinstance(key, np.generic):
        key = key.item()
    if key is not None and not isinstance(key, (str, bool, int, float)):
        raise TypeError(f"keys must be text, numbers, truth values or None, not {type(key).__name__}")
    if isinstance(key, float) and not math.isfinite(key):
        raise ValueError("Out of range float values are not JSON compliant, as keys neither")
    written = json.dumps(key, ensure_ascii=False)
    return written if isinstance(key, str) else f'"{written}"'
