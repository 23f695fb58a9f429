"""Outlines of nuclei and micronuclei from other programs: COCO, QuPath, LabelMe, VIA, CVAT, ImageJ.

Either micronuclei are outlined as objects of their own, each of which belongs to the nearest nucleus; or the class of a
nucleus says whether its cell carries any.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from skimage.measure import regionprops

from cellscope.assays.micronucleus.classes import MICRONUCLEUS, NORMAL, parse_class
from cellscope.assays.micronucleus.classify.crops import owners
from cellscope.assays.micronucleus.datasets.sources.field_record import FieldRecord
from cellscope.assays.micronucleus.datasets.sources.mnfinder import SMALLEST
from cellscope.assays.micronucleus.field.field import grey_of, to_integers
from cellscope.errors import DatasetError, InputError
from cellscope.io.annotations.formats import FORMATS
from cellscope.io.annotations.outline import AnnotatedImage, Outline, draw
from cellscope.io.annotations.pairing import IMAGE_FOLDERS
from cellscope.io.annotations.picture import read_picture
from cellscope.io.annotations.tally import drop
from cellscope.io.choice import Wants
from cellscope.io.text import one_line

NUCLEUS, BODY = "nucleus", "micronucleus outlined"
"""What a class can mean besides the two classes of cells: a nucleus of no class, and a micronucleus as an object."""

SMALL = 0.25
"""Objects called micronucleus of less than this share of a nucleus's area are micronuclei, larger ones are cells."""

_BODIES = re.compile(r"(micronucle(us|i)|mn|mni)s?", re.IGNORECASE)


class Outlines:
    """A reader of one format of outlines: a name in `cellscope.io.annotations.formats.FORMATS`."""

    def __init__(self, format: str):
        self.format = FORMATS[format]

    def detect(self, source: Path) -> bool:
        """Tell whether `source` holds annotations of the format."""
        return self.format.detect(source)

    def read_source(self, source: Path, options: Any) -> Iterator[FieldRecord]:
        """Yield the annotated fields; sub-folders are cell lines.

        Raises
        ------
        DatasetError
            If something in the files is wrong, or no class tells which cells carry micronuclei.
        """
        images = self.format.read(source)
        meanings = meanings_of(images, source)
        top = source if source.is_dir() else source.parent
        stems = Counter(image.name for image in images)
        for image in images:
            inner = [part for part in image.path.relative_to(top).parts[:-1] if part.lower() not in IMAGE_FOLDERS]
            name = image.name if stems[image.name] == 1 else "-".join([*inner, image.name])
            yield field_of(image, name, "-".join(inner) or source.resolve().stem, meanings)


def meanings_of(images: list[AnnotatedImage], source: Path) -> dict[str, str]:
    """Tell what the classes of a source mean: `NUCLEUS`, `BODY`, or a class of cells; others are missing.

    Raises
    ------
    DatasetError
        If no class tells which cells carry micronuclei, or no nucleus is outlined.
    """
    found: dict[str, str] = {}
    sizes: dict[str, list[float]] = {}
    for image in images:
        for outline in image.outlines:
            if outline.geometry is not None:
                x0, y0, x1, y1 = outline.geometry.box
                sizes.setdefault(outline.class_, []).append((x1 - x0) * (y1 - y0))
    for name in sizes:
        class_ = parse_class(name)
        if class_ is not None:
            found[name] = class_
        elif name == "" or "nucle" in name.lower() or "cell" in name.lower():
            found[name] = NUCLEUS
    nuclei = [size for name, meaning in found.items() if not _BODIES.fullmatch(name) for size in sizes[name]]
    for name in found:
        if _BODIES.fullmatch(name) and nuclei and np.median(sizes[name]) < SMALL * np.median(nuclei):
            found[name] = BODY
    known = set(found.values())
    shown = ", ".join(one_line(name or "no class") for name in sorted(sizes)[:8]) or "none"
    if not known & {NUCLEUS, NORMAL, MICRONUCLEUS}:
        raise DatasetError(f"{one_line(source)}: no nucleus is outlined; the classes are {shown}")
    if BODY not in known and not known & {NORMAL, MICRONUCLEUS}:
        raise DatasetError(
            f"{one_line(source)}: no class tells which cells carry micronuclei (there are {shown}); outline "
            "micronuclei as objects of the class micronucleus, or call the classes of nuclei normal and micronucleus"
        )
    return found


def field_of(image: AnnotatedImage, name: str, line: str, meanings: dict[str, str]) -> FieldRecord:
    """Read a field and draw its outlines."""
    try:
        picture = read_picture(image.path, Wants.STAIN)
        grey = grey_of(picture.pixels, image.path.name)
    except InputError as error:
        raise DatasetError(str(error)) from error
    image.check(grey.shape)
    usable = _usable(image, meanings)
    cells = [outline for outline in usable if meanings[outline.class_] != BODY]
    nuclei = draw(image, cells, grey.shape)
    given = {number: meanings[outline.class_] for number, outline in enumerate(cells, 1)}
    visible = set(np.unique(nuclei).tolist()) - {0}
    classes = {number: class_ for number, class_ in given.items() if class_ != NUCLEUS and number in visible}
    stored = to_integers(grey, picture.pixels.dtype)
    if BODY not in meanings.values():
        return FieldRecord(name, line, stored, nuclei, None, classes=classes)
    bodies = [outline for outline in usable if meanings[outline.class_] == BODY]
    micronuclei = draw(image, bodies, grey.shape)
    owner = owners(nuclei) if visible else nuclei
    parents = {}
    for region in regionprops(micronuclei):
        row, column = (round(place) for place in region.centroid)
        parent = int(owner[row, column])
        if not parent:
            drop("micronuclei without a nucleus near them", image.source, bodies[region.label - 1].name)
            continue
        parents[int(region.label)] = parent
    areas = np.bincount(micronuclei.ravel())
    carriers = {parent for number, parent in parents.items() if areas[number] >= SMALLEST}
    seen = {number: MICRONUCLEUS if number in carriers else NORMAL for number in visible}
    return FieldRecord(name, line, stored, nuclei, micronuclei, parents, dict(sorted((seen | classes).items())))


def _usable(image: AnnotatedImage, meanings: dict[str, str]) -> list[Outline]:
    kept = []
    for outline in image.outlines:
        if outline.crowd:
            drop("crowds: areas in which nothing is outlined singly", image.source, outline.name)
        elif outline.geometry is None:
            raise DatasetError(
                f"{one_line(image.source)}: {outline.name} has no outline ({one_line(image.path.name)}); nuclei need "
                "one, a box is not enough"
            )
        elif outline.class_ not in meanings:
            drop(f"objects of the class {outline.class_}", image.source, outline.name)
        else:
            kept.append(outline)
    return kept
