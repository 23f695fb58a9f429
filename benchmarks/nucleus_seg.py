"""Nuclei with the built-in model: against the paper's U-Net, against itself in float32, and memory on a large smear.

usage: python benchmarks/nucleus_seg.py [--repeats 5] [--side 512] [--smear 6000x4000] [--dataset DATASET] [--keep DIR]

All sides run in this process with the same threads, in turn, models loaded beforehand. "end to end" reads a file, finds
its scale, segments, separates, measures, draws and writes every output; the U-Net (34,527,041 parameters, random
weights) only runs its forward pass, in float32, on one image of the same side. Then one whole command runs on a
smear, and its peak memory is measured: a drawn one, or one stitched from the BCCD fields of the test split of DATASET
(from `cellscope nucleus-seg prepare`), whose annotation is then compared as well. `--keep` keeps that smear and what
was found.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
import torch
from harness import compare, environment, print_table, run_process
from road import through

from cellscope.assays.nucleus_seg.assay import ASSAY, IMAGE
from cellscope.assays.nucleus_seg.classes import NUCLEUS
from cellscope.assays.nucleus_seg.networks.registry import arguments_of, build_network
from cellscope.assays.nucleus_seg.options import PredictOptions
from cellscope.assays.nucleus_seg.training.crops import load_smear
from cellscope.engine.assay import Subject
from cellscope.engine.device import pick_precision
from cellscope.engine.loading import load_models
from cellscope.engine.predict.artefacts import write_artefacts
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read


def draw_smear(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Draw a smear: red cells everywhere, a white cell on every 300 x 300 pixels."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), (243, 228, 220), np.uint8)
    for _ in range(height * width // 9000):
        at = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(image, at, int(rng.integers(32, 42)), (226, 168, 158), -1, cv2.LINE_AA)
    for _ in range(max(height * width // 90000, 1)):
        at = (int(rng.integers(width)), int(rng.integers(height)))
        radius = int(rng.integers(38, 55))
        cv2.circle(image, at, round(1.4 * radius), (190, 180, 214), -1, cv2.LINE_AA)
        cv2.circle(image, at, radius, (92, 50, 140), -1, cv2.LINE_AA)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def stitch_smear(dataset: Path, height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Lay test fields of BCCD beside one another, mirrored at random: the smear and its mask of nuclei."""
    prepared = PreparedDataset.open(dataset, assay="nucleus-seg")
    smears = [load_smear(prepared.root, row) for row in prepared.split("test").itertuples()]
    fields = [smear for smear in smears if smear.source == "bccd"]
    rng = np.random.default_rng(seed)
    image, mask = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), bool)
    high, wide = fields[0].mask.shape
    for top in range(0, height, high):
        for left in range(0, width, wide):
            field, flips = fields[rng.integers(len(fields))], rng.integers(2, size=2) * 2 - 1
            place = image[top : top + high, left : left + wide]
            rows, columns = place.shape[:2]
            place[:] = field.image[:: flips[0], :: flips[1]][:rows, :columns]
            mask[top : top + high, left : left + wide] = (field.mask == NUCLEUS)[:: flips[0], :: flips[1]][
                :rows, :columns
            ]
    return image, mask


def find_nuclei_in(path: Path, out: Path, loaded: Any, dtype: torch.dtype | None) -> None:
    """Do what `predict` does with one input."""
    subject = Subject(path.name, read(path), IMAGE, PredictOptions(), loaded.cards)
    for _, result in through(ASSAY, [subject], loaded, dtype=dtype):
        write_artefacts(out, path.stem, result.artefacts)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--smear", default="6000x4000", metavar="WIDTHxHEIGHT")
    parser.add_argument("--dataset", type=Path, help="Stitch the smear from its test split.")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="Keep the smear and the results here.")
    arguments = parser.parse_args()
    device = torch.device("cpu")
    fast = pick_precision("auto", device)
    loaded = load_models(ASSAY, [], device)
    unet = build_network("unet", arguments_of("unet", 2)).eval()
    image = torch.rand(1, 3, arguments.side, arguments.side)

    def forward() -> None:
        with torch.inference_mode():
            unet(image)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "field.tif"
        tifffile.imwrite(path, draw_smear(arguments.side, arguments.side), photometric="rgb")
        names = ("paper's U-Net, forward only", "built-in, end to end")
        rows = [
            compare(
                names[0], forward, names[1], lambda: find_nuclei_in(path, Path(folder), loaded, fast),
                repeats=arguments.repeats,
            ),
            compare(
                "built-in, float32", lambda: find_nuclei_in(path, Path(folder), loaded, None),
                f"built-in, {str(fast or 'float32').removeprefix('torch.')}",
                lambda: find_nuclei_in(path, Path(folder), loaded, fast),
                repeats=arguments.repeats,
            ),
        ]  # fmt: skip
        print(environment())
        print_table(rows)
        width, height = map(int, arguments.smear.split("x"))
        where = arguments.keep or Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        truth = None
        if arguments.dataset:
            pixels, truth = stitch_smear(arguments.dataset, height, width)
        else:
            pixels = draw_smear(height, width)
        tifffile.imwrite(where / "smear.tif", pixels, photometric="rgb")
        command = [sys.executable, "-m", "cellscope", "nucleus-seg", "predict", str(where / "smear.tif"), "--overwrite"]
        measured = run_process([*command, "-o", str(where / "out"), "--num-workers", "0", "-q"], timeout=3600)
        if measured["returncode"]:
            raise RuntimeError(measured["stdout"])
        peak = f"peak memory {measured['peak_mib']:.0f} MiB"
        print(f"one command on a smear of {arguments.smear}: {measured['seconds']:.1f} s, {peak}")
        if truth is not None:
            labels = tifffile.imread(where / "out" / "smear.labels.tif")
            dice = 2 * (truth & (labels > 0)).sum() / (truth.sum() + (labels > 0).sum())
            print(f"{labels.max()} nuclei, Dice with the annotation {dice:.4f}")


if __name__ == "__main__":
    main()
