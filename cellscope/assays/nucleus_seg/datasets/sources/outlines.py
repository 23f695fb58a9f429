"""Outlines of nuclei, and of cells where there are any, that other programs wrote: COCO, QuPath, LabelMe, ..."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from cellscope.assays.nucleus_seg.classes import BACKGROUND, CYTOPLASM, NUCLEUS, OUTSIDE
from cellscope.assays.nucleus_seg.datasets.sources.smear_record import Annotated, Record
from cellscope.errors import DatasetError, InputError
from cellscope.imaging.smear import to_rgb8
from cellscope.io.annotations.formats import FORMATS
from cellscope.io.annotations.outline import AnnotatedImage, Outline, draw
from cellscope.io.annotations.pairing import IMAGE_FOLDERS
from cellscope.io.annotations.picture import read_picture
from cellscope.io.annotations.tally import drop, note
from cellscope.io.choice import Wants
from cellscope.io.text import one_line


class Outlines:
    """A reader of one format of outlines: a name in `cellscope.io.annotations.formats.FORMATS`."""

    def __init__(self, format: str):
        self.format = FORMATS[format]

    def detect(self, folder: Path) -> bool:
        """Tell whether `folder` holds annotations of the format."""
        return self.format.detect(folder)

    def read(self, folder: Path) -> Iterator[Record]:
        """Yield one record per annotated image; a ``group`` or ``case`` in the file, else the sub-folder groups.

        A class with "nucle" in its name is the nucleus; one with "cytoplasm" or "cell" the cell, whose rest is
        cytoplasm. Without a class of nuclei all other classes are taken for nuclei, which is said.

        Raises
        ------
        DatasetError
            If something in the files is wrong, or the only class is that of cells.
        """
        images = self.format.read(folder)
        parts = parts_of({outline.class_ for image in images for outline in image.outlines}, folder)
        top = folder if folder.is_dir() else folder.parent
        stems = Counter(image.name for image in images)
        for image in images:
            inner = [part for part in image.path.relative_to(top).parts[:-1] if part.lower() not in IMAGE_FOLDERS]
            name = image.name if stems[image.name] == 1 else "-".join([*inner, image.name])
            group = str(image.facts.get("group") or image.facts.get("case") or "-".join(inner) or name)
            yield Record(name, image.path, partial(load, image, parts), group)


def parts_of(classes: set[str], folder: Path) -> dict[str, int]:
    """Tell which classes are nuclei (`NUCLEUS`) and which are cells (`CYTOPLASM`); others are missing.

    Raises
    ------
    DatasetError
        If there are cells only.
    """
    nuclei = {name for name in classes if "nucle" in name.lower()}
    cells = {name for name in classes - nuclei if "cytoplasm" in name.lower() or "cell" in name.lower()}
    others = classes - nuclei - cells
    if not nuclei and others:
        if others != {""}:
            listed = ", ".join(one_line(name or "of no class") for name in sorted(others)[:5])
            note(f"no class is called nucleus: objects of {listed} are taken for nuclei")
        nuclei, others = others, set()
    if cells and not nuclei:
        raise DatasetError(
            f"{one_line(folder)}: the only class is {one_line(min(cells))!r}: nuclei or whole cells? Call the class of "
            "nuclei nucleus"
        )
    return dict.fromkeys(nuclei, NUCLEUS) | dict.fromkeys(cells, CYTOPLASM)


def load(image: AnnotatedImage, parts: dict[str, int]) -> Annotated:
    """Read an image and draw its outlines: cells first, nuclei on top.

    Raises
    ------
    DatasetError
        If an object has only a box, an outline lies outside the image, or the image is of another size than stated.
    """
    try:
        pixels = to_rgb8(read_picture(image.path, Wants.COLOUR).pixels, str(image.path))
    except InputError as error:
        raise DatasetError(str(error)) from error
    shape = pixels.shape[:2]
    image.check(shape)
    codes = np.full(shape, BACKGROUND if CYTOPLASM in parts.values() else OUTSIDE, np.uint8)
    labels = np.zeros(shape, np.int32)
    for code in (CYTOPLASM, NUCLEUS):
        chosen = _usable([outline for outline in image.outlines if parts.get(outline.class_) == code], image)
        labels = draw(image, chosen, shape)
        codes[labels > 0] = code
    for outline in image.outlines:
        if outline.class_ not in parts:
            drop(f"objects of the class {outline.class_ or 'none'}", image.source, outline.name)
    return Annotated(pixels, codes, labels)


def _usable(outlines: Sequence[Outline], image: AnnotatedImage) -> list[Outline]:
    kept = []
    for outline in outlines:
        if outline.crowd:
            drop("crowds: areas in which nothing is outlined singly", image.source, outline.name)
        elif outline.geometry is None:
            raise DatasetError(
                f"{one_line(image.source)}: {outline.name} has no outline ({one_line(image.path.name)}); nuclei need "
                "one, a box is not enough"
            )
        else:
            kept.append(outline)
    return kept
