"""Outlines of nuclei from other programs: COCO, QuPath, LabelMe, VIA, CVAT, Aperio's XML and ImageJ's ROI sets."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from cellscope.assays.histo.datasets.sources.tissue_record import (
    Annotated,
    Choices,
    Record,
    Source,
    colour,
    group_of,
    open_image,
)
from cellscope.errors import DatasetError
from cellscope.io.annotations.areas import unknown_area
from cellscope.io.annotations.formats import FORMATS, Format
from cellscope.io.annotations.outline import AnnotatedImage, Outline, draw
from cellscope.io.annotations.tally import drop
from cellscope.io.text import one_line

NO_TYPE = ("nucleus", "nuclei", "nuclear", "cell")
"""Classes that name no type."""


class Outlines:
    """A reader of one format of outlines.

    Parameters
    ----------
    format : str
        A name in `cellscope.io.annotations.formats.FORMATS`.
    """

    def __init__(self, format: str):
        self.format: Format = FORMATS[format]
        self.splits = format == "aperio"

    def detect(self, folder: Path) -> bool:
        """Tell whether `folder` holds annotations of the format."""
        return self.format.detect(folder)

    def read(self, folder: Path, choices: Choices) -> Source:
        """List the annotated images; a ``group`` or ``case`` in the file, else a TCGA case, else the image groups.

        The types are those of ``--classes``, else the classes that objects have, COCO's in the order of their ids. One
        class named nucleus is no type. Of MoNuSeg a folder named ``*test*`` is the test split.

        Raises
        ------
        DatasetError
            If something in the files is wrong, or a class is not among ``--classes``.
        """
        images = self.format.read(folder)
        classes = _classes(images, choices, folder)
        stems = Counter(image.name for image in images)
        records = []
        for image in images:
            inner = image.path.relative_to(folder if folder.is_dir() else folder.parent).with_suffix("").parts
            name = image.name if stems[image.name] == 1 else "-".join(inner)
            group = str(image.facts.get("group") or image.facts.get("case") or group_of(image.name))
            parts = image.source.relative_to(folder).parts[:-1] if self.splits else ()
            split = "test" if any("test" in part.lower() for part in parts) else ""
            records.append(Record(name, image.source, partial(load, image, classes), group, split))
        return Source(records, classes)


def _classes(images: list[AnnotatedImage], choices: Choices, folder: Path) -> tuple[str, ...]:
    named = {outline.class_ for image in images for outline in image.outlines} - {""}
    order = list(dict.fromkeys(name for image in images for name in image.facts.get("categories", ())))
    used = [name for name in order if name in named] + sorted(named - set(order))
    if all(name.lower() in NO_TYPE for name in used) and not named & set(choices.classes):
        return ()
    unknown = sorted(named - set(choices.classes)) if choices.classes else []
    if unknown:
        raise DatasetError(
            f"{one_line(folder)}: the class {one_line(unknown[0])!r} is not among --classes "
            f"{', '.join(choices.classes)}"
        )
    return choices.classes or tuple(used)


def load(image: AnnotatedImage, classes: tuple[str, ...]) -> Annotated:
    """Read an image and draw its outlines.

    Raises
    ------
    DatasetError
        If an object has only a box, an outline lies outside the image, or the image is of another size than stated.
    """
    picture = open_image(image.path)
    pixels = colour(picture, image.path)
    shape = pixels.shape[:2]
    image.check(shape)
    single = [outline for outline in image.outlines if not outline.crowd]
    for outline in image.outlines:
        if outline.crowd:
            drop("crowds: areas in which nothing is outlined singly, and nothing is learnt", image.source, outline.name)
        elif outline.geometry is None:
            raise DatasetError(
                f"{one_line(image.source)}: {outline.name} has no outline ({one_line(image.path.name)}); nuclei need "
                "one, a box is not enough"
            )
    labels = draw(image, single, shape)
    visible = set(np.unique(labels).tolist())
    for number, outline in enumerate(single, 1):
        if number not in visible:
            drop("objects without a pixel of their own: hidden by others, or smaller than a pixel", image.source,
                 outline.name)  # fmt: skip
    types = _types(single, visible) if classes else None
    unknown = unknown_area(image, shape)
    return Annotated(pixels, labels, types, picture.pixel_size_um or image.facts.get("pixel_size_um"), unknown)


def _types(outlines: list[Outline], visible: set[int]) -> dict[int, str]:
    numbered = enumerate(outlines, 1)
    return {number: outline.class_ for number, outline in numbered if outline.class_ and number in visible}
