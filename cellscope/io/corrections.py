"""What a person corrected in a run: ``OUT/corrections/log.jsonl``, one line per change, with who and when.

Nothing in the file is ever changed: an undone change stays, and a line says that it was undone. The corrections of an
image are what a replay of its lines leaves. A last line cut short by a kill is dropped.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

from cellscope.errors import DatasetError, UsageError
from cellscope.io.annotations.picture import chosen
from cellscope.io.choice import Choice
from cellscope.io.inputs import stem
from cellscope.io.lock import lock
from cellscope.io.table import read_table

SCHEMA = "cellscope.corrections/1"
FOLDER = "corrections"
LOG = "log.jsonl"
HOLDER = "review.json"
"""Says who has the folder open, while it is locked."""


@dataclass
class ImageCorrections:
    """What was corrected in one image.

    Attributes
    ----------
    edits : list of dict
        In force, in order: ``do``, what it needs, ``who``, ``when``.
    undone : list of dict
        That can be made again, the last undone last.
    reviewed : bool
        A person said that the image was looked at.
    revision : int
        Lines about this image.
    """

    edits: list[dict[str, Any]] = field(default_factory=list)
    undone: list[dict[str, Any]] = field(default_factory=list)
    reviewed: bool = False
    revision: int = 0

    def take(self, line: Mapping[str, Any]) -> None:
        """Bring in the next line about this image."""
        self.revision += 1
        said = {name: line[name] for name in ("who", "when") if name in line}
        if "edit" in line:
            self.edits.append({**line["edit"], **said})
            self.undone.clear()
        elif line.get("undo") and self.edits:
            self.undone.append(self.edits.pop())
        elif line.get("redo") and self.undone:
            self.edits.append(self.undone.pop())
        elif "reviewed" in line:
            self.reviewed = bool(line["reviewed"])


def _replay(lines: Iterable[Mapping[str, Any]]) -> dict[str, ImageCorrections]:
    found: dict[str, ImageCorrections] = {}
    for line in lines:
        found.setdefault(str(line["image"]), ImageCorrections()).take(line)
    return found


def _read(stream: Any, path: Path) -> tuple[dict[str, Any] | None, list[dict[str, Any]], int]:
    """Give the header, the lines, and where the last whole line ends."""
    header, lines, end = None, [], 0
    for line in stream:
        if not line.endswith(b"\n"):
            break
        try:
            record = json.loads(line)
        except ValueError:
            break  # blocks of a file can reach the disk out of order when a machine goes down
        if header is None:
            if not isinstance(record, dict) or record.get("schema") != SCHEMA:
                raise UsageError(f"{path} is no log of corrections of this version; move its folder away")
            header = record
        else:
            lines.append(record)
        end += len(line)
    return header, lines, end


def read_corrections(out: Path) -> dict[str, ImageCorrections]:
    """Read what was corrected in a run: image -> corrections; nothing where there are none.

    Raises
    ------
    UsageError
        The log is of another version.
    """
    path = out / FOLDER / LOG
    if not path.is_file():
        return {}
    with path.open("rb") as stream:
        return _replay(_read(stream, path)[1])


@dataclass(frozen=True)
class Reviewed:
    """An image that a person looked at.

    Attributes
    ----------
    image : str
    path : Path
        The input.
    kind : str
    file : callable
        ``file(suffix)`` -> the artefact, corrected or, where nothing was to correct, the original; None for none.
    edits : list of dict
        What was corrected.
    scene : int or None
        Of several in the file.
    """

    image: str
    path: Path
    kind: str
    file: Callable[[str], Path | None]
    edits: list[dict[str, Any]]
    scene: int | None = None


def is_corrected_run(out: Path, assay: str) -> bool:
    """Tell whether `out` holds a run of an assay that was reviewed."""
    return (out / FOLDER / LOG).is_file() and _record(out).get("assay") == assay


def _record(out: Path) -> dict[str, Any]:
    try:
        found = json.loads((out / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def reviewed_images(out: Path, *, scenes: bool = False) -> list[Reviewed]:
    """List the images of a run that a person marked as reviewed; others may be wrong and teach nothing.

    Parameters
    ----------
    out : Path
    scenes : bool
        Whether who asks reads the planes that were looked at; else one of several scenes in a file is refused, and a
        choice of planes (`choosing`) other than the run's, as others would be read.

    Raises
    ------
    DatasetError
        None was; an image is no longer where it was; corrections were not written yet; other planes would be read.
    """
    if not scenes:
        _check_planes(out)
    corrections = read_corrections(out)
    kinds = {row["image"]: row.get("kind", "") for row in read_table(out / "images.csv", ("image",))}
    found = []
    for entry in _record(out).get("inputs", []):
        image = str(entry["image"])
        own = corrections.get(image)
        if own is None or not own.reviewed:
            continue
        path = Path(str(entry["path"]))
        if not path.is_file():
            raise DatasetError(f"{out}: the image {image} is not at {path} any more; put it back")
        scene = entry.get("scene") if PurePosixPath(image).name != path.name else None  # of one alone the name is plain
        if scene is not None and not scenes:
            raise DatasetError(
                f"{out}: {image} is one of several scenes of {path.name}, which is not prepared; export each to a file "
                "of its own"
            )
        folder = out / FOLDER if own.edits else out
        files = partial(artefact, folder, out, image)
        found.append(Reviewed(image, path, kinds.get(image, ""), files, own.edits, scene))
    if not found:
        raise DatasetError(f"{out}: no image was marked as reviewed; only those teach (cellscope review {out})")
    return found


def _check_planes(out: Path) -> None:
    """Refuse a choice of planes other than the run's; ``--scene all`` is a matter of each input."""
    record = _record(out)
    run = asdict(Choice.of(SimpleNamespace(**record.get("options", {}).get(record.get("assay"), {}))))
    for name, now in asdict(chosen()).items():
        if run[name] not in (now, "all"):
            said = f"with --{name} {run[name]}" if run[name] else f"without --{name}"
            raise DatasetError(f"{out}: its images were read {said} when they were reviewed; prepare must do the same")


def corrected_rows(out: Path, table: str) -> dict[str, list[dict[str, str]]]:
    """Read the rows of a table over all images, corrected or not: image -> rows.

    Raises
    ------
    DatasetError
        The tables were not written.
    """
    path = out / FOLDER / f"{table}.csv"
    if not path.is_file():
        raise DatasetError(f"{out}: the corrections are not written yet; open it once more with review")
    found: dict[str, list[dict[str, str]]] = {}
    for row in read_table(path, ("image",)):
        found.setdefault(row["image"], []).append(row)
    return found


def run_facts(out: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Give the models of a run (``part``, ``classes``, ...) and the options that all assays share."""
    record = _record(out)
    return record.get("models", []), record.get("options", {}).get("run", {})


def artefact(folder: Path, out: Path, image: str, suffix: str) -> Path | None:
    """Find a file of an image in `folder`, `out` or its corrections; None for none.

    Raises
    ------
    DatasetError
        `folder` holds corrections, and this one is not written yet.
    """
    name = f"{stem(image)}{suffix}"
    if (folder / name).is_file():
        return folder / name
    if folder != out and (out / name).is_file():
        raise DatasetError(f"{out}: the corrections of {image} are not written yet; open it once more with review")
    return None


class CorrectionLog:
    """The open log of a run, locked against a second person.

    Parameters
    ----------
    out : Path
        The run's folder; ``corrections`` is made in it.
    run : str
        Names the run that is corrected, so that corrections are not applied to another one.
    who : str
        Who makes the changes.

    Attributes
    ----------
    images : dict
        Image -> `ImageCorrections`.

    Raises
    ------
    UsageError
        Another person has it open; the corrections are of another run; the folder cannot be written.
    """

    def __init__(self, out: Path, *, run: str, who: str):
        self.folder = out / FOLDER
        self.who = who
        path = self.folder / LOG
        try:
            self.folder.mkdir(exist_ok=True)
            self._stream = open(path, "a+b")  # noqa: SIM115 - open for as long as the review lasts
        except OSError as error:
            raise UsageError(f"cannot write to {self.folder}: {error.strerror or error}") from None
        try:
            if not lock(self._stream, patience=0.5):
                raise UsageError(f"{out} is being reviewed{self._holder()}; one person at a time")
            self._stream.seek(0)
            header, lines, end = _read(self._stream, path)
            other = header is not None and header.get("run") != run
            self._stream.truncate(end if lines or not other else 0)  # a review in which nothing was done binds nobody
            if header is None or (other and not lines):
                self._write({"schema": SCHEMA, "run": run})
            elif other:
                raise UsageError(
                    f"{self.folder} holds corrections of an earlier run of {out}; move that folder away, or give "
                    "another folder to predict"
                )
        except UsageError:
            self._stream.close()
            raise
        self.images = _replay(lines)

    def _holder(self) -> str:
        try:
            told = json.loads((self.folder / HOLDER).read_text(encoding="utf-8"))
            return f" by {told['who']} since {told['since']}, at {told['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def of(self, image: str) -> ImageCorrections:
        """Give the corrections of an image."""
        return self.images.get(image) or ImageCorrections()

    def add(self, image: str, **what: Any) -> None:
        """Write a line about an image (``edit=``, ``undo=``, ``redo=`` or ``reviewed=``) to the disk, then apply it."""
        line = {"image": image, **what, "who": self.who, "when": now()}
        self._write(line)
        self.images.setdefault(image, ImageCorrections()).take(line)

    def _write(self, record: Mapping[str, Any]) -> None:
        self._stream.seek(0, os.SEEK_END)
        self._stream.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Let go of the folder."""
        (self.folder / HOLDER).unlink(missing_ok=True)
        self._stream.close()


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
