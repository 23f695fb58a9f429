"""The comparison of edge detectors of the MSFF-SegNeXt paper's Table 5 and its Figure 11, on images with masks.

usage: python benchmarks/nucleus_edges.py DATASET [--split test] [--opencv] [-o FIGURE.png]

DATASET is one that `cellscope nucleus-seg prepare` made. Printed are means over the images of a split (several with
commas), for the maps that the network computes for itself (at half resolution, enlarged), or for OpenCV's operators at
full resolution. `-o` draws outline, Laplacian and Sobel of the first images side by side, with the same contrast.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from skimage.metrics import structural_similarity

from cellscope.assays.nucleus_seg.classes import NUCLEUS
from cellscope.assays.nucleus_seg.networks.registry import normalise
from cellscope.assays.nucleus_seg.networks.segnext import edge_map
from cellscope.assays.nucleus_seg.training.crops import load_smear
from cellscope.io.prepared import PreparedDataset
from cellscope.metrics.overlap import count_pixels, outline_of, overlap_metrics

DETECTORS = ("sobel", "laplacian")
SHOWN = 4


def opencv_edges(rgb: np.ndarray, detector: str) -> np.ndarray:
    """Give OpenCV's map of edges: (H, W) float32."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if detector == "sobel":
        return np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return np.abs(cv2.Laplacian(grey, cv2.CV_32F))


def network_edges(rgb: np.ndarray, detector: str) -> np.ndarray:
    """Give the map that MSFF-SegNeXt computes of an image, enlarged to its size: (H, W) float32."""
    images = normalise(torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None].float() / 255)
    return cv2.resize(edge_map(images, detector)[0, 0].numpy(), rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def edge_scores(strength: np.ndarray, nucleus: np.ndarray) -> Mapping[str, float]:
    """Compare an edge detector's map with the outlines of the nuclei (the paper's Table 5).

    The paper does not say how its edge maps become binary; here a pixel is an edge above Otsu's threshold of the map,
    and the outlines are drawn three pixels wide.

    Parameters
    ----------
    strength : (H, W) float32
        From `opencv_edges` or `network_edges`.
    nucleus : (H, W) bool

    Returns
    -------
    dict
        ``ssim`` (of the binary maps), ``accuracy``, ``recall``, ``precision``.
    """
    _, edges = cv2.threshold(_bytes(strength), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    truth = cv2.dilate(outline_of(nucleus).astype(np.uint8), np.ones((3, 3), np.uint8)) * 255
    values = overlap_metrics(count_pixels(truth > 0, edges > 0))
    return {
        "ssim": float(structural_similarity(truth, edges, data_range=255)),
        **{name: values[name] for name in ("accuracy", "recall", "precision")},
    }


def _bytes(strength: np.ndarray) -> np.ndarray:
    return (strength * (255.0 / max(float(strength.max()), 1e-6))).astype(np.uint8)


def figure_11(shown: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
    """Draw outline, Laplacian and Sobel of images below one another: (H, W) uint8."""
    rows = [np.hstack([cv2.resize(part, (350, 350)) for part in parts]) for parts in shown]
    return np.vstack(rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", default="test", help="Splits the images are from, commas between.")
    parser.add_argument("--opencv", action="store_true")
    parser.add_argument("-o", "--out", type=Path)
    arguments = parser.parse_args()
    edges_of = opencv_edges if arguments.opencv else network_edges
    prepared = PreparedDataset.open(arguments.dataset, assay="nucleus-seg")
    rows, shown = [], []
    for row in pd.concat([prepared.split(name) for name in arguments.split.split(",")]).itertuples():
        smear = load_smear(prepared.root, row)
        nucleus = smear.mask == NUCLEUS
        maps = {detector: edges_of(smear.image, detector) for detector in DETECTORS}
        rows += [{"detector": detector, **edge_scores(edges, nucleus)} for detector, edges in maps.items()]
        if len(shown) < SHOWN:
            shown.append((outline_of(nucleus).astype(np.uint8) * 255, *(_bytes(maps[d]) for d in DETECTORS[::-1])))
    if arguments.out:
        cv2.imwrite(str(arguments.out), figure_11(shown))
    print(pd.DataFrame(rows).groupby("detector").mean().round(4).to_string())


if __name__ == "__main__":
    main()
