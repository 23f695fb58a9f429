"""The comparison of edge detectors of the paper's Table 5, on images with masks.

usage: python benchmarks/nucleus_edges.py DATASET [--split test]

DATASET is one that `cellscope nucleus-seg prepare` made. Printed are means over the images of a split (several with
commas).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from skimage.metrics import structural_similarity

from cellscope.assays.nucleus_seg.classes import NUCLEUS
from cellscope.assays.nucleus_seg.training.crops import load_smear
from cellscope.io.prepared import PreparedDataset
from cellscope.metrics.overlap import count_pixels, outline_of, overlap_metrics

DETECTORS = ("sobel", "laplacian")


def edge_scores(grey: np.ndarray, nucleus: np.ndarray, detector: str) -> Mapping[str, float]:
    """Compare an edge detector's map with the outlines of the nuclei (the paper's Table 5).

    The paper does not say how its edge maps become binary; here a pixel is an edge above Otsu's threshold of the map,
    and the outlines are drawn three pixels wide.

    Parameters
    ----------
    grey : (H, W) uint8
    nucleus : (H, W) bool
    detector : str
        ``sobel`` or ``laplacian``.

    Returns
    -------
    dict
        ``ssim`` (of the binary maps), ``accuracy``, ``recall``, ``precision``.
    """
    if detector == "sobel":
        strength = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    else:
        strength = np.abs(cv2.Laplacian(grey, cv2.CV_32F))
    scaled = (strength * (255.0 / max(float(strength.max()), 1e-6))).astype(np.uint8)
    _, edges = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    truth = cv2.dilate(outline_of(nucleus).astype(np.uint8), np.ones((3, 3), np.uint8)) * 255
    values = overlap_metrics(count_pixels(truth > 0, edges > 0))
    return {
        "ssim": float(structural_similarity(truth, edges, data_range=255)),
        **{name: values[name] for name in ("accuracy", "recall", "precision")},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", default="test", help="Splits the images are from, commas between.")
    arguments = parser.parse_args()
    prepared = PreparedDataset.open(arguments.dataset, assay="nucleus-seg")
    rows = []
    for row in pd.concat([prepared.split(name) for name in arguments.split.split(",")]).itertuples():
        smear = load_smear(prepared.root, row)
        grey = cv2.cvtColor(smear.image, cv2.COLOR_RGB2GRAY)
        for detector in DETECTORS:
            rows.append({"detector": detector, **edge_scores(grey, smear.mask == NUCLEUS, detector)})
    print(pd.DataFrame(rows).groupby("detector").mean().round(4).to_string())


if __name__ == "__main__":
    main()
