"""Aperio's XML, as ImageScope writes it and MoNuSeg is published: one file per image, in its folder or beside that."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from cellscope.errors import DatasetError
from cellscope.io.annotations.document import load_xml
from cellscope.io.annotations.names import key
from cellscope.io.annotations.outline import AnnotatedImage
from cellscope.io.annotations.places import image_files
from cellscope.io.annotations.xml_files import aperio_outlines, xml_files
from cellscope.io.text import one_line

PLAUSIBLE = (0.1, 2.0)
"""Pixel sizes that the XML may state, um; others are placeholders."""


def detect(source: Path) -> bool:
    """Tell whether `source` holds Aperio annotations."""
    return source.is_dir() and bool(xml_files(source, b"<Annotations"))


def read(source: Path) -> list[AnnotatedImage]:
    """Read the annotated images; ``facts`` hold the pixel size (``pixel_size_um``) where the XML states one.

    Raises
    ------
    DatasetError
        If an annotation has no image or several, or is broken.
    """
    found = []
    images = image_files(source)
    for path in xml_files(source, b"<Annotations"):
        fitting = [image for image in images if key(image.stem) == key(path.stem)]
        near = [image for image in fitting if image.parent == path.parent]
        near = near or [image for image in fitting if image.parent.parent == path.parent.parent]
        if not near:
            raise DatasetError(
                f"{one_line(path)}: there is no image {path.stem} beside it or in a folder beside its own"
            )
        if len(near) > 1:
            names = " and ".join(one_line(image.relative_to(source).as_posix()) for image in near[:2])
            raise DatasetError(f"{one_line(path)}: two images fit it, {names}; remove or rename one")
        root = load_xml(path)
        facts = {"pixel_size_um": _stated(root)}
        found.append(AnnotatedImage(near[0], path, aperio_outlines(root, path), path.stem, None, facts, True))
    return found


def _stated(root: ElementTree.Element) -> float | None:
    try:
        value = float(root.get("MicronsPerPixel", ""))
    except ValueError:
        return None
    return value if PLAUSIBLE[0] <= value <= PLAUSIBLE[1] else None
