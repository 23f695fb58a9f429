"""Measured items on disk: what resumes an evaluation, and what its shards hand on. One file per item."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellscope.errors import CellscopeError
from cellscope.io.write import atomic

FOLDER = "items"
_TREE = "tree"
_PLAIN = (bool, int, float, str)


@dataclass(frozen=True)
class Kept:
    """What became of an item.

    Attributes
    ----------
    name : str
    result : any
        What the assay's ``conclude`` gave.
    verdict : any
        How familiar it is.
    error : str
        Why nothing came of it; empty where something did.
    """

    name: str
    result: Any = None
    verdict: Any = None
    error: str = ""


def path_of(folder: Path, part: int, name: str) -> Path:
    """Give the file of an item; `part` tells apart the parts of an evaluation that may share items, such as folds."""
    return folder / FOLDER / f"{hashlib.sha256(f'{part}/{name}'.encode()).hexdigest()[:32]}.npz"


def keep(folder: Path, part: int, item: Kept) -> None:
    """Write an item, whole or not at all."""
    path = path_of(folder, part, item.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        temporary.write_bytes(pack(item))


def kept(folder: Path, part: int, name: str) -> Kept | None:
    """Read an item; None where there is none.

    Raises
    ------
    CellscopeError
        Its file is damaged, or of another version.
    """
    path = path_of(folder, part, name)
    found = _read(path, unpack)
    if found is None:
        return None
    if not isinstance(found, Kept) or found.name != name:
        raise CellscopeError(f"{path} holds another item; measure again with --overwrite")
    return found


def error_of(folder: Path, part: int, name: str) -> str | None:
    """Say why nothing came of an item: empty where something did, None where it is not done. Raises as `kept`."""
    error: str | None = _read(path_of(folder, part, name), lambda data: _tree(data)["fields"]["error"])
    return error


def _read(path: Path, parse: Callable[[bytes], Any]) -> Any:
    """Parse a file; None where there is none."""
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise CellscopeError(f"{path} cannot be read ({error}); measure again with --overwrite") from error


def _tree(data: bytes) -> Any:
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return json.loads(stored[_TREE].tobytes())


def pack(value: Any) -> bytes:
    """Write numbers, text, arrays, tables, containers and dataclasses of these as an npz file, without pickle.

    Raises
    ------
    TypeError
        Something else is among them.
    """
    arrays: list[np.ndarray] = []
    tree = _pack(value, arrays)
    named = {str(number): array for number, array in enumerate(arrays)}
    stream = io.BytesIO()
    np.savez(stream, **named, **{_TREE: np.frombuffer(json.dumps(tree).encode(), np.uint8)})  # type: ignore[arg-type]
    return stream.getvalue()


def unpack(data: bytes) -> Any:
    """Read what `pack` wrote. Classes are those of modules that are loaded; none is imported, no code is run."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        tree = json.loads(stored[_TREE].tobytes())
        return _unpack(tree, stored)


def _pack(value: Any, arrays: list[np.ndarray]) -> Any:
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, bytes):  # run-length codes
        arrays.append(np.frombuffer(value, np.uint8))
        return {"bytes": len(arrays) - 1}
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufcUS":
        arrays.append(np.asarray(value))
        return {"array": len(arrays) - 1, "scalar": isinstance(value, np.generic)}
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return {"objects": [_pack(one, arrays) for one in value.ravel()], "shape": list(value.shape)}
    if isinstance(value, pd.DataFrame):
        columns = [
            [_pack(name, arrays), str(column.dtype), _pack(_numbers(column), arrays)] for name, column in value.items()
        ]
        return {"table": columns, "rows": _pack(value.index.to_numpy(), arrays)}
    if is_dataclass(value) and not isinstance(value, type):
        inner = {field.name: _pack(getattr(value, field.name), arrays) for field in fields(value)}
        return {"of": [type(value).__module__, type(value).__qualname__], "fields": inner}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        inner = {name: _pack(getattr(value, name), arrays) for name in value._fields}
        return {"of": [type(value).__module__, type(value).__qualname__], "fields": inner}
    for kind, made in (("list", list), ("tuple", tuple), ("set", (set, frozenset))):
        if isinstance(value, made):
            return {kind: [_pack(one, arrays) for one in value]}
    if isinstance(value, dict):
        return {"dict": [[_pack(key, arrays), _pack(one, arrays)] for key, one in value.items()]}
    raise TypeError(f"{type(value).__qualname__} cannot be kept")


def _numbers(column: pd.Series) -> Any:
    """Give a column's values as an array where numpy knows its type, as a list otherwise."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return column.to_numpy()
    return [None if one is pd.NA else one for one in column]


def _unpack(tree: Any, stored: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        array = stored[str(tree["array"])]
        return array[()] if tree["scalar"] else array
    if "bytes" in tree:
        return stored[str(tree["bytes"])].tobytes()
    if "objects" in tree:
        made = np.empty(len(tree["objects"]), object)
        for number, one in enumerate(tree["objects"]):
            made[number] = _unpack(one, stored)
        return made.reshape(tree["shape"])
    if "table" in tree:
        rows = _unpack(tree["rows"], stored)
        names = [_unpack(name, stored) for name, _, _ in tree["table"]]
        columns = [pd.Series(_unpack(values, stored), index=rows, dtype=kind) for _, kind, values in tree["table"]]
        frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=rows)
        frame.columns = names
        return frame
    if "of" in tree:
        module, qualified = tree["of"]
        return _revive(module, qualified, {name: _unpack(one, stored) for name, one in tree["fields"].items()})
    if "dict" in tree:
        return {_unpack(key, stored): _unpack(one, stored) for key, one in tree["dict"]}
    for kind, made_of in (("list", list), ("tuple", tuple), ("set", set)):
        if kind in tree:
            return made_of(_unpack(one, stored) for one in tree[kind])
    raise ValueError("unknown entry")


def _revive(module: str, name: str, values: dict[str, Any]) -> Any:
    """Make an instance without calling anything of its class; of a named tuple, without more than its constructor."""
    found: Any = sys.modules.get(module)
    for word in name.split("."):
        found = getattr(found, word, None)
    if isinstance(found, type) and is_dataclass(found):
        if {field.name for field in fields(found)} != set(values):
            raise ValueError(f"{name} has other fields in this version")
        made = object.__new__(found)
        for key, value in values.items():
            object.__setattr__(made, key, value)
        return made
    if isinstance(found, type) and issubclass(found, tuple) and getattr(found, "_fields", None) == tuple(values):
        return tuple.__new__(found, values.values())
    raise ValueError(f"{name} is not known in this version")
