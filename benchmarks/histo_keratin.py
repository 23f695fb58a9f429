"""Keratin taken for nuclei: cut pieces of it to learn from, and count what a prediction finds where there are none.

usage: python benchmarks/histo_keratin.py SLIDE pieces OUT
       python benchmarks/histo_keratin.py SLIDE count PREDICTION...

SLIDE is OpenSlide's CMU-1-Small-Region.svs (CC0). `pieces` writes the source OUT for `cellscope histo prepare`: two
boxes of keratin with label images of zeros. `count` reads the label images of runs of `cellscope histo predict SLIDE`,
in the two boxes and in two areas that no piece is from. Boxes and areas were drawn by hand around loose flakes, which
have no nuclei.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import tifffile

from cellscope.io.read import read

UM = 0.499
#: (left, top, right, bottom), pixels.
BOXES = {"a": (1420, 1020, 1600, 1180), "b": (1340, 1220, 1600, 1400)}
#: Corners (column, row).
AREAS = {
    "flakes": [(1280, 1410), (1480, 1410), (1480, 1640), (1380, 1790), (1330, 1780), (1280, 1700)],
    "right": [(1490, 1410), (1720, 1380), (1600, 1480), (1490, 1600)],
}


def write_pieces(slide: Path, out: Path) -> None:
    """Write the boxes as images with empty label images."""
    whole = tifffile.imread(slide)
    for name, (left, top, right, bottom) in BOXES.items():
        piece = whole[top:bottom, left:right]
        for folder, pixels in (("images", piece), ("labels", np.zeros(piece.shape[:2], np.uint16))):
            (out / folder).mkdir(parents=True, exist_ok=True)
            per_cm = (1e4 / UM, 1e4 / UM)
            tifffile.imwrite(out / folder / f"{name}.tif", pixels, resolution=per_cm, resolutionunit="CENTIMETER")


def found_in(labels: np.ndarray, corners: list[tuple[int, int]]) -> int:
    """Count the nuclei that reach into an area."""
    area = np.zeros(labels.shape, np.uint8)
    cv2.fillPoly(area, [np.array(corners)], 1)
    return int(np.count_nonzero(np.unique(labels[area > 0])))


def main() -> None:
    """Write pieces or count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide", type=Path)
    parser.add_argument("what", choices=["pieces", "count"])
    parser.add_argument("folders", type=Path, nargs="+")
    arguments = parser.parse_args()
    if arguments.what == "pieces":
        write_pieces(arguments.slide, arguments.folders[0])
        return
    boxes = {
        f"box {name}": [(left, top), (right, top), (right, bottom), (left, bottom)]
        for name, (left, top, right, bottom) in BOXES.items()
    }
    print("| prediction | all |", " | ".join([*boxes, *AREAS]), "|")
    for folder in arguments.folders:
        labels = read(folder / f"{arguments.slide.stem}.labels.tif").pixels[..., 0]
        counts = [found_in(labels, corners) for corners in (boxes | AREAS).values()]
        print(f"| {folder} | {labels.max()} |", " | ".join(map(str, counts)), "|")


if __name__ == "__main__":
    main()
