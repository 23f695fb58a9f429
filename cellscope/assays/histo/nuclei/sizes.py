"""Settings of the post-processing that are sizes in pixels, at a network's scale."""

from __future__ import annotations

from cellscope.assays.histo.classes import PIXEL_SIZE_UM

#: Arguments of `find_nuclei`, as its defaults are: at 0.25 um a pixel.
SIGMA, OPENING, MIN_MARKER, MIN_AREA = 1.25, 3, 10, 24
#: Those of them that a model of another scale holds in its card beside what was tuned.
KEPT = ("sigma", "opening", "min_marker")
#: Scales nearer to 0.25 um a pixel than this share of it have its sizes.
SAME = 0.1
#: Below this many pixels the filter no longer sees a slope.
LEAST_SIGMA = 0.75


def sizes_at(pixel_size_um: float | None) -> dict[str, float]:
    """Give the sizes that are the same in micrometres as the defaults at 0.25 um a pixel.

    Parameters
    ----------
    pixel_size_um : float or None
        None: 0.25.

    Returns
    -------
    dict
        Arguments of `find_nuclei`; empty at 0.25 um a pixel.
    """
    ratio = PIXEL_SIZE_UM / (pixel_size_um or PIXEL_SIZE_UM)
    if abs(ratio - 1) <= SAME:
        return {}
    return {
        "sigma": max(SIGMA * ratio, LEAST_SIGMA),
        "opening": 1 + 2 * round(max(OPENING * ratio - 1, 0) / 2),
        "min_marker": max(round(MIN_MARKER * ratio**2), 1),
        "min_area": max(round(MIN_AREA * ratio**2), 1),
    }
