"""CVAT for images 1.1: an XML file beside the images, or in a folder of annotations."""

from __future__ import annotations

from pathlib import Path

from cellscope.errors import DatasetError
from cellscope.io.annotations.document import load_xml
from cellscope.io.annotations.names import Images
from cellscope.io.annotations.outline import AnnotatedImage
from cellscope.io.annotations.places import image_files
from cellscope.io.annotations.tally import note
from cellscope.io.annotations.xml_files import cvat_outlines, is_number, xml_files
from cellscope.io.text import one_line


def detect(source: Path) -> bool:
    """Tell whether `source` holds CVAT's XML."""
    return bool(xml_files(source, b"<annotations"))


def read(source: Path) -> list[AnnotatedImage]:
    """Read all CVAT files of a folder.

    Raises
    ------
    DatasetError
        Naming the file and, where it is one, the object; also for annotations of a video.
    """
    folder = source if source.is_dir() else source.parent
    images = Images(folder, image_files(folder))
    found: dict[Path, AnnotatedImage] = {}
    for path in xml_files(source, b"<annotations"):
        root = load_xml(path)
        listed = list(root.iter("image"))
        if not listed:
            kind = "tracks of a video" if root.find("track") is not None else "no image"
            raise DatasetError(f"{one_line(path)}: holds {kind}; export it as 'CVAT for images 1.1' or as COCO")
        for element in listed:
            image = images.find(element.get("name", ""), path)
            if image in found:
                raise DatasetError(
                    f"{one_line(image.name)} is annotated twice, in {one_line(found[image].source.name)} and in "
                    f"{one_line(path.name)}; keep one of the two"
                )
            width, height = element.get("width"), element.get("height")
            stated = (int(width or 0), int(height or 0)) if is_number(width) and is_number(height) else None
            found[image] = AnnotatedImage(image, path, cvat_outlines(element, path), image.stem, stated)
    if images.unnamed and found:
        names = ", ".join(one_line(path.name) for path in images.unnamed[:3])
        note(f"{len(images.unnamed)} images are in no CVAT file and left out: {names}")
    return list(found.values())
