"""The finished pieces of a divided subject, on disk until it is whole: what a kill does not undo."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellscope.engine.assay import Result, Subject
from cellscope.engine.familiarity.judge import average
from cellscope.engine.subject import Features
from cellscope.errors import CellscopeError
from cellscope.io.durable import settle
from cellscope.io.write import atomic, write_json

_KEY = "key.json"
_OBJECTS, _ARTEFACTS, _FEATURES, _SUMMARY = "objects/", "artefacts/", "features/", "summary"


class PieceStore(Sequence[Result]):
    """The finished pieces of one subject, on disk; `put` may be called from any thread.

    Parameters
    ----------
    folder
        Holds a file per piece. Pieces of another run (another `key`) are removed.
    count
        Number of pieces.
    key
        JSON that says what the pieces were made from: models, options, file.
    shared
        Other processes use it too: it is there, and never removed.

    Raises
    ------
    CellscopeError
        It is shared, and made from something else.
    """

    def __init__(self, folder: Path, count: int, key: Mapping[str, Any], *, shared: bool = False):
        self.folder = folder
        self.total = count
        said = {**key, "count": count}
        if not _same(folder / _KEY, said):
            if shared:
                raise CellscopeError(f"{folder}: pieces of another file, model or options; was the input changed?")
            shutil.rmtree(folder, ignore_errors=True)
            write_json(folder / _KEY, said)
        self._done = {int(path.stem) for path in folder.glob("*.npz") if path.stem.isdecimal()}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[Result]:
        return (self[number] for number in range(self.total))

    @property
    def missing(self) -> list[int]:
        """Numbers of the pieces that are not there yet, in order."""
        with self._lock:
            return [number for number in range(self.total) if number not in self._done]

    def put(self, number: int, result: Result, features: Mapping[str, Features] | None = None) -> None:
        """Keep what a piece came to: a table, arrays as artefacts, JSON as summary, warnings; and its features."""
        arrays = {f"{_OBJECTS}{name}": _column(column) for name, column in result.objects.items()}
        arrays |= {f"{_ARTEFACTS}{name}": np.asarray(value) for name, value in result.artefacts.items()}
        known = features or {}
        arrays |= {f"{_FEATURES}{part}": one.values for part, one in known.items()}
        weights = {part: one.weight for part, one in known.items()}
        about = json.dumps({"summary": result.summary, "warnings": result.warnings, "weights": weights})
        with atomic(self.folder / f"{number:06d}.npz") as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **{_SUMMARY: np.array(about)}, **arrays)
        settle([self.folder / f"{number:06d}.npz"])
        with self._lock:
            self._done.add(number)

    def __getitem__(self, number: Any) -> Any:
        with np.load(self.folder / f"{number:06d}.npz", allow_pickle=False) as file:
            about = json.loads(str(file[_SUMMARY]))
            table = {name.removeprefix(_OBJECTS): file[name] for name in file.files if name.startswith(_OBJECTS)}
            arrays = {name.removeprefix(_ARTEFACTS): file[name] for name in file.files if name.startswith(_ARTEFACTS)}
        return Result(pd.DataFrame(table), about["summary"], arrays, about["warnings"])

    def features(self) -> dict[str, Features]:
        """Average the features of all pieces, in their order."""
        found: dict[str, list[Features]] = {}
        for number in range(self.total):
            with np.load(self.folder / f"{number:06d}.npz", allow_pickle=False) as file:
                for part, weight in json.loads(str(file[_SUMMARY])).get("weights", {}).items():
                    found.setdefault(part, []).append(Features(file[f"{_FEATURES}{part}"], weight))
        means = {part: average(each) for part, each in found.items()}
        return {part: mean for part, mean in means.items() if mean is not None}

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _column(column: pd.Series) -> np.ndarray:
    values = column.to_numpy()
    return values if values.dtype != object else values.astype(str)


def _same(path: Path, said: Mapping[str, Any]) -> bool:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(found == json.loads(json.dumps(said)))


class PieceStores:
    """Where the pieces of a run's subjects are kept.

    Parameters
    ----------
    folder
        Of all of them.
    paths
        Image -> its file, absolute.
    identity
        Of the run, see `cellscope.engine.provenance.identity`: pieces made by other models or options do not count.
    shared
        See `PieceStore`.
    """

    def __init__(self, folder: Path, *, paths: Mapping[str, str], identity: Mapping[str, Any], shared: bool = False):
        self.folder = folder
        self.paths = paths
        self.identity = identity
        self.shared = shared

    def open(self, subject: Subject, count: int) -> PieceStore:
        """Open the store of one subject's pieces, with those that an earlier run left.

        Raises
        ------
        CellscopeError
            The subject's file is gone.
        """
        key = {"identity": self.identity, "file": file_key(Path(self.paths[subject.name]))}
        return PieceStore(self.folder / store_name(subject.name), count, key, shared=self.shared)


def store_name(image: str) -> str:
    """Return a folder name for an image that no other image has, whatever its characters."""
    return hashlib.sha256(image.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def file_key(path: Path) -> dict[str, Any]:
    """Return what tells a file from another or a changed one.

    Raises
    ------
    CellscopeError
        It is gone.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise CellscopeError(f"{path}: {error.strerror}") from None
    return {"path": str(path), "bytes": facts.st_size, "modified": facts.st_mtime_ns}
