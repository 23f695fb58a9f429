"""Objects that a person or another program outlined in one image: a label image, GeoJSON or an ImageJ ROI set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cellscope.errors import DatasetError, InputError
from cellscope.io.annotations import geojson, imagej
from cellscope.io.annotations.label_image import read_label_image
from cellscope.io.annotations.meaning import MOST, as_instances, pieces_of, refuse_background, whole_numbers
from cellscope.io.annotations.outline import AnnotatedImage, Outline, draw
from cellscope.io.annotations.pairing import Rule, find_partner
from cellscope.io.annotations.tally import drop
from cellscope.io.text import one_line

LABELS = Rule(
    "label image",
    ("", ".labels", "_labels", "_label", "_mask", "_masks", "_cp_masks", "_seg", "_nuclei"),
    ("labels", "masks", "instances"),
    (".tif", ".tiff", ".png", ".npy"),
)
OWN = ".labels.tif"
"""What `predict` calls its label images."""

RULES = (geojson.RULE, imagej.RULE, LABELS)
"""What an image's outlines may be, in the order they are looked for: GeoJSON knows classes and scores."""


@dataclass(frozen=True, eq=False)
class Given:
    """Outlined objects of an image.

    Attributes
    ----------
    labels : (H, W) int32
        0 outside. A label image's own numbers; of outlines the measurement ``label`` where all have one and no two the
        same, else their place in the file.
    classes : mapping
        Label -> class, where the file names it.
    measured : mapping
        Label -> what the file holds of the object, name -> number.
    """

    labels: np.ndarray
    classes: Mapping[int, str] = field(default_factory=dict)
    measured: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    def values(self, name: str) -> np.ndarray:
        """Give a measurement of the file by label.

        Returns
        -------
        (largest label + 1,) float
            NaN where the file does not hold it.
        """
        found = np.full(int(self.labels.max(initial=0)) + 1, np.nan)
        for label, held in self.measured.items():
            if label < len(found):
                found[label] = held.get(name, np.nan)
        return found


def is_outlines(path: Path) -> bool:
    """Tell outlines from a label image by the name of the file."""
    return path.name.lower().endswith((*geojson.SUFFIXES, *imagej.SUFFIXES))


def find_given(source: Path, image: str, path: Path) -> tuple[Path, list[Path]]:
    """Find the outlines of an input in a folder, or take the file that is named.

    Parameters
    ----------
    source : Path
        The file, or a folder as in `find_partner`.
    image : str
        The contract's ``image``.
    path : Path
        The input's file.

    Returns
    -------
    found : Path
        The first kind of `RULES` that is there.
    others : list of Path
        Files of other kinds that belong to the image too.

    Raises
    ------
    InputError
        If there is none, or two of one kind.
    """
    if source.is_file():
        return source, []
    found: list[Path] = []
    for rule in RULES:
        try:
            found.append(find_partner(source, image, path, rule))
        except InputError as error:
            if "two files" in str(error):
                raise
    if not found:
        raise InputError(
            f"{one_line(image)}: nothing in {one_line(source)} belongs to it; expected is a GeoJSON file, a ROI set or "
            f"a label image of its name, such as {one_line(Path(image).stem)}.geojson"
        )
    return found[0], found[1:]


def outlines_of(path: Path) -> list[Outline]:
    """Read the outlines of a GeoJSON file or ROI set.

    Raises
    ------
    InputError
        Naming the file and, where it is one, the object.
    """
    try:
        return imagej.read_rois(path) if path.suffix.lower() in imagej.SUFFIXES else geojson.read_outlines(path)
    except DatasetError as error:
        raise InputError(str(error)) from error


def read_given(path: Path, image: Path, shape: tuple[int, int], *, binary: str = "refuse") -> Given:
    """Read the objects of an image.

    Parameters
    ----------
    path : Path
        The file with the objects.
    image : Path
        The image's file, for messages.
    shape : (height, width) of the image
    binary : str
        What becomes of a mask of foreground and background, see `as_instances`.

    Raises
    ------
    InputError
        The file cannot be read or does not fit the image.
    """
    try:
        if not is_outlines(path):
            values = whole_numbers(read_label_image(path).values, shape, path, one_line(image.name))
            own = path.name.lower().endswith(OWN)  # one nucleus may be in several pieces there, and alone
            return Given(values if own else as_instances(values, path, binary=binary))
        return _drawn(AnnotatedImage(image, path, outlines_of(path), image.stem), shape)
    except DatasetError as error:
        raise InputError(str(error)) from error


def read_whole(path: Path, labels: np.ndarray) -> np.ndarray:
    """Read a label image of whole cells with the numbers of their nuclei.

    Parameters
    ----------
    path : Path
    labels : (H, W) int32
        The nuclei.

    Returns
    -------
    (H, W) int32

    Raises
    ------
    InputError
        It cannot be read, is of another size, or a nucleus does not lie in the cell of its number.
    """
    try:
        cells = whole_numbers(read_label_image(path).values, labels.shape, path)
        if cells.any():
            refuse_background(cells, pieces_of(cells), one_line(path))
    except DatasetError as error:
        raise InputError(str(error)) from error
    stray = np.unique(labels[(labels > 0) & (cells != labels)])
    if len(stray):
        raise InputError(
            f"{one_line(path)}: nucleus {stray[0]} does not lie in the cell of its number, and so do "
            f"{len(stray) - 1} others; cells must have the numbers of their nuclei"
        )
    return cells


def _drawn(image: AnnotatedImage, shape: tuple[int, int]) -> Given:
    image.check(shape)
    usable = []
    for outline in image.outlines:
        if outline.geometry is None or outline.crowd:
            drop("objects without an outline", image.source, outline.name)
        else:
            usable.append(outline)
    places = draw(image, usable, shape)
    numbers = _numbers(usable)
    visible = np.bincount(places.ravel(), minlength=len(usable) + 1)[1:] > 0
    for outline, seen in zip(usable, visible, strict=True):
        if not seen:
            drop("objects without a pixel of their own: hidden by others, or smaller than a pixel", image.source,
                 outline.name)  # fmt: skip
    kept = [(number, one) for number, one, seen in zip(numbers, usable, visible, strict=True) if seen]
    return Given(
        np.array([0, *numbers], np.int32)[places],
        {number: one.class_ for number, one in kept if one.class_},
        {number: one.measured for number, one in kept if one.measured},
    )


def _numbers(outlines: list[Outline]) -> list[int]:
    stated = [one.measured.get("label", 0.0) for one in outlines]
    whole = all(value == int(value) and 0 < value < MOST for value in stated)
    return [int(value) for value in stated] if whole and len(set(stated)) == len(stated) else [
        *range(1, len(outlines) + 1)
    ]  # fmt: skip
