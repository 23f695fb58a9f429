"""``cellscope karyotype render``: find the ``karyotype.json`` files and their images, and draw them again."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from cellscope.assays.karyotype.cell.document import SCHEMA
from cellscope.assays.karyotype.editing.rerender import render_assay
from cellscope.engine.predict.plan import predict
from cellscope.errors import UsageError
from cellscope.io.corrections import FOLDER, LOG
from cellscope.io.document import read_json
from cellscope.io.inputs import Input, resolve_inputs
from cellscope.io.text import one_line

if TYPE_CHECKING:
    from cellscope.assays.karyotype.options import RenderOptions
    from cellscope.engine.predict.session import RunOutcome
    from cellscope.options.common import RunOptions

ENDING = ".karyotype.json"
COPY = re.compile(r"\.karyotype ?\(\d+\)\.json$")
"""What browsers call a file that is saved once more beside the one before."""


def render(
    arguments: list[str], out: Path, *, run: RunOptions, options: RenderOptions, models: list[str], argv: list[str]
) -> RunOutcome:
    """Draw changed cells and write everything that ``predict`` writes, counts and drafts included.

    Parameters
    ----------
    arguments : list of str
        ``*.karyotype.json`` files, folders of them, ``@list.txt``.
    out : Path
    run, options
    models : list of str
        A classifier for pieces of a new shape; the built-in one when not given.
    argv : list of str

    Returns
    -------
    RunOutcome
        As of ``predict``.

    Raises
    ------
    UsageError
        No such file, one that is no ``karyotype.json``, two of one image, an image that cannot be found.
    """
    found = resolve_inputs(arguments, {".json"}, glob=run.glob or "**/*.karyotype*.json", limit=run.limit)
    found = _newest([entry for entry in found if run.glob or _is_meant(entry.path, arguments)], quiet=run.quiet)
    documents: dict[str, Mapping[str, Any]] = {}
    plan: list[Input] = []
    for entry in found:
        if _superseded(entry.path):
            continue
        document = read_json(entry.path)
        if not isinstance(document, dict) or document.get("schema") != SCHEMA or not document.get("image"):
            raise UsageError(f"{entry.path}: this is not a karyotype.json of `karyotype predict`")
        image = str(document["image"])
        if image in documents:
            raise UsageError(f"{entry.path}: a second karyotype.json of the image {image}; give one of them")
        documents[image] = document
        plan.append(Input(image_of(document, entry.path, options.images), image))
    return predict(
        render_assay(documents), arguments, out, run=run, options=options, models=models, argv=argv, plan=plan,
        command="render",
    )  # fmt: skip


def _is_meant(path: Path, arguments: list[str]) -> bool:
    """Tell a file that was named, or has the name of a ``karyotype.json``, from others of a folder."""
    given = any(Path(argument).resolve() == path.resolve() for argument in arguments)
    return given or path.name.endswith(ENDING) or COPY.search(path.name) is not None


def _newest(entries: list[Input], *, quiet: bool) -> list[Input]:
    """Of a file and its later copies (``name (1).json``) take the one saved last, and say so."""
    saved: dict[Path, list[Input]] = {}
    for entry in entries:
        saved.setdefault(entry.path.parent / COPY.sub(ENDING, entry.path.name), []).append(entry)
    kept = []
    for several in saved.values():
        newest = max(several, key=lambda entry: (entry.path.stat().st_mtime_ns, entry.path.name))
        kept.append(newest)
        if len(several) > 1 and not quiet:
            names = ", ".join(one_line(entry.path.name) for entry in several if entry is not newest)
            print(f"{one_line(newest.path)} was saved last and is taken, not {names}", file=sys.stderr)
    return kept


def _superseded(path: Path) -> bool:
    """Tell whether `path` is an original of a run whose image a person corrected: the corrected file counts."""
    return any(
        (folder / FOLDER / LOG).is_file() and (folder / FOLDER / path.relative_to(folder)).is_file()
        for folder in path.parents
    )


def image_of(document: Mapping[str, Any], path: Path, images: str | None) -> Path:
    """Find the image of a ``karyotype.json``.

    Looked for, in this order: where `images` says; where the run that wrote the file read it (``run.json`` in its
    folder or one above, or ``source`` in the document, which a report's page adds); beside the file.

    Raises
    ------
    UsageError
        It is nowhere.
    """
    image = PurePosixPath(str(document["image"]))
    if images is not None:
        given = Path(images)
        places = [given] if given.is_file() else [given / image, given / image.name]
    else:
        places = [*_recorded(path, str(image)), path.parent / image.name]
        if document.get("source"):
            places.insert(0, Path(str(document["source"])))
    for place in places:
        if place.is_file():
            return place
    raise UsageError(f"{path}: its image {image} is not to be found; say where it is with --images FOLDER")


def _recorded(path: Path, image: str) -> list[Path]:
    """Where runs that wrote into the folder of `path`, or into one above it, read the image."""
    places = []
    for folder in list(path.resolve().parents)[: len(PurePosixPath(image).parts)]:
        records = [folder / "run.json", *sorted(folder.glob("shards/*/run.json"))]
        for record in records:
            if not record.is_file():
                continue
            try:
                listed = read_json(record).get("inputs", [])
            except (UsageError, AttributeError):
                continue
            places += [Path(str(entry["path"])) for entry in listed if entry.get("image") == image]
    return places
