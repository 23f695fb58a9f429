"""`cellscope micronucleus prepare`: fields and crops in, one prepared dataset out.

A field becomes an item with a target (nuclei, micronuclei, parents) and no class, and every annotated cell in it an
item of its own: a crop with a class and, where micronuclei are outlined, a mask of its own. Both have the field as
their group.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from skimage.measure import regionprops

from cellscope.assays.micronucleus.classes import CLASSES, MICRONUCLEUS, NORMAL
from cellscope.assays.micronucleus.classify.crops import CROP, cell_crop, owners
from cellscope.assays.micronucleus.datasets.balance import balance
from cellscope.assays.micronucleus.datasets.fields import OUTLINED, SOME
from cellscope.assays.micronucleus.datasets.sources import FORMATS, CropRecord, FieldRecord
from cellscope.assays.micronucleus.field.field import median_diameter
from cellscope.assays.micronucleus.options import MicronucleusPrepareOptions
from cellscope.engine.regroup import regroup
from cellscope.errors import DatasetError
from cellscope.io.annotations.placed import standing_out
from cellscope.io.annotations.tally import Tally
from cellscope.io.prepared import write_dataset
from cellscope.io.sources import OWN, store_sources
from cellscope.io.splits import Item, divided
from cellscope.io.write import write_png
from cellscope.report.preview import Shown, write_preview

LICENCES = {
    "mnfinder": "MNFinder fields, Hatch laboratory (github hatch-lab/mnfinder), MIT-style licence",
    "dsb2018_fluorescence": "Data Science Bowl 2018 (BBBC038), Caicedo et al., Nat. Methods 16 (2019), CC0; small "
    "bodies judged by eye",
}
#: By the name of the data set's folder.
LABORATORIES = {"mnfinder": "hatch"}
FOLDERS = ("fields", "targets", "crops")
MIN_CROP = 32
MOST = 0.5


def prepare(sources: list[Path], out: Path, options: MicronucleusPrepareOptions) -> int:
    """Turn sources into one prepared dataset.

    Parameters
    ----------
    sources : list of Path
        In any of the layouts of `cellscope.assays.micronucleus.datasets.sources`.
    out : Path
        The dataset folder to make.
    options : MicronucleusPrepareOptions

    Returns
    -------
    int
        Exit code 0.

    Raises
    ------
    DatasetError, UsageError
        If a source is not recognised or broken, a cell line to hold out is not there, or `out` already holds a dataset.
    """
    out = Path(out)

    def store(record: FieldRecord | CropRecord, _source: Path, name: str, tally: Tally) -> list[Item]:
        origin = {"laboratory": LABORATORIES.get(name, "")}
        if isinstance(record, FieldRecord):
            own = _store_field(record, out, options, origin | record.facts)
            tally.image(_objects_of(record))
            tally.placed(record.name, *standing_out(record.grey, record.nuclei, dark=False))
            return own
        tally.image([record.class_])
        return [_store_crop(record, out, origin)]

    items, facts = store_sources(
        sources,
        out,
        options,
        FORMATS,
        store,
        folders=FOLDERS,
        names=[source.resolve().name for source in sources],
        licence=lambda name, layout: LICENCES.get(name, LICENCES.get(layout, OWN)),
        read=lambda reader, source: reader.read_source(source, options),
    )
    _refuse_one_class(items)
    items, first = regroup(items, options.group_by), 0
    for each in facts:
        place = slice(first, first := first + each["items"])
        items[place] = _largest_to_training(items[place], options.splits)
    items, splits = divided(
        items, options.splits, held_out=options.hold_out, table=options.split_table, what="cell line"
    )
    if options.recipe == "paper":
        items = balance(items, out, replace(options, splits=splits))
    write_dataset(
        out,
        items,
        assay="micronucleus",
        classes=list(CLASSES),
        sources=facts,
        pixel_size_um=None,
        seed=options.seed,
        splits=splits,
        folds=options.folds,
        extra={"recipe": options.recipe, "hold_out": options.hold_out, "crop_size": options.crop_size},
    )
    write_preview(out, _spread(items), partial(_shown, out))
    return 0


def _largest_to_training(items: list[Item], splits: tuple[float, float, float]) -> list[Item]:
    """Send a group of several fields that is most of its source to training, where most is to go."""
    fields = Counter(item.group for item in items if not item.class_)
    largest = {group for group, count in fields.items() if count > max(1, fields.total() / 2)}
    if splits[0] < MOST:
        return items
    return [replace(item, fixed_split="train") if item.group in largest else item for item in items]


def _objects_of(record: FieldRecord) -> list[str]:
    """List what a field holds: the class of every nucleus, and its micronuclei where they are outlined."""
    unknown = len(np.unique(record.nuclei)) - 1 - len(record.classes)
    outlined = 0 if record.micronuclei is None else len(np.unique(record.micronuclei)) - 1
    listed = [f"{class_} cells" for class_ in record.classes.values()]
    return [*listed, *["cells of no class"] * max(unknown, 0), *["outlined micronuclei"] * outlined]


def _refuse_one_class(items: list[Item]) -> None:
    """Refuse crops of one class alone: nothing can be learnt from them.

    Raises
    ------
    DatasetError
    """
    found = {item.class_ for item in items if item.class_}
    if len(found) == 1 and all(item.class_ for item in items):
        raise DatasetError(
            f"all {len(items)} crops are of one class, {found.pop()}; a classifier needs both, "
            f"{NORMAL} and {MICRONUCLEUS}: add a folder of the other"
        )


def _spread(items: list[Item]) -> list[Item]:
    """Choose what the preview shows: fields where there are any, else crops."""
    return [item for item in items if not item.class_] or items


def _shown(out: Path, item: Item) -> Shown:
    """Read an item for the preview: nuclei and micronuclei of a field, the class of a crop."""
    pixels = cv2.imread(str(out / item.image), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, "it was written a moment ago"
    if item.class_ or not item.target:
        return Shown(pixels, caption=item.class_)
    target = cv2.imread(str(out / item.target), cv2.IMREAD_UNCHANGED)
    assert target is not None, "it was written a moment ago"
    nuclei, micronuclei = target[..., 2].astype(int), target[..., 1].astype(int)  # OpenCV turns red and blue round
    return Shown(pixels, (nuclei, micronuclei), caption=f"{nuclei.max()} nuclei, {micronuclei.max()} micronuclei")


def _store_field(record: FieldRecord, out: Path, options: Any, facts: dict[str, str]) -> list[Item]:
    """Write a field, its target and a crop per annotated nucleus; a field without a nucleus is kept, without crops."""
    place, group = f"{record.line}/{record.name}", f"{record.line}/{record.group or record.name}"
    items = []
    if record.micronuclei is not None:
        image, target = f"fields/{place}.png", f"targets/{place}.png"
        _write(out / image, record.grey)
        _write(out / target, encode_target(record.nuclei, record.micronuclei, record.parents))
        outlined = {} if record.complete else {OUTLINED: SOME}
        items.append(Item(id=place, group=group, image=image, target=target, facts=facts | outlined))
    if not record.classes:
        if not record.nuclei.any():
            print(f"{place}: a field without annotated nuclei", file=sys.stderr)
        return items
    diameter = median_diameter(record.nuclei)
    assert diameter is not None
    grey, owner = record.grey.astype(np.float32), owners(record.nuclei)
    for region in regionprops(record.nuclei):
        class_ = record.classes.get(int(region.label))
        if class_ is None:
            continue
        crop = cell_crop(grey, record.nuclei, owner, region.label, region.centroid, diameter, options.crop_size or CROP)
        path, target = f"crops/{place}/{region.label:04d}.png", ""
        top = np.iinfo(record.grey.dtype).max
        _write(out / path, np.clip(np.rint(crop), 0, top).astype(record.grey.dtype))
        if record.micronuclei is not None:
            target = f"targets/{place}/{region.label:04d}.png"
            own = [mn for mn, parent in record.parents.items() if parent == region.label]
            mask = np.isin(record.micronuclei, own).astype(np.float32) * 255
            shown = cell_crop(
                mask, record.nuclei, owner, region.label, region.centroid, diameter, options.crop_size or CROP
            )
            _write(out / target, np.rint(shown).astype(np.uint8))
        name = f"{place}/{region.label:04d}"
        items.append(Item(id=name, group=group, image=path, target=target, class_=class_, facts=facts))
    return items


def _store_crop(record: CropRecord, out: Path, facts: dict[str, str]) -> Item:
    if min(record.grey.shape) < MIN_CROP:
        height, width = record.grey.shape
        raise DatasetError(
            f"{record.name}: the crop is {width} x {height} pixels, too small to show a nucleus with its surroundings "
            f"(at least {MIN_CROP})"
        )
    path = f"crops/{record.line}/{record.name}.png"
    _write(out / path, record.grey)
    return Item(
        id=f"{record.line}/{record.name}",
        group=f"{record.line}/{record.group}",
        image=path,
        class_=record.class_,
        facts=facts,
    )


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, pixels)


def encode_target(nuclei: np.ndarray, micronuclei: np.ndarray, parents: dict[int, int]) -> np.ndarray:
    """Put a field's annotation into one picture: (H, W, 3) uint16 of nucleus, micronucleus and its parent (0: none).

    Raises
    ------
    DatasetError
        For more than 65535 objects.
    """
    if max(int(nuclei.max()), int(micronuclei.max())) > 65535:
        raise DatasetError("a field may hold at most 65535 nuclei and as many micronuclei")
    lookup = np.zeros(int(micronuclei.max()) + 1, np.uint16)
    for label, parent in parents.items():
        lookup[label] = parent
    return np.stack([nuclei, micronuclei, lookup[micronuclei]], 2).astype(np.uint16)
