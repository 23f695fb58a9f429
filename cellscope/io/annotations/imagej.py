"""ImageJ ROI sets: ``<name>.zip``, ``<name>_rois.zip`` or ``<name>.roi``, beside the image or in their own folder."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.errors import DatasetError
from cellscope.io.annotations import checks
from cellscope.io.annotations.checks import Fault, TooFew
from cellscope.io.annotations.outline import AnnotatedImage, Outline, Part, Polygons
from cellscope.io.annotations.pairing import Rule, pair
from cellscope.io.annotations.places import image_files
from cellscope.io.annotations.tally import drop, note
from cellscope.io.leftovers import files_below
from cellscope.io.text import one_line

SUFFIXES = (".zip", ".roi")
RULE = Rule(
    "ROI set (ImageJ)",
    ("", "_rois", "_roi", "-rois", "_roiset", "-roiset", "_cp_masks", "_masks", "_mask"),
    ("rois", "roi", "annotations", "labels", "masks"),
    SUFFIXES,
)
MOST_ROIS, MOST_BYTES = 100_000, 2**24
AREAS = ("POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED")


def _files(source: Path) -> list[Path]:
    """List ROI files: ``.roi``, and archives that hold such files."""
    return [path for path in files_below(source, SUFFIXES) if path.suffix.lower() == ".roi" or _is_set(path)]


def _is_set(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.lower().endswith(".roi") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return "roi" in path.stem.lower()  # damaged: reading it says so


def _pairs(source: Path) -> dict[Path, Path | None]:
    images, files = image_files(source), _files(source)
    if len(images) == 1 and len(files) == 1:  # RoiSet.zip, as ImageJ calls it
        return {images[0]: files[0]}
    return pair(images, files, source, RULE)


def detect(source: Path) -> bool:
    """Tell whether some image in `source` has a ROI set."""
    return source.is_dir() and bool(_files(source)) and any(_pairs(source).values())


def read(source: Path) -> list[AnnotatedImage]:
    """Read the images that have a ROI set.

    Raises
    ------
    DatasetError
        Naming the file and, where it is one, the ROI.
    """
    pairs = _pairs(source)
    bare = [path for path, rois in pairs.items() if rois is None]
    if bare and len(bare) < len(pairs):
        note(f"{len(bare)} images have no ROI set and are left out: {', '.join(one_line(p.name) for p in bare[:3])}")
    return [AnnotatedImage(image, path, read_rois(path), image.stem) for image, path in pairs.items() if path]


def read_rois(path: Path) -> list[Outline]:
    """Read one ROI set; ROIs without an area (points, lines, angles, texts) are left out and counted.

    Raises
    ------
    DatasetError
    """
    outlines = []
    for name, data in _members(path):
        try:
            parts = _parts(data)
        except TooFew as error:
            drop(str(error), path, name)
        except Fault as error:
            raise DatasetError(f"{one_line(path)}: {name}: {error}") from error
        else:
            if parts is None:
                drop("ROIs without an area", path, name)
            else:
                outlines.append(Outline(name, "", Polygons(parts)))
    return outlines


def _members(path: Path) -> list[tuple[str, bytes]]:
    try:
        if path.suffix.lower() == ".roi":
            return [(f"ROI {one_line(path.stem)}", path.read_bytes()[:MOST_BYTES])]
        with zipfile.ZipFile(path) as archive:
            listed = [one for one in archive.infolist() if one.filename.lower().endswith(".roi")]
            listed = [one for one in listed if not Path(one.filename).name.startswith(".")]
            if len(listed) > MOST_ROIS or any(one.file_size > MOST_BYTES for one in listed):
                raise DatasetError(f"{one_line(path)}: the set is too large: {len(listed)} ROIs")
            return [(f"ROI {one_line(Path(one.filename).stem)}", archive.read(one)) for one in listed]
    except (OSError, zipfile.BadZipFile, RuntimeError, ValueError, NotImplementedError, EOFError) as error:
        raise DatasetError(
            f"{one_line(path)}: the ROI set cannot be read ({one_line(str(error))[:80]}); save it again"
        ) from error
    except Exception as error:  # zlib.error has no base but Exception
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> Exception:
    if isinstance(error, DatasetError):
        return error
    return DatasetError(f"{one_line(path)}: the ROI set is damaged ({one_line(str(error))[:80]}); save it again")


def _parts(data: bytes) -> tuple[Part, ...] | None:
    """Give a ROI's polygons; None where it has no area."""
    import roifile

    try:
        roi = roifile.ImagejRoi.frombytes(data)
        kind = roi.roitype.name
        composite = bool(roi.composite)
        lines: Any = roi.coordinates(multi=True)
    except Exception as error:  # the parser fails in more ways than can be listed; each is damage of this ROI
        raise Fault(f"cannot be read ({one_line(str(error))[:80]}); save the ROI set again") from error
    if not composite and kind not in AREAS:
        return None
    rings = []
    for line in lines:
        try:
            rings.append(checks.ring(np.asarray(line, float)))
        except TooFew:
            continue
    if not rings:
        raise TooFew
    if len(rings) == 1:
        return ((rings[0],),)
    return (tuple(sorted(rings, key=lambda ring: -float(np.prod(np.ptp(ring, 0))))),)
