"""A finished run written by hand, with what is hard for other programs: overlaps, holes, parts, odd names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from pycocotools import mask as coco

PIXEL_UM = 0.25
IMAGES = ("day 1/a.b.tif", "day 1/none.tif", "broken.tif")
"""The second one holds no object, the third one failed."""


@dataclass
class Finished:
    """The run's folder, its images' folder, the truth of the first image."""

    out: Path
    images: Path
    pixels: np.ndarray
    masks: dict[int, np.ndarray]
    classes: dict[int, str]


def masks_of(assay: str) -> dict[int, np.ndarray]:
    """Draw objects in 60 x 90 pixels: one with a hole, one in two parts, one plain; of chromosomes two cross."""
    drawn = {number: np.zeros((60, 90), bool) for number in (1, 2, 3)}
    drawn[1][5:25, 5:30] = True
    drawn[1][10:15, 10:20] = False
    drawn[2][30:40, 5:15] = drawn[2][44:50, 5:15] = True
    drawn[3][30:50, 50:54] = True
    if assay == "karyotype":
        drawn[2][:] = False
        drawn[2][38:42, 40:70] = True
    return drawn


def write_run(folder: Path, assay: str) -> Finished:
    """Write OUT of `predict` as far as exports read it."""
    out, images = folder / "out", folder / "images"
    masks = masks_of(assay)
    classes = {1: "1", 2: "X", 3: "1"} if assay == "karyotype" else {1: "nucleus", 2: "nucleus", 3: "nucleus"}
    channels = 1 if assay == "karyotype" else 3
    pixels = np.random.default_rng(0).integers(0, 255, (60, 90, channels)).astype(np.uint8)
    for image in IMAGES[:2]:
        (out / image).parent.mkdir(parents=True, exist_ok=True)
        (images / image).parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(images / image, pixels.squeeze(), photometric="rgb" if channels == 3 else "minisblack")
    labels = np.zeros((60, 90), np.uint16)
    for number in sorted(masks, key=lambda one: -masks[one].sum()):  # the smaller of two that overlap
        labels[masks[number]] = number
    outputs = {image: [] for image in IMAGES}
    for image, found in zip(IMAGES[:2], (labels, np.zeros_like(labels)), strict=True):
        stem = image.removesuffix(".tif")
        tifffile.imwrite(out / f"{stem}.labels.tif", found)
        outputs[image].append(f"{stem}.labels.tif")
        if assay == "karyotype":
            annotations = [_annotation(number, mask) for number, mask in masks.items() if image == IMAGES[0]]
            (out / f"{stem}.coco.json").write_text(json.dumps({"annotations": annotations}), "utf-8")
    rows = [
        {
            "image": IMAGES[0], "label": number, "class": classes[number], "score": 0.9, "review": number == 2,
            **({"p_1": 0.75, "p_X": 0.25} if assay == "karyotype" else {}),
            "centroid-0": float(np.nonzero(mask)[0].mean()), "centroid-1": float(np.nonzero(mask)[1].mean()),
            "area": float(mask.sum()), "solidity": 0.5 if number == 1 else None,
            "reasons": "odd shape" if number == 2 else None, "touching": number == 3,
            "area_um2": float(f"{mask.sum() * PIXEL_UM**2:.6g}"),
        }
        for number, mask in masks.items()
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(out / "objects.csv", index=False)
    status = dict(zip(IMAGES, ("ok", "ok", "failed"), strict=True))
    table = [
        {"image": image, "status": status[image], "error": "" if status[image] == "ok" else "damaged", "kind": "image",
         "n_objects": len(rows) * (image == IMAGES[0])}
        for image in IMAGES
    ]  # fmt: skip
    pd.DataFrame(table).to_csv(out / "images.csv", index=False)
    record = {
        "schema": "cellscope.run/1", "assay": assay, "command": "predict", "version": "0", "status": "complete",
        "started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:00:01+00:00",
        "counts": {"objects": len(rows)}, "models": [{"part": "x", "classes": ["1", "X"]}],
        "options": {"run": {"pixel_size": None, "max_pixels": 2**28}, assay: {}},
        "inputs": [
            {"image": image, "path": str(images / image), "status": status[image], "error": "", "warnings": [],
             "outputs": outputs[image]}
            for image in IMAGES
        ],
    }  # fmt: skip
    (out / "run.json").write_text(json.dumps(record), "utf-8")
    return Finished(out, images, pixels, masks, classes)


def _annotation(number: int, mask: np.ndarray) -> dict[str, object]:
    packed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"id": number, "segmentation": {"size": list(packed["size"]), "counts": packed["counts"].decode()}}
