"""Nuclei with the built-in model: against the paper's U-Net, against itself in float32, and memory on a large smear.

usage: python benchmarks/nucleus_seg.py [--repeats 5] [--side 512] [--smear 6000x4000]

All sides run in this process with the same threads, in turn, models loaded beforehand. "end to end" reads a file, finds
its scale, segments, separates, measures, draws and writes every output; the U-Net (34,527,041 parameters, random
weights) only runs its forward pass, in float32, on one image of the same side. Then one whole command runs on a
generated smear, and its peak memory is measured.
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

from cellscope.assays.nucleus_seg.config import PredictOptions
from cellscope.assays.nucleus_seg.model import arguments_of, build_network
from cellscope.assays.nucleus_seg.predict import ASSAY, IMAGE
from cellscope.engine.artefacts import write_artefacts
from cellscope.engine.assay import Subject
from cellscope.engine.device import pick_precision
from cellscope.engine.options import RunOptions
from cellscope.engine.predict import load_models
from cellscope.engine.stages import run_subjects
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


def find_nuclei_in(path: Path, out: Path, loaded: Any, dtype: torch.dtype | None) -> None:
    """Do what `predict` does with one input."""
    subject = Subject(path.name, read(path), IMAGE, PredictOptions(), loaded.cards)
    for _, result, error in run_subjects(
        ASSAY,
        [subject],
        loaded.modules,
        run=RunOptions(),
        device=torch.device("cpu"),
        dtype=dtype,
        window=1,
    ):
        if result is None:
            raise RuntimeError(error)
        write_artefacts(out, path.stem, result.artefacts)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--smear", default="6000x4000", metavar="WIDTHxHEIGHT")
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
        smear = Path(folder) / "smear.tif"
        tifffile.imwrite(smear, draw_smear(height, width), photometric="rgb")
        command = [sys.executable, "-m", "cellscope", "nucleus-seg", "predict", str(smear)]
        measured = run_process([*command, "-o", str(Path(folder) / "out"), "--num-workers", "0", "-q"], timeout=3600)
        if measured["returncode"]:
            raise RuntimeError(measured["stdout"])
        peak = f"peak memory {measured['peak_mib']:.0f} MiB"
        print(f"one command on a smear of {arguments.smear}: {measured['seconds']:.1f} s, {peak}")


if __name__ == "__main__":
    main()
