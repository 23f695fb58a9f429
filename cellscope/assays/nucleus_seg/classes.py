"""What a pixel can be: the codes of stored masks and the classes of the networks."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.measure import label as components

from cellscope.imaging.labels import relabel

BACKGROUND, CYTOPLASM, NUCLEUS = 0, 128, 255
#: Not a nucleus, but a source without cytoplasm masks cannot say whether background or cytoplasm.
OUTSIDE = 64
CODES = (BACKGROUND, OUTSIDE, CYTOPLASM, NUCLEUS)

#: Pixel classes in the order of a three-class network's outputs; a two-class one has background and nucleus.
PIXEL_CLASSES = ("background", "cytoplasm", "nucleus")
#: Classes of objects.
CLASSES = ("nucleus",)


def class_indices(mask: np.ndarray) -> np.ndarray:
    """Turn mask codes into class indices 0, 1, 2; `OUTSIDE` becomes 3.

    Parameters
    ----------
    mask : (H, W) uint8, values of `CODES`

    Returns
    -------
    (H, W) uint8
    """
    table = np.full(256, 255, np.uint8)
    table[list(CODES)] = (0, 3, 1, 2)
    return table[mask]


def nuclei_of(target: str) -> str:
    """Give the name of the label image of a target's nuclei, beside it where the annotation tells them apart."""
    return target.removesuffix(".png") + ".nuclei.tif"


def cells_of(mask: np.ndarray, nuclei: np.ndarray | None = None) -> np.ndarray:
    """Give numbers to the annotated cells: connected nucleus and cytoplasm, also pieces without a nucleus.

    Parameters
    ----------
    mask : (H, W) uint8, values of `CODES`
    nuclei : (H, W) int, optional
        Numbers of the annotated nuclei. A piece that holds several is parted: each pixel belongs to the nearest.

    Returns
    -------
    (H, W) int32
        0 or the cell's number.
    """
    pieces = components(mask >= CYTOPLASM, connectivity=2).astype(np.int32)
    if nuclei is None:
        return pieces
    seeds = np.where(mask == NUCLEUS, nuclei, 0)
    cells = np.where(pieces > 0, pieces + int(seeds.max()), 0)
    for number, box in enumerate(ndimage.find_objects(pieces), 1):
        inside, own = pieces[box] == number, np.where(pieces[box] == number, seeds[box], 0)
        if own.any():
            nearest = ndimage.distance_transform_edt(own == 0, return_distances=False, return_indices=True)
            cells[box][inside] = own[tuple(nearest)][inside]
    return relabel(cells).astype(np.int32)


def nucleus_diameter(mask: np.ndarray, nuclei: np.ndarray | None = None) -> float | None:
    """Give the typical size of the annotated nuclei.

    Parameters
    ----------
    mask : (H, W) uint8, values of `CODES`
    nuclei : (H, W) int, optional
        As in `cells_of`.

    Returns
    -------
    float or None
        Median over cells of the diameter of the disc with the nucleus's area, pixels; cells cut by the border or with
        less than 20 pixels of nucleus count only where there is no other. None without any nucleus.
    """
    cells = cells_of(mask, nuclei)
    areas = np.bincount(cells[mask == NUCLEUS], minlength=cells.max() + 1).astype(float)
    areas[0] = 0
    border = np.unique(np.concatenate([cells[0], cells[-1], cells[:, 0], cells[:, -1]]))
    whole = areas.copy()
    whole[border] = 0
    for values in (whole[whole >= 20], areas[areas > 0]):
        if len(values):
            return float(np.median(np.sqrt(4 * values / np.pi)))
    return None
