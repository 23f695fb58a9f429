"""Chromosomes cut out of metaphases, kept between trainings: cutting some thousand cells takes minutes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from cellscope.assays.karyotype.training.box_masks import load_painter
from cellscope.assays.karyotype.training.classifier_data import Chromosome, collect_chromosomes
from cellscope.io.arrays import read_arrays, write_arrays
from cellscope.io.prepared import PreparedDataset
from cellscope.models.file import sha256
from cellscope.models.registry import locate

#: Changes whenever the same dataset gives other chromosomes.
VERSION = 2


def kept_chromosomes(
    cache: Path | None,
    dataset: PreparedDataset,
    split: str,
    *,
    limit: int | None,
    metaphases: bool = True,
    box_masks: str = "",
) -> list[Chromosome]:
    """Give what `collect_chromosomes` does, from `cache` where it holds that already.

    Parameters
    ----------
    cache : Path or None
        A folder; none keeps nothing.
    dataset, split, limit, metaphases
        As for `collect_chromosomes`; a file is good for these, the dataset's hash and the painter's alone.
    box_masks : str
        Model that draws masks into boxes without one: its painter. None if empty.
    """

    def collected() -> list[Chromosome]:
        painter = load_painter(box_masks) if box_masks else None
        return collect_chromosomes(dataset, split, limit=limit, metaphases=metaphases, painter=painter)

    if cache is None:
        return collected()
    painted = [sha256(locate(box_masks))] if box_masks else []
    rows = hashlib.sha256("\n".join(dataset.items["id"] + dataset.items["split"]).encode()).hexdigest()
    asked = json.dumps([VERSION, dataset.hash, rows, dataset.info["sources"], split, limit, metaphases, *painted])
    path = cache / f"chromosomes-{split}-{hashlib.sha256(asked.encode()).hexdigest()[:16]}.npz"
    found = read_arrays(path)
    if found is None:
        found = _packed(collected())
        write_arrays(path, found)
    return _unpacked(dataset.keep(found))


def _packed(chromosomes: list[Chromosome]) -> dict[str, np.ndarray]:
    return {
        "images": np.concatenate([one.image.ravel() for one in chromosomes] or [np.zeros(0, np.float16)]),
        "masks": np.concatenate([one.mask.ravel() for one in chromosomes] or [np.zeros(0, bool)]),
        "shapes": np.array([one.image.shape for one in chromosomes], np.int32).reshape(-1, 2),
        "labels": np.array([one.label for one in chromosomes], np.int16),
        "short_arm_up": np.array([one.short_arm_up for one in chromosomes], np.int8),
        "sources": np.array([one.source for one in chromosomes], str),
        "groups": np.array([one.group for one in chromosomes], str),
    }


def _unpacked(arrays: dict[str, np.ndarray]) -> list[Chromosome]:
    ends = np.cumsum(arrays["shapes"].prod(1, dtype=np.int64))
    found = []
    for index, (end, shape) in enumerate(zip(ends.tolist(), arrays["shapes"].tolist(), strict=True)):
        place = slice(end - shape[0] * shape[1], end)
        found.append(
            Chromosome(
                arrays["images"][place].reshape(shape),
                arrays["masks"][place].reshape(shape),
                int(arrays["labels"][index]),
                int(arrays["short_arm_up"][index]),
                str(arrays["sources"][index]),
                str(arrays["groups"][index]),
            )
        )
    return found
