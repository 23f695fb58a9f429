"""The built-in micronucleus networks against themselves in float32 and against EfficientNet-B0; a whole field.

usage: python benchmarks/micronucleus.py [--repeats 5] [--cells 64]

Both sides of a ratio run in this process with the same threads, in turn, models loaded beforehand. "As predict runs
it" is the precision that ``--precision auto`` takes on this machine. EfficientNet-B0 (timm, random weights, which cost
no less) sees crops of the same size. Then one command takes a drawn field of 1024 x 1024 with 200 nuclei from file to
table; its peak memory is measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import tifffile
import timm
import torch
from harness import compare, print_table, run_process

from cellscope.assays.micronucleus.config import PredictOptions
from cellscope.assays.micronucleus.predict import ASSAY, classify, find
from cellscope.engine.assay import Subject
from cellscope.engine.device import autocast, pick_precision
from cellscope.engine.options import RunOptions
from cellscope.engine.predict import load_models
from cellscope.engine.stages import run_subjects
from cellscope.io.read import read

CPU = torch.device("cpu")
SIDE, NUCLEI = 1024, 200


def draw_field(path: Path) -> None:
    """Draw 200 nuclei of about 26 pixels, every tenth with a micronucleus."""
    rng = np.random.default_rng(0)
    signal = np.zeros((SIDE, SIDE), np.float32)
    places = [(y, x) for y in range(40, SIDE - 20, 68) for x in range(40, SIDE - 20, 68)]
    for number, index in enumerate(rng.permutation(len(places))[:NUCLEI]):
        y, x = places[index]
        axes = (int(rng.integers(11, 15)), int(rng.integers(11, 15)))
        cv2.ellipse(signal, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(700, 1400)), -1)
        if number % 10 == 0:
            cv2.circle(signal, (x + 18, y), 3, 600.0, -1)
    grey = cv2.GaussianBlur(signal, (0, 0), 1.0) + 120 + rng.normal(0, 9, signal.shape)
    tifffile.imwrite(path, np.clip(grey, 0, 65535).astype(np.uint16))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cells", type=int, default=64)
    arguments = parser.parse_args()
    loaded = load_models(ASSAY, [], CPU)
    dtype = pick_precision("auto", CPU)
    size = int(loaded.cards["classify"].normalisation["input_size"])
    crops = list(torch.rand(arguments.cells, 1, size, size))
    view = [torch.rand(2, 1024, 1024)]
    peer = timm.create_model("efficientnet_b0", num_classes=2).eval()
    colour = torch.rand(arguments.cells, 3, size, size)

    def run(part: str, precision: torch.dtype | None) -> None:
        forward, batch = (find, view) if part == "nuclei" else (classify, crops)
        with torch.inference_mode(), autocast(CPU, precision):
            forward(loaded.modules[part], batch)

    def run_peer(precision: torch.dtype | None) -> None:
        with torch.inference_mode(), autocast(CPU, precision):
            peer(colour)

    mine = f"as predict runs it ({dtype or torch.float32})".replace("torch.", "")
    rows = [
        compare(
            f"{part}, eager float32", lambda part=part: run(part, None),
            f"{part}, {mine}", lambda part=part: run(part, dtype), repeats=arguments.repeats,
        )
        for part in ("nuclei", "classify")
    ]  # fmt: skip
    peer_row = compare(
        f"EfficientNet-B0, {arguments.cells} crops of {size}, same precision", lambda: run_peer(dtype),
        f"classify, {mine}", lambda: run("classify", dtype), repeats=arguments.repeats,
    )  # fmt: skip
    rows.append(peer_row)
    print_table(rows, title="micronucleus speed")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_field(folder / "field.tif")

        def whole_field() -> int:
            subject = Subject("field.tif", read(folder / "field.tif"), "field", PredictOptions(), loaded.cards)
            options = {"run": RunOptions(), "device": CPU, "dtype": dtype, "window": 1}
            [(_, result, error)] = list(run_subjects(ASSAY, [subject], loaded.modules, **options))  # type: ignore[arg-type]
            if result is None:
                raise RuntimeError(error)
            return len(result.objects)

        whole_field()
        began = time.perf_counter()
        found = whole_field()
        seconds = time.perf_counter() - began
        print(f"a field of {SIDE} x {SIDE}, {NUCLEI} nuclei drawn, {found} found: {seconds:.2f} s, models loaded")
        words = [
            "-m",
            "cellscope",
            "micronucleus",
            "predict",
            str(folder / "field.tif"),
            "-o",
            str(folder / "out"),
            "-q",
        ]
        measured = run_process([sys.executable, *words], timeout=3600)
        print(f"the whole command: {measured['seconds']:.1f} s, peak memory {measured['peak_mib']:.0f} MiB")


if __name__ == "__main__":
    main()
