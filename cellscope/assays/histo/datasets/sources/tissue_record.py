"""What every reader yields, and the checks that all annotations go through."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.sparse.csgraph import connected_components
from skimage.measure import label as components

from cellscope.errors import DatasetError, InputError
from cellscope.imaging.labels import relabel
from cellscope.imaging.smear import to_rgb8
from cellscope.io.annotations.meaning import as_instances, whole_numbers
from cellscope.io.annotations.picture import read_picture
from cellscope.io.choice import Wants
from cellscope.io.image import Image
from cellscope.io.leftovers import files_below
from cellscope.io.read import SUFFIXES

#: Pieces of one nucleus that another one crosses lie no farther apart than this, pixels (15 um at 0.25).
MAX_GAP = 60
#: A case of The Cancer Genome Atlas: project, site and patient.
CASE = re.compile(r"TCGA-\w{2}-\w{4}")


@dataclass(frozen=True)
class Annotated:
    """One annotated image.

    Attributes
    ----------
    image : (H, W, 3) uint8, sRGB
    labels : (H, W) int32, 0 is background
    types : mapping or None
        Label -> type; a label that is missing is a nucleus of unknown type. None: the image is not typed.
    pixel_size_um : float or None
    unknown : (H, W) bool or None
        Where the annotation tells nothing: neither nuclei nor that there are none. None: nowhere.
    """

    image: np.ndarray
    labels: np.ndarray
    types: Mapping[int, str] | None = None
    pixel_size_um: float | None = None
    unknown: np.ndarray | None = None


@dataclass(frozen=True)
class Record:
    """One image of a source, not read yet.

    Attributes
    ----------
    name : str
        Unique within the source.
    path : Path
        Where it came from, for messages.
    load : callable
        Gives the `Annotated` image.
    group : str
        What a split must keep together.
    fixed_split : str
        The split the source itself puts it in, or empty.
    fixed_fold : int, optional
    tissue : str
        Where a source tells it.
    facts : mapping
        More columns of `items.csv`.
    """

    name: str
    path: Path
    load: Callable[[], Annotated]
    group: str
    fixed_split: str = ""
    fixed_fold: int | None = None
    tissue: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """What a reader found.

    Attributes
    ----------
    records : list of Record
    classes : tuple of str
        The declared types in their order; empty where nuclei have none.
    pixel_size_um : float, optional
        The scale a public set is known to have, which neither files nor options change.
    """

    records: list[Record]
    classes: tuple[str, ...] = ()
    pixel_size_um: float | None = None


@dataclass(frozen=True)
class Choices:
    """What a user may choose about a source, see `prepare_options`."""

    types: str = "hovernet"
    classes: tuple[str, ...] = field(default=())
    binary: str = "refuse"


def group_of(name: str) -> str:
    """Tell the patient from a name that holds a TCGA case, else give the name: the image is a group of its own."""
    found = CASE.search(name)
    return found[0] if found else name


def image_files(folder: Path) -> list[Path]:
    """List the image files in a folder, sorted."""
    return files_below(folder, SUFFIXES, deep=False)


def open_image(path: Path) -> Image:
    """Read an image file; what is wrong with it is wrong with the source."""
    try:
        return read_picture(path, Wants.COLOUR)
    except InputError as error:
        raise DatasetError(str(error)) from error


def colour(image: Image, path: Path) -> np.ndarray:
    """Give the pixels as (H, W, 3) uint8."""
    try:
        return to_rgb8(image.pixels, str(path))
    except InputError as error:
        raise DatasetError(str(error)) from error


def check_labels(values: np.ndarray, shape: tuple[int, ...], path: Path, *, binary: str = "refuse") -> np.ndarray:
    """Check that values are instance numbers of an image of this shape.

    Parameters
    ----------
    values : (H, W), (H, W, 1) or three equal channels; integers, also as floats
    shape : of the image
    path : Path
        Of the labels, for messages.
    binary : str
        What becomes of masks of foreground and background, see `as_instances`.

    Returns
    -------
    (H, W) int32

    Raises
    ------
    DatasetError
        For another size, colours, fractions or negative numbers, and for masks and classes where objects are meant.
    """
    return as_instances(whole_numbers(values, shape, path), path, binary=binary)


def check_types(
    pairs: Sequence[tuple[int, str]], labels: np.ndarray, declared: Sequence[str], path: Path
) -> dict[int, str]:
    """Check a table of types against the label image and the declared types.

    Parameters
    ----------
    pairs : sequence of (label, type)
        An empty type is an unknown one.
    labels : (H, W) int
    declared : sequence of str
    path : Path
        Of the table, for messages.

    Raises
    ------
    DatasetError
        For a type that is not declared, a label with two types, or one that the label image does not hold.
    """
    found: dict[int, str] = {}
    for number, type_ in pairs:
        if type_ and type_ not in declared:
            raise DatasetError(
                f"{path}: nucleus {number} has the type {type_!r}, but declared are {', '.join(declared)}; correct the "
                "table or declare all types with --classes"
            )
        if found.get(number, type_) != type_:
            raise DatasetError(
                f"{path}: nucleus {number} has two types, {found[number]} and {type_}; give every nucleus a number of "
                "its own and one type"
            )
        found[number] = type_
    missing = sorted(set(found) - set(np.unique(labels).tolist()))
    if missing:
        raise DatasetError(
            f"{path}: {len(missing)} nuclei of the table are not in the label image, {missing[0]} the first; the table "
            "and the image must come from the same annotation"
        )
    return {number: type_ for number, type_ in found.items() if type_}


def separate(nuclei: Annotated, path: Path, *, split: bool) -> Annotated:
    """Make sure that one number is one nucleus, and number them 1..N.

    Pieces with one number that lie close together are one nucleus which another crosses; farther apart than `MAX_GAP`
    they cannot be.

    Parameters
    ----------
    nuclei : Annotated
    path : Path
        For messages.
    split : bool
        Make distant pieces nuclei of their own, with the same type, instead of refusing them.

    Raises
    ------
    DatasetError
        If a number has distant pieces and `split` is false.
    """
    labels, types = nuclei.labels.copy(), dict(nuclei.types or {})
    next_ = int(labels.max(initial=0)) + 1
    broken = _in_pieces(labels)
    places = ndimage.find_objects(labels) if broken else []
    for number in broken:
        place = places[number - 1]
        pieces = components(labels[place] == number, connectivity=2)
        clusters = _clusters(pieces)
        if len(clusters) == 1:
            continue
        if not split:
            inner = ndimage.find_objects(pieces)[clusters[1][0] - 1]
            row, column = (int(outer.start + own.start) for outer, own in zip(place, inner, strict=True))
            raise DatasetError(
                f"{path}: the instance number {number} is not unique: its {pieces.max()} pieces lie far apart (one at "
                f"row {row}, column {column}); give every nucleus its own number, or let --pieces split do it"
            )
        for cluster in clusters[1:]:
            labels[place][np.isin(pieces, cluster)] = next_
            if number in types:
                types[next_] = types[number]
            next_ += 1
    numbers = np.unique(labels)
    new = {int(number): place for place, number in enumerate(numbers[numbers > 0], 1)}
    typed = None if nuclei.types is None else {new[number]: type_ for number, type_ in types.items() if number in new}
    return Annotated(nuclei.image, relabel(labels), typed, nuclei.pixel_size_um, nuclei.unknown)


def _in_pieces(labels: np.ndarray) -> list[int]:
    """List the numbers that have more than one connected piece, neighbours at corners included."""
    pieces = components(labels, background=0, connectivity=2)
    _, first = np.unique(pieces, return_index=True)
    numbers, counts = np.unique(labels.ravel()[first], return_counts=True)
    return [int(number) for number, count in zip(numbers, counts, strict=True) if number and count > 1]


def _clusters(pieces: np.ndarray) -> list[list[int]]:
    """Gather pieces whose boxes lie within `MAX_GAP` of one another."""
    boxes = np.array([[p.start for p in place] + [p.stop for p in place] for place in ndimage.find_objects(pieces)])
    gaps = np.maximum(boxes[:, None, :2] - boxes[None, :, 2:], boxes[None, :, :2] - boxes[:, None, 2:]).max(2)
    count, member = connected_components(gaps <= MAX_GAP)
    return [(np.flatnonzero(member == cluster) + 1).tolist() for cluster in range(count)]
