"""Nuclei in tissue: post-processing, metrics, the built-in network against the paper's, memory of a slide.

usage: python benchmarks/histo.py [--repeats 5] [--only post,growth,metrics,network,slide]
                                  [--slide 20000] [--pitch N] [--model M]

All sides run in this process with the same threads, in turn, and give equal results before they are timed. The loop
that post-processing is compared with does what published code does: after the same edges, markers and watershed it
makes one mask of the whole image per nucleus, to find its place and to drop it if it is small. The networks have random
weights and run their forward pass alone, each at its own window. The slide is drawn, tissue on a part of it and glass
around, written as a pyramid, and predicted by one command whose peak memory is measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
import torch
from harness import compare, environment, print_table, run_process
from scipy import ndimage

from cellscope.assays.histo.networks.registry import arguments_of, build_network, geometry
from cellscope.assays.histo.nuclei.maps import distances, nucleus, types
from cellscope.assays.histo.nuclei.postprocess import _markers, edge_strength, find_nuclei
from cellscope.imaging.labels import marker_watershed
from cellscope.metrics.instance_summary import measure_image

PITCH = 41
"""Nuclei lie about this many pixels apart: 2,500 on 2048 x 2048, some of them in touching pairs."""


def draw_maps(side: int, seed: int = 0, n_types: int = 4) -> np.ndarray:
    """Give the maps of elliptic nuclei, with the noise of a network's."""
    rng = np.random.default_rng(seed)
    maps = np.zeros((side, side, 3 + n_types), np.float32)
    maps[..., 3:] = 1 / n_types
    rows, columns = np.mgrid[-16:17, -16:17]
    for y in range(PITCH // 2, side - 16, PITCH):
        for x in range(PITCH // 2, side - 16, PITCH):
            cy, cx = (
                int(np.clip(y + rng.integers(-9, 10), 16, side - 17)),
                int(np.clip(x + rng.integers(-9, 10), 16, side - 17)),
            )
            a, b = rng.uniform(7, 13, 2)
            h, v = columns / a, rows / b
            box = maps[cy - 16 : cy + 17, cx - 16 : cx + 17]
            inside = (h * h + v * v <= 1) & (box[..., 0] == 0)
            box[inside, 0], box[inside, 1], box[inside, 2] = 1, h[inside], v[inside]
            box[inside, 3:] = rng.dirichlet(np.ones(n_types))
    noise = cv2.GaussianBlur(rng.normal(0, 0.6, (side, side, 3)).astype(np.float32), (0, 0), 2)
    maps[..., :3] = cv2.GaussianBlur(maps[..., :3], (0, 0), 1.0) + noise
    return maps.astype(np.float16)


def find_by_loop(maps: np.ndarray, least: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Do the same one nucleus and one whole-image mask at a time."""
    foreground, kinds = nucleus(maps), types(maps)
    mask = foreground > 0.5
    edges = edge_strength(distances(maps), mask, 1.25)
    raw = marker_watershed(-edges, _markers(mask & (edges < 0.12), 3, 10), mask)
    labels, averages = np.zeros_like(raw), []
    for label in range(1, int(raw.max()) + 1):
        alone = raw == label
        rows, columns = np.flatnonzero(alone.any(1)), np.flatnonzero(alone.any(0))
        place = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        if alone[place].sum() < least:
            continue
        filled = alone[place] | (ndimage.binary_fill_holes(alone[place]) & (raw[place] == 0))
        labels[place][filled] = len(averages) + 1
        averages.append(kinds[place][filled].astype(float).mean(0))
    return labels, np.array(averages)


def post_processing(repeats: int) -> dict[str, Any]:
    """Compare post-processing with the loop on 2048 x 2048 pixels."""
    maps = draw_maps(2048)
    ours = find_nuclei(maps)
    labels, averages = find_by_loop(maps)
    print(f"post-processing: {len(ours.score)} nuclei")
    # The same regions with the same types; numbers differ, since the loop's follow the markers.
    pairs = np.unique(np.stack([ours.labels.ravel(), labels.ravel()], 1), axis=0)
    if len(pairs) != len(ours.score) + 1 or len(pairs) != len(averages) + 1:
        raise RuntimeError("the loop does not find the same nuclei")
    theirs = averages[pairs[1:, 1] - 1]
    np.testing.assert_allclose(ours.probabilities[pairs[1:, 0] - 1], theirs / theirs.sum(1, keepdims=True), atol=1e-3)
    return compare(
        "whole-image mask per nucleus", lambda: find_by_loop(maps), "cellscope", lambda: find_nuclei(maps),
        repeats=min(repeats, 3), warmup=0,
    )  # fmt: skip


def growth(repeats: int) -> dict[str, Any]:
    """Compare 4096 x 4096 pixels at once with sixteen of 1024 x 1024: 1 where the time is linear in the area.

    Sixteen different ones: a single small one would stay in the processor's cache, as nothing of a slide does.
    """
    small = [draw_maps(1024, seed) for seed in range(16)]
    large = np.concatenate([np.concatenate(small[row : row + 4], 1) for row in range(0, 16, 4)])

    def sixteen() -> None:
        for maps in small:
            find_nuclei(maps)

    return compare("4096 x 4096 once", lambda: find_nuclei(large), "1024 x 1024 16 times", sixteen, repeats=repeats)


def metrics(repeats: int) -> dict[str, Any]:
    """Compare all metrics of a 1000 x 1000 image with a PQ that makes one mask per nucleus."""
    maps = draw_maps(1000, seed=1)
    truth = find_nuclei(maps).labels
    found = np.roll(truth, (2, -1), (0, 1))
    rng = np.random.default_rng(0)
    true_types, found_types = (rng.integers(0, 4, len(np.unique(labels)) - 1) for labels in (truth, found))
    print(f"metrics: {truth.max()} true nuclei, {found.max()} found")

    def ours() -> Any:
        return measure_image(truth, found, true_types, found_types, 4)

    def slow() -> float:
        hits = []
        for label in np.unique(truth)[1:]:
            mask = truth == label
            for other in np.unique(found[mask]):
                if other:
                    second = found == other
                    iou = (mask & second).sum() / (mask | second).sum()
                    hits += [iou] if iou > 0.5 else []
        total = (len(np.unique(truth)) + len(np.unique(found)) - 2) / 2
        return float(sum(hits) / total)

    counts = ours().by_overlap[0]
    np.testing.assert_allclose(counts[5] / (counts[0] + (counts[3] + counts[4]) / 2), slow())
    row = compare("PQ alone, a mask per nucleus", slow, "cellscope, all metrics", ours, repeats=repeats)
    processor = []
    for _ in range(9):
        began = time.process_time()
        ours()
        processor.append(time.process_time() - began)
    fastest = min(row["times_b"]) * 1e3
    print(f"all metrics: fastest {fastest:.0f} ms, processor time {np.median(processor) * 1e3:.0f} ms (median of 9)")
    return row


def network(repeats: int) -> dict[str, Any]:
    """Compare the pixels per second of HistoNeXt-Tiny and of the built-in network, in bfloat16."""
    sides: list[tuple[str, Callable[[], Any], int]] = []
    for arch in ("histonext-tiny", "histonext-atto"):
        arguments = arguments_of(arch, 4)
        module = build_network(arguments).eval().to(memory_format=torch.channels_last)
        core, margin, _ = geometry(arguments)
        window = torch.rand(1, 3, core + 2 * margin, core + 2 * margin).contiguous(memory_format=torch.channels_last)

        def run(module: torch.nn.Module = module, window: torch.Tensor = window) -> None:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                module(window)

        sides.append((arch, run, core * core))
    (name_a, fn_a, pixels_a), (name_b, fn_b, pixels_b) = sides
    row = compare(name_a, fn_a, name_b, fn_b, repeats=repeats)
    share = pixels_b / pixels_a
    for side, pixels in (("a", pixels_a), ("b", pixels_b)):
        row[f"name_{side}"] += f", {pixels} pixels"
        print(f"{row[f'name_{side}']}: {pixels / row[f'median_{side}'] / 1e6:.4f} million pixels per second")
    print(f"pixels per second, built-in / Tiny: {row['ratio'] * share:.1f}")
    return row


def draw_tissue(pitch: int | None) -> np.ndarray:
    """Draw 1024 x 1024 pixels of tissue: 600 nuclei anywhere, or smaller ones so many pixels apart."""
    rng = np.random.default_rng(0)
    tile = np.full((1024, 1024, 3), (232, 186, 210), np.uint8)
    places: list[list[int] | None] = [None] * 600
    low, high = 8, 15
    if pitch is not None:
        middles = range(pitch // 2, 1024 - pitch // 2, pitch)
        places, low, high = [[x, y] for y in middles for x in middles], pitch // 3, pitch // 3 + 2
    for fixed in places:
        place = fixed or rng.integers(0, 1024, 2).tolist()
        axes = rng.integers(low, high, 2).tolist()
        cv2.ellipse(tile, place, axes, float(rng.uniform(0, 180)), 0, 360, (112, 70, 150), -1, cv2.LINE_AA)
    return np.clip(tile + rng.normal(0, 5, tile.shape), 0, 255).astype(np.uint8)


def draw_slide(path: Path, side: int, tissue: float, pitch: int | None) -> None:
    """Write a pyramid of three levels: glass, and tissue on a disc of this share of the area (from 1 on all over)."""
    tile = draw_tissue(pitch)
    radius = side * (np.sqrt(tissue / np.pi) if tissue < 1 else 1)

    def tiles(factor: int) -> Any:
        small = cv2.resize(tile, (1024 // factor, 1024 // factor), interpolation=cv2.INTER_AREA)
        for top in range(0, side // factor, 512):
            for left in range(0, side // factor, 512):
                out = np.full((512, 512, 3), 244, np.uint8)
                rows, columns = np.mgrid[top : top + 512, left : left + 512]
                inside = np.hypot(rows * factor - side / 2, columns * factor - side / 2) < radius
                texture = small[rows % len(small), columns % len(small)]
                out[inside] = texture[inside]
                yield out

    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for number, factor in enumerate((1, 4, 16)):
            size = 0.25e-4 * factor
            writer.write(
                tiles(factor), shape=(side // factor, side // factor, 3), dtype=np.uint8, tile=(512, 512),
                photometric="rgb", compression="jpeg", resolution=(1 / size, 1 / size), resolutionunit="CENTIMETER",
                subifds=2 if number == 0 else None, subfiletype=0 if number == 0 else 1,
            )  # fmt: skip


def slide(side: int, model: str | None, tissue: float, pitch: int | None) -> None:
    """Predict a drawn slide in one command and say what memory that took."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.tif"
        draw_slide(path, side, tissue, pitch)
        command = [
            sys.executable,
            "-m",
            "cellscope",
            "histo",
            "predict",
            str(path),
            "-o",
            f"{folder}/out",
            "--device",
            "cpu",
        ]
        done = run_process([*command, *(["-m", model] if model else [])], timeout=6 * 3600)
        if done["returncode"]:
            raise RuntimeError(done["stdout"][-2000:])
        table = (Path(folder) / "out/images.csv").read_text().splitlines()
        count = dict(zip(table[0].split(","), table[1].split(","), strict=True))["n_objects"]
        millimetres = min(tissue, 1) * (side * 0.25e-3) ** 2
        print(
            f"slide of {side} x {side} ({millimetres:.2f} mm2 of tissue, {model or 'built-in model'}): {count} nuclei, "
            f"{done['seconds']:.0f} s, peak memory {done['peak_mib'] / 1024:.2f} GiB"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="post,growth,metrics,network,slide")
    parser.add_argument("--slide", type=int, default=20000)
    parser.add_argument("--tissue", type=float, default=0.2, help="share of the slide")
    parser.add_argument("--pitch", type=int, help="pixels between its nuclei; 19 makes a million of 20,000 x 20,000")
    parser.add_argument("--model", help="for the slide; the built-in one without")
    arguments = parser.parse_args()
    began = time.monotonic()
    print(environment())
    chosen = arguments.only.split(",")
    makers = {"post": post_processing, "growth": growth, "metrics": metrics, "network": network}
    rows = [makers[name](arguments.repeats) for name in makers if name in chosen]
    if rows:
        print_table(rows)
    if "slide" in chosen:
        slide(arguments.slide, arguments.model, arguments.tissue, arguments.pitch)
    print(f"{time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
