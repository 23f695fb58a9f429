"""What every reader yields, and the rules by which mask values are understood."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellscope.assays.nucleus_seg.classes import BACKGROUND, CYTOPLASM, NUCLEUS
from cellscope.errors import DatasetError, InputError
from cellscope.imaging.labels import relabel
from cellscope.imaging.smear import to_rgb8
from cellscope.io.annotations.label_image import read_label_image
from cellscope.io.annotations.meaning import pieces_of, refuse_background
from cellscope.io.annotations.picture import read_picture
from cellscope.io.choice import Wants


@dataclass(frozen=True)
class Annotated:
    """An image with its annotation.

    Attributes
    ----------
    image : (H, W, 3) uint8
    mask : (H, W) uint8, codes of `classes`
    nuclei : (H, W) int or None
        A number for each nucleus, where the annotation tells touching ones apart.
    """

    image: np.ndarray
    mask: np.ndarray
    nuclei: np.ndarray | None = None


@dataclass
class Record:
    """One image of a source with its mask.

    Attributes
    ----------
    name : str
        Unique within the source.
    path : Path
        Where the image came from, for messages.
    load : callable
        Gives the image with its annotation.
    group : str
        What a split must keep together.
    part : str
        Where a source holds several sets, which one; balanced and reported apart.
    """

    name: str
    path: Path
    load: Callable[[], Annotated]
    group: str
    part: str = ""


def load_pair(
    image: Path,
    mask: Path,
    code: Callable[[np.ndarray, Path], np.ndarray],
    *,
    numbered: Callable[[np.ndarray], bool] | None = None,
) -> Annotated:
    """Read an image and its mask and check that they belong together.

    Parameters
    ----------
    image, mask : Path
    code : callable
        Turns the mask's own values (H, W) and its path into codes.
    numbered : callable, optional
        Tells of the mask's own values whether they are the numbers of nuclei; never, if not given.

    Raises
    ------
    DatasetError
        If a file cannot be read, the sizes differ or the mask holds values it should not.
    """
    try:
        pixels = to_rgb8(read_picture(image, Wants.COLOUR).pixels, str(image))
    except InputError as error:
        raise DatasetError(str(error)) from error
    values = read_values(mask, lossy=code is tolerant)
    if values.shape[:2] != pixels.shape[:2]:
        raise DatasetError(
            f"{mask}: the mask is {values.shape[1]} x {values.shape[0]} pixels but its image {image.name} is "
            f"{pixels.shape[1]} x {pixels.shape[0]}; they must be of one size"
        )
    codes = code(values, mask)
    nuclei = (codes == NUCLEUS).astype(np.int32)
    if nuclei.any():
        refuse_background(nuclei, pieces_of(nuclei), str(mask))
    told = numbered is not None and numbered(values)
    return Annotated(pixels, codes, relabel(values.astype(np.int64)) if told else None)


def read_values(mask: Path, *, lossy: bool = False) -> np.ndarray:
    """Read a mask's stored values, (H, W); with `lossy` a JPEG's too, of which only ranges mean something.

    Raises
    ------
    DatasetError
        If it cannot be read or has colours.
    """
    try:
        values = read_label_image(mask, lossy=lossy).values
    except InputError as error:
        raise DatasetError(str(error)) from error
    if values.ndim == 3:
        raise DatasetError(f"{mask}: the mask has colours; give one grey value per class")
    return values


def by_table(values: Mapping[int, int]) -> Callable[[np.ndarray, Path], np.ndarray]:
    """Make the rule that takes exactly the declared mask values and refuses all others.

    Parameters
    ----------
    values : mapping
        Mask value -> code of `classes`.
    """

    def code(mask: np.ndarray, path: Path) -> np.ndarray:
        found = np.unique(mask)
        stray = [value.item() for value in found if value.item() not in values]
        if stray:
            raise DatasetError(
                f"{path}: the mask holds {', '.join(map(str, stray[:5]))}{' ...' if len(stray) > 5 else ''}, but "
                f"declared are {', '.join(map(str, sorted(values)))}; save masks without smoothing or compression"
            )
        coded = np.zeros(mask.shape, np.uint8)
        for value, meaning in values.items():
            coded[mask == value] = meaning
        return coded

    return code


def three_levels(mask: np.ndarray, path: Path) -> np.ndarray:
    """Read 0 background, 128 cytoplasm, 255 nucleus, or the same as 0, 1, 2."""
    if int(mask.max()) <= 2:
        return by_table({0: BACKGROUND, 1: CYTOPLASM, 2: NUCLEUS})(mask, path)
    return by_table({0: BACKGROUND, 128: CYTOPLASM, 255: NUCLEUS})(mask, path)


def tolerant(mask: np.ndarray, path: Path) -> np.ndarray:
    """Read three levels that went through a smoothing program or JPEG: nucleus from 200, cytoplasm 64 to 199."""
    if mask.dtype != np.uint8:
        raise DatasetError(f"{path}: the mask is {mask.dtype}, not 8-bit grey")
    coded = np.zeros(mask.shape, np.uint8)
    coded[mask >= 64] = CYTOPLASM
    coded[mask >= 200] = NUCLEUS
    return coded
