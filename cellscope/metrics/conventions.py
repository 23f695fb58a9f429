"""What published evaluations of nuclei mean by Dice, AJI, PQ and F1: three conventions, each in full.

==========================  =========================  ============================  ===========================
                            `hovernet`                  `pannuke`                     `strict`
==========================  =========================  ============================  ===========================
image without a nucleus,    left out                   left out                      1
none found
image without a nucleus,    0                          left out: what is found       0
some found                                             there costs nothing
Dice, AJI, AJI+, DQ, SQ,    mean over images           mean over tissues of the      mean over images
PQ                                                     mean over their images
bPQ                         as PQ                      as PQ                         counts of all images
                                                                                     together
mPQ                         mean over types of the     mean over types in an         mean over types of the PQ
                            mean over images with      image, then as PQ; types      of all images together
                            the type (true or found)   without a true nucleus in
                                                       an image are left out of it
Fd, F1 of a type            pairs by centroid, 12 px   as `hovernet`                 pairs by IoU > 0.5; a pair
                            at 40x; errors weighted                                  of the wrong type is one
                            2, 2, 1, 1                                               error of each type
==========================  =========================  ============================  ===========================

`hovernet` is Graham et al. 2019 and its evaluation code, `pannuke` Gamper et al. 2020 and theirs (with HoVer-Net's F1,
as CellViT has it), `strict` leaves nothing out and pools what is counted, as CoNIC does. Where the published code fails
on empty images or counts a phantom nucleus, the table above holds instead.
"""

from __future__ import annotations

from dataclasses import dataclass

RADIUS_UM = 3.0
"""How near centroids lie for a pair: 12 pixels at 40x, 6 at 20x."""

IMAGE_METRICS = ("dice", "aji", "aji_plus", "dq", "sq", "pq")

FORMULAS = {
    "dice": "2 |A and B| / (|A| + |B|) of the nucleus pixels",
    "aji": "aggregated Jaccard index, the best IoU for every true nucleus, found ones may serve twice",
    "aji_plus": "aggregated Jaccard index, pairs one to one with the highest sum of IoU",
    "dq": "TP / (TP + FP / 2 + FN / 2), pairs by IoU > 0.5",
    "sq": "mean IoU of the pairs by IoU > 0.5; 0 without a pair",
    "pq": "DQ x SQ",
}
"""What stands behind the names, whatever the convention."""


@dataclass(frozen=True)
class Convention:
    """One published way to evaluate.

    Attributes
    ----------
    name : str
    centres : bool
        Whether F1 pairs by centroid instead of overlap.
    weights : tuple
        Of `cellscope.metrics.instances.f1`.
    empty, averaged, binary, typed, paired : str
        What the table above says of it, for the reader of a result.
    """

    name: str
    centres: bool
    weights: tuple[float, float, float, float]
    empty: str
    averaged: str
    binary: str
    typed: str
    paired: str


HOVERNET = Convention(
    "hovernet", True, (2, 2, 1, 1),
    empty="images without a nucleus are left out where none is found and count 0 where some are",
    averaged="mean over images",
    binary="as pq",
    typed="mean over types of the mean over images that have the type, true or found",
    paired="all images together, pairs by centroid (Hungarian, then the radius of 3 um); weights 2, 2, 1, 1",
)  # fmt: skip
PANNUKE = Convention(
    "pannuke", True, (2, 2, 1, 1),
    empty="images without a nucleus are left out, also where some are found",
    averaged="mean over tissues of the mean over images (over images where no tissues are named)",
    binary="as pq",
    typed="mean over types with a true nucleus in the image, then mean over images and tissues",
    paired="all images together, pairs by centroid (Hungarian, then the radius of 3 um); weights 2, 2, 1, 1",
)  # fmt: skip
STRICT = Convention(
    "strict", False, (1, 1, 1, 1),
    empty="images without a nucleus count 1 where none is found and 0 where some are",
    averaged="mean over images",
    binary="pairs and lonely nuclei of all images counted together",
    typed="mean over types of the PQ of all images together",
    paired="all images together, pairs by IoU > 0.5; a pair of the wrong type is an error of both types",
)  # fmt: skip
CONVENTIONS = {convention.name: convention for convention in (HOVERNET, PANNUKE, STRICT)}
