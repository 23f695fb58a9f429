"""Subjects too large to hold: cut into pieces, each kept on disk as soon as it is done, joined when all are.

Pieces go through the stages like subjects of their own, so batches, worker processes and memory bounds are those of
ordinary images. What is done of a subject survives a kill: ``--skip-existing`` goes on with what is missing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellscope.engine.assay import Assay, Result, Subject
from cellscope.engine.large import Pieces
from cellscope.engine.predict.artefacts import raise_if_full
from cellscope.errors import CellscopeError
from cellscope.io.write import atomic, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cellscope.engine.predict.workers import Workers
    from cellscope.engine.progress import RunProgress

AHEAD = 2
"""Pieces read ahead of the networks."""

_KEY = "key.json"
_OBJECTS, _ARTEFACTS, _SUMMARY = "objects/", "artefacts/", "summary"


class Spool(Sequence[Result]):
    """The finished pieces of one subject, on disk; `store` may be called from any thread.

    Parameters
    ----------
    folder
        Holds a file per piece. Pieces of another run (another `key`) are removed.
    count
        Number of pieces.
    key
        JSON that says what the pieces were made from: models, options, file.
    """

    def __init__(self, folder: Path, count: int, key: Mapping[str, Any]):
        self.folder = folder
        self.total = count
        said = {**key, "count": count}
        if not _same(folder / _KEY, said):
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

    def store(self, number: int, result: Result) -> None:
        """Keep what a piece came to: a table, arrays as artefacts, JSON as summary, warnings."""
        arrays = {f"{_OBJECTS}{name}": _column(column) for name, column in result.objects.items()}
        arrays |= {f"{_ARTEFACTS}{name}": np.asarray(value) for name, value in result.artefacts.items()}
        about = json.dumps({"summary": result.summary, "warnings": result.warnings})
        with atomic(self.folder / f"{number:06d}.npz") as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **{_SUMMARY: np.array(about)}, **arrays)
        with self._lock:
            self._done.add(number)

    def __getitem__(self, number: Any) -> Any:
        with np.load(self.folder / f"{number:06d}.npz", allow_pickle=False) as file:
            about = json.loads(str(file[_SUMMARY]))
            table = {name.removeprefix(_OBJECTS): file[name] for name in file.files if name.startswith(_OBJECTS)}
            arrays = {name.removeprefix(_ARTEFACTS): file[name] for name in file.files if name.startswith(_ARTEFACTS)}
        return Result(pd.DataFrame(table), about["summary"], arrays, about["warnings"])

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


@dataclass(eq=False)
class Divided:
    """A subject whose pieces are on their way.

    Attributes
    ----------
    subject
        The whole; its ``seconds`` are those of its pieces together.
    spool
        What is done.
    waiting
        Pieces not yet done.
    writing
        Their files being written.
    failed
        A piece failed: the others are dropped.
    """

    subject: Subject
    spool: Spool
    waiting: int
    writing: deque[Future] = field(default_factory=deque)
    failed: bool = False


class Gatherer:
    """Keep the pieces of subjects as they are done, and say which subjects are whole.

    Parameters
    ----------
    assay
        The assay.
    writers
        Writes the pieces.
    spool
        ``spool(subject, count)`` -> where its pieces are kept.
    failed
        Told of a subject that could not be divided, or a piece of which failed.
    progress, workers
        Count pieces like inputs.
    """

    def __init__(
        self,
        assay: Assay,
        writers: Executor,
        spool: Callable[[Subject, int], Spool],
        *,
        failed: Callable[[Subject, Exception], None],
        progress: RunProgress,
        workers: Workers,
    ):
        self.assay = assay
        self.workers = workers
        self.writers = writers
        self.spool = spool
        self.failed = failed
        self.progress = progress
        self._under_way: dict[str, Divided] = {}
        self._whole: deque[Divided] = deque()

    def begin(self, subject: Subject, count: int) -> Divided:
        """Note a subject that was divided, before its first piece is read."""
        spool = self.spool(subject, count)
        divided = Divided(subject, spool, len(spool.missing))
        self.progress.more(divided.waiting)
        self.workers.expect(divided.waiting)
        if divided.waiting:
            self._under_way[subject.name] = divided
        else:
            self._whole.append(divided)
        return divided

    def give_up(self, subject: Subject, error: Exception) -> None:
        """Fail a subject, once."""
        divided = self._under_way.pop(subject.name, None)
        if divided is not None:
            divided.failed = True
            self.progress.more(-divided.waiting)
            subject = divided.subject
        self.failed(subject, error)

    def take(self, piece: Subject, result: Result | None, error: Exception | None, out: Path) -> None:
        """Keep what a piece came to.

        Raises
        ------
        CellscopeError
            There is no room to write to `out`.
        """
        divided = self._under_way.get(piece.name)
        if divided is None:
            return  # failed, or done with
        divided.subject.seconds += piece.seconds
        if result is None:
            assert error is not None
            self.give_up(piece, error)
            return
        assert piece.piece is not None
        divided.writing.append(self.writers.submit(divided.spool.store, piece.piece, result))
        divided.waiting -= 1
        self.progress.step()
        try:
            # At most two wait to be written, so that a slow disk holds up the work and not the memory.
            while divided.writing and (not divided.waiting or len(divided.writing) > 2 or divided.writing[0].done()):
                divided.writing.popleft().result()
        except Exception as problem:
            raise_if_full(problem, out)
            self.give_up(piece, problem)
            return
        if not divided.waiting:
            self._whole.append(self._under_way.pop(piece.name))

    def whole(self) -> Iterator[Divided]:
        """Hand over the subjects whose pieces are all there."""
        while self._whole:
            yield self._whole.popleft()


class Divider:
    """Hand on subjects, and the pieces of those that the assay divides, read ahead by a thread.

    Parameters
    ----------
    assay
        The assay.
    subjects
        In order.
    gatherer
        Told of every subject that was divided.
    """

    def __init__(self, assay: Assay, subjects: Iterable[Subject], gatherer: Gatherer):
        self.assay = assay
        self.subjects = subjects
        self.gatherer = gatherer
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="piece")

    def __iter__(self) -> Iterator[Subject]:
        for subject in self.subjects:
            try:
                pieces = None if self.assay.divide is None else self.assay.divide(subject)
            except Exception as error:
                self.gatherer.give_up(subject, error)
                continue
            if pieces is None:
                yield subject
            else:
                yield from self._pieces(subject, pieces)
            del subject, pieces  # not kept alive while the next one is awaited

    def _pieces(self, subject: Subject, pieces: Pieces) -> Iterator[Subject]:
        divided = self.gatherer.begin(subject, pieces.count)
        numbers = deque(divided.spool.missing)
        ahead: deque[Future] = deque()
        while (numbers or ahead) and not divided.failed:
            while numbers and len(ahead) <= AHEAD:
                ahead.append(self._pool.submit(pieces.read, numbers.popleft()))
            try:
                piece = [ahead.popleft().result()]
            except Exception as error:
                self.gatherer.give_up(subject, error)
            else:
                yield piece.pop()
        for future in ahead:
            future.cancel()
        self._pool.submit(pieces.close)

    def close(self) -> None:
        """Stop reading ahead."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def spool_name(image: str) -> str:
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
