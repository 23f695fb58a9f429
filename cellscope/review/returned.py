"""Corrections that were made in QuPath: the GeoJSON of a run that came back becomes one edit of each image."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.errors import CellscopeError, DatasetError, InputError, UsageError
from cellscope.imaging.label_edits import TAKE
from cellscope.imaging.polygons import feature_id, mask_of
from cellscope.imaging.taken import Changes, Known, compare_outlines
from cellscope.io.annotations.returned import read_returned
from cellscope.io.corrections import CorrectionLog
from cellscope.io.inputs import stem
from cellscope.io.text import one_line
from cellscope.review.corrector import Corrector
from cellscope.review.opened import GEOJSON, OpenRun
from cellscope.review.writer import Writer

SAMPLED = 500
"""Objects whose area tells how large an object is."""
FEWEST = 0.02
"""Less of the objects than this found again, and the file is of another image."""


@dataclass(frozen=True)
class Taken:
    """What a file changed in an image.

    Attributes
    ----------
    image : str
    counts : mapping
        Kind of change -> objects.
    small, hidden : int
        Outlines left out: too small, or covered by others.
    regions : int
    default_class : str
        What the `unclassed` new objects count as, of several classes; empty where there is but one.
    unclassed : int
    """

    image: str
    counts: Mapping[str, int]
    small: int
    hidden: int
    regions: int
    default_class: str = ""
    unclassed: int = 0


def take_corrections(out: Path, source: Path, *, images: Path | None, who: str, argv: list[str]) -> list[Taken]:
    """Bring corrected GeoJSON files into ``OUT/corrections`` and mark their images as reviewed.

    Parameters
    ----------
    out : Path
        A finished run.
    source : Path
        A corrected file, or a folder of files named as those of the run.
    images : Path, optional
        Where the images are, if they were moved.
    who : str
    argv : list of str

    Returns
    -------
    list of Taken

    Raises
    ------
    UsageError
        The run cannot be corrected so; no file belongs to one of its images.
    InputError
        A file cannot be read, or is of another image. Nothing is changed then.
    """
    run = OpenRun(out, images)
    if not run.review.outlined or not run.correctable:
        raise UsageError(f"{out} holds no outlines to correct; --corrections takes GeoJSON of nuclei")
    files = _files(run, source)
    with closing(CorrectionLog(out, run=run.name, who=who)) as log:
        corrector = Corrector(run)
        edits = {image: _edit(corrector, log, image, path) for image, path in files.items()}
        done = []
        with closing(Writer(run, log, corrector, argv)) as writer:
            for image, (edit, changes, before) in edits.items():
                after = before
                if changes.any or edit["regions"]:
                    after = len(corrector.show(image, [*log.of(image).edits, edit])["objects"])
                    log.add(image, edit=edit)
                log.add(image, reviewed=True)
                writer.changed(image)
                counts = changes.counts()
                hidden = before + counts["added"] - counts["removed"] - after
                classes = _classes(run)
                unclassed = sum("label" not in one and not one["class"] for one in changes.drawn)
                told = (classes[0], unclassed) if len(classes) > 1 else ()
                done.append(Taken(image, counts, changes.small, hidden, len(edit["regions"]), *told))
        if writer.problem:
            raise CellscopeError(f"the corrections are saved, but not all results were written: {writer.problem}")
    return done


def _files(run: OpenRun, source: Path) -> dict[str, Path]:
    """Find the file of each image."""
    if not source.exists():
        raise UsageError(f"{source}: no such file or folder of corrections")
    if source.is_dir():
        found = {
            image: source / f"{stem(image)}{suffix}"
            for image in run.correctable
            for suffix in GEOJSON
            if (source / f"{stem(image)}{suffix}").is_file()
        }
        if not found:
            raise UsageError(
                f"{source} holds no file of an image of {run.out}, such as {stem(run.correctable[0])}.geojson"
            )
        return found
    name = source.name
    for suffix in sorted(GEOJSON, key=len, reverse=True):
        name = name.removesuffix(suffix)
    same = [image for image in run.correctable if Path(stem(image)).name == name]
    if len(same) != 1 and len(run.correctable) == 1:
        same = run.correctable
    if len(same) != 1:
        raise UsageError(
            f"{one_line(source)}: {'no image' if not same else 'more than one image'} of {run.out} is called "
            f"{one_line(name)}; name the file as predict did, or give a folder laid out like {run.out}"
        )
    return {same[0]: source}


def _classes(run: OpenRun) -> list[str]:
    return list(run.review.classes({one["part"]: one for one in run.record["models"]}))


def _edit(corrector: Corrector, log: CorrectionLog, image: str, path: Path) -> tuple[dict[str, Any], Changes, int]:
    run = corrector.run
    shown = corrector.show(image, log.of(image).edits)["objects"]
    classes = _classes(run)
    known = [
        Known(one["label"], one["class"], one["outline"], feature_id(image, one["label"], "nucleus")) for one in shown
    ]
    sample = known[:: max(len(known) // SAMPLED, 1)]
    areas = [int(mask_of(one.outline)[0].sum()) for one in sample]
    try:
        returned, regions = read_returned(path, classes, float(np.median(areas)) if areas else np.inf)
    except DatasetError as error:
        raise InputError(str(error)) from error
    changes = compare_outlines(known, returned)
    again = len(known) - len(changes.removed)
    if known and returned and again < FEWEST * min(len(known), len(returned)):
        raise InputError(
            f"{one_line(path)}: {again} of the {len(returned)} objects in it are among the {len(known)} of {image}; "
            "is it of another image?"
        )
    edit = {
        "do": TAKE,
        "from": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "removed": changes.removed,
        "classes": {str(label): name for label, name in changes.classes.items()},
        "drawn": changes.drawn,
        "regions": regions,
    }
    return edit, changes, len(known)
