"""`cellscope karyotype prepare`: public layouts in, one prepared dataset out."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle

from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.datasets.grouping import Origin, dealt
from cellscope.assays.karyotype.datasets.sources import FORMATS, Instance, Record
from cellscope.assays.karyotype.datasets.sources.known import KNOWN
from cellscope.engine.regroup import regroup
from cellscope.errors import DatasetError, InputError
from cellscope.imaging.tone import to_grey
from cellscope.io.annotations.picture import read_picture
from cellscope.io.annotations.tally import Tally
from cellscope.io.choice import Wants
from cellscope.io.prepared import write_dataset
from cellscope.io.read import read
from cellscope.io.sources import OWN, store_sources
from cellscope.io.splits import Item, divided, path_in_source
from cellscope.io.text import one_line
from cellscope.io.write import write_json, write_png
from cellscope.options.common import PrepareOptions
from cellscope.report.preview import Shown, write_preview


def prepare(sources: list[Path], out: Path, options: PrepareOptions) -> int:
    """Turn source folders into one prepared dataset.

    Parameters
    ----------
    sources : list of Path
        Folders in any of the layouts of `cellscope.assays.karyotype.datasets.sources`.
    out : Path
        The dataset folder to make.
    options : PrepareOptions

    Returns
    -------
    int
        Exit code 0.

    Raises
    ------
    DatasetError, UsageError
        If a source is not recognised or broken, or `out` already holds a dataset.
    """
    out = Path(out)
    origins: list[Origin] = []

    def store(record: Record, source: Path, name: str, tally: Tally) -> list[Item]:
        item = replace(_store(record, name, out), origin=path_in_source(record.path, source))
        origins.append(Origin(record.group, record.case, record.abnormal))
        alone = [record.class_] if record.instances is None else []
        tally.image([*alone, *(instance.class_ or "" for instance in record.instances or ())])
        return [item]

    items, facts = store_sources(
        sources,
        out,
        options,
        FORMATS,
        store,
        folders=("images", "chromosomes", "targets"),
        licence=lambda name, _: KNOWN[name].licence if name in KNOWN else OWN,
    )
    for each in facts:
        if each["name"] in KNOWN and KNOWN[each["name"]].short_arm_up:
            each["short_arm_up"] = True
    items, splits = divided(
        regroup(dealt(items, origins, options.splits, options.seed), options.group_by),
        options.splits,
        held_out=options.hold_out,
        table=options.split_table,
    )
    write_dataset(
        out,
        items,
        assay="karyotype",
        classes=list(CLASSES),
        sources=facts,
        pixel_size_um=None,
        seed=options.seed,
        splits=splits,
        folds=options.folds,
    )
    metaphases = [item for item in items if item.target]
    write_preview(out, metaphases or items, partial(_shown, out))
    return 0


def _shown(out: Path, item: Item) -> Shown:
    """Read an item for the preview: chromosomes outlined, boxes where there are no masks; single ones by class."""
    pixels = read(out / item.image).pixels
    if not item.target:
        return Shown(pixels, caption=item.class_)
    annotations = json.loads((out / item.target).read_text(encoding="utf-8"))["annotations"]
    labels = np.zeros(pixels.shape[:2], np.int32)
    boxes = []
    for number, one in enumerate(annotations, 1):
        if one["segmentation"] is None:
            boxes.append(one["bbox"])
        else:
            labels[rle.decode(one["segmentation"]) > 0] = number
    return Shown(pixels, (labels,), boxes, f"{len(annotations)} chromosomes")


def _store(record: Record, source: str, out: Path) -> Item:
    """Write one record's files and give its row. Images are stored grey, 8 bit, as the networks take them."""
    try:
        image = read_picture(record.path, Wants.STAIN)
    except InputError as error:
        raise DatasetError(str(error)) from error
    grey = to_grey(image.pixels)
    if image.pixels.dtype != np.uint8:
        low, high = np.percentile(grey, [0.01, 99.99])
        grey = (grey - low) * (255.0 / max(high - low, 1e-6))
    pixels = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    if record.shape is not None and record.shape != pixels.shape:
        named = one_line(record.source.name) if record.source else ""
        raise DatasetError(
            f"{one_line(record.path)}: the image is {pixels.shape[1]} x {pixels.shape[0]} pixels but the annotation "
            f"file {named} says {record.shape[1]} x {record.shape[0]}; the image was resized, annotate it as it is"
        )
    folder = "images" if record.instances is not None else "chromosomes"
    path = f"{folder}/{source}/{record.name}.png"
    (out / path).parent.mkdir(parents=True, exist_ok=True)
    write_png(out / path, pixels)
    target = ""
    if record.instances is not None:
        target = f"targets/{source}/{record.name}.json"
        (out / target).parent.mkdir(parents=True, exist_ok=True)
        write_json(out / target, _target(record.instances, pixels.shape))
    return Item(
        id=f"{source}/{record.name}",
        group=f"{source}/{record.group}",
        image=path,
        target=target,
        class_=record.class_,
        fixed_split="train" if record.train_only else "",
        facts=(KNOWN[source].facts if source in KNOWN else {}) | record.facts,
    )


def _target(instances: list[Instance], shape: tuple[int, int]) -> dict[str, Any]:
    """Give a metaphase's annotation in COCO's terms (`bbox` x, y, width, height; `segmentation` as compressed RLE)."""
    annotations = []
    for number, instance in enumerate(instances, 1):
        segmentation = None
        if instance.mask is not None:
            full = np.zeros(shape, np.uint8)
            x, y = max(int(np.floor(instance.bbox[0])), 0), max(int(np.floor(instance.bbox[1])), 0)
            full[y : y + instance.mask.shape[0], x : x + instance.mask.shape[1]] = instance.mask
            coded = rle.encode(np.asfortranarray(full))
            segmentation = {"size": list(shape), "counts": coded["counts"].decode("ascii")}
        annotations.append(
            {
                "id": number,
                "bbox": [round(value, 2) for value in instance.bbox],
                "class": instance.class_,
                "segmentation": segmentation,
                "ignore": instance.ignore,
            }
        )
    return {"height": shape[0], "width": shape[1], "annotations": annotations}
