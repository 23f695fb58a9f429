"""Metaphases annotated with masks, outlines or boxes: COCO (published sets among it), QuPath, LabelMe, ..."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.assays.karyotype.classes import parse_class, refuse_from_zero
from cellscope.assays.karyotype.datasets.sources.metaphase_record import Instance, Record, crop_mask
from cellscope.errors import DatasetError, InputError
from cellscope.io.annotations.formats import FORMATS
from cellscope.io.annotations.outline import AnnotatedImage, CocoPolygons, Outline, Runs
from cellscope.io.annotations.tally import drop, note
from cellscope.io.read import read as read_image
from cellscope.io.text import one_line


class Outlines:
    """A reader of one format of outlines: a name in `cellscope.io.annotations.formats.FORMATS`."""

    def __init__(self, format: str):
        self.format = FORMATS[format]

    def detect(self, folder: Path) -> bool:
        """Tell whether `folder` holds annotations of the format."""
        return self.format.detect(folder)

    def read(self, folder: Path) -> Iterator[Record]:
        """Yield the metaphases.

        The image's ``group`` or ``case`` field, else its file name, is what a split keeps together. Classes that are
        not one of the 24 chromosomes count as unknown, and are told.

        Raises
        ------
        DatasetError
            Naming the file and the object.
        """
        for _, record in self.metaphases(folder):
            yield record

    def metaphases(self, folder: Path) -> Iterator[tuple[dict[str, Any], Record]]:
        """Yield what the file says of each image, and its record."""
        images = self.format.read(folder)
        refuse_from_zero((outline.class_ for image in images for outline in image.outlines), one_line(folder))
        _tell_unknown(images)
        stems = Counter(image.name for image in images)
        top = folder if folder.is_dir() else folder.parent
        for image in images:
            facts = image.facts
            inner = image.path.relative_to(top).with_suffix("").parts
            name = image.name if stems[image.name] == 1 else "-".join(inner)
            shape = _shape(image)
            image.check(shape)
            yield (
                facts,
                Record(
                    name=name,
                    path=image.path,
                    group=str(facts.get("group") or facts.get("case") or name),
                    case=str(facts.get("case") or ""),
                    abnormal=bool(facts.get("abnormal")),
                    instances=[one for outline in image.outlines for one in _instances(outline, image, shape)],
                    facts={"abnormal": str(facts.get("abnormal") or "")},
                    shape=shape,
                    source=image.source,
                ),
            )


def _tell_unknown(images: list[AnnotatedImage]) -> None:
    unknown = Counter(
        outline.class_ for image in images for outline in image.outlines if parse_class(outline.class_) is None
    )
    for name, count in sorted(unknown.items()):
        called = f"the class {one_line(name)!r}" if name else "no class"
        note(f"{count} objects have {called}, which is not one of 1 to 22, X, Y: their chromosome is unknown")


def _shape(image: AnnotatedImage) -> tuple[int, int]:
    """Give (height, width) as the annotation states it, else of the image."""
    if image.stated is not None:
        return image.stated[1], image.stated[0]
    try:
        pixels = read_image(image.path).pixels
    except InputError as error:
        raise DatasetError(str(error)) from error
    return int(pixels.shape[0]), int(pixels.shape[1])


def _instances(outline: Outline, image: AnnotatedImage, shape: tuple[int, int]) -> list[Instance]:
    """Make the instance of an object; none of one that covers no pixel."""
    class_, geometry = parse_class(outline.class_), outline.geometry
    if outline.crowd:
        drop("crowds count as areas to ignore", image.source, outline.name)
    if geometry is None:
        assert outline.box is not None, "an object without an outline has a box"
        return [Instance(outline.box, None, class_, outline.crowd)]
    if isinstance(geometry, (CocoPolygons, Runs)):
        mask = geometry.mask(shape)
    else:
        drawn = np.zeros(shape, np.int32)
        geometry.draw(drawn, 1)
        mask = drawn > 0
    if not mask.any():
        drop("objects without a pixel", image.source, outline.name)
        return []
    if outline.box is None:
        box, cut = crop_mask(mask)
        return [Instance(box, cut, class_, outline.crowd)]
    x, y, w, h = outline.box
    x0, y0 = max(int(np.floor(x)), 0), max(int(np.floor(y)), 0)
    x1, y1 = min(int(np.ceil(x + w)), shape[1]), min(int(np.ceil(y + h)), shape[0])
    if x1 <= x0 or y1 <= y0 or not mask[y0:y1, x0:x1].any():
        raise DatasetError(
            f"{one_line(image.source)}: {outline.name} ({one_line(image.path.name)}): its bbox does not lie on its "
            "outline"
        )
    return [Instance((x, y, w, h), np.ascontiguousarray(mask[y0:y1, x0:x1]), class_, outline.crowd)]
