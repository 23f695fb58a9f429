"""`cellscope histo prepare`: public layouts and own annotations in, one prepared dataset out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from cellscope.assays.histo.classes import PIXEL_SIZE_UM, UNTYPED
from cellscope.assays.histo.datasets.known import licence_of, with_facts
from cellscope.assays.histo.datasets.sources import FORMATS, Annotated, Choices, Record, Source
from cellscope.assays.histo.datasets.sources.tissue_record import CASE, separate
from cellscope.assays.histo.datasets.tiles import unknown_of
from cellscope.assays.histo.options import HistoPrepareOptions
from cellscope.engine.regroup import regroup
from cellscope.errors import DatasetError
from cellscope.imaging.labels import relabel
from cellscope.io.annotations.label_image import read_label_image
from cellscope.io.annotations.picture import choosing
from cellscope.io.annotations.placed import standing_out
from cellscope.io.annotations.tally import Tally, gathering, tell
from cellscope.io.prepared import write_dataset
from cellscope.io.read import read
from cellscope.io.sources import choose_format, clear_dataset, refuse_existing, source_names
from cellscope.io.splits import Item, divided, path_in_source
from cellscope.io.write import write_csv, write_labels, write_png
from cellscope.report.preview import Shown, write_preview

#: Scanners' 40x differ by a few per cent, and resampling costs sharpness: nearer scales are left alone.
SAME_SCALE = 0.1
#: Where only some nuclei are outlined, this much around each is known to be background.
NEAR_UM = 3.0


def prepare(sources: list[Path], out: Path, options: HistoPrepareOptions) -> int:
    """Turn sources into one prepared dataset, at 0.25 um a pixel unless ``--at-pixel-size`` says otherwise.

    An item is an RGB image (PNG), a label image (TIFF, 1..N) and, where its source is typed, a table ``id,class`` with
    the name of the label image and ``.csv``; a nucleus missing there is of unknown type. A mask of what is not known,
    if anything is, has the name of the label image and ``.unknown.png``.

    Parameters
    ----------
    sources : list of Path
        In any of the layouts of `cellscope.assays.histo.datasets.sources`.
    out : Path
        The dataset folder to make.
    options : HistoPrepareOptions
        A source that comes in folds brings its own.

    Returns
    -------
    int
        Exit code 0.

    Raises
    ------
    DatasetError, UsageError
        If a source is not recognised or broken, two typed sources differ in their types, or `out` already holds a
        dataset.
    """
    out = Path(out)
    refuse_existing(out, overwrite=options.overwrite)
    found: list[tuple[str, str, Source]] = []
    tallies: list[Tally] = []
    for source, name in zip(sources, source_names(sources), strict=True):
        with gathering() as tally, choosing(options):
            layout = choose_format(source, options.format, FORMATS)
            listed = FORMATS[layout].read(source, Choices(options.types, options.classes, options.binary))
        tallies.append(tally)
        if not listed.records:
            raise DatasetError(f"{source} holds no annotated image in the layout '{layout}'")
        found.append((name, layout, with_facts(name, listed, merge=options.types == "hovernet")))
    declared = _common_classes(found)
    clear_dataset(out, ("images", "targets"))
    items: list[Item] = []
    facts: list[dict[str, Any]] = []
    beside: list[str] = []
    for source, (name, layout, listed), tally in zip(sources, found, tallies, strict=True):
        count, typed, hidden, pixels = 0, 0, 0, 0
        for record in listed.records:
            with gathering(tally), choosing(options):
                nuclei = separate(record.load(), record.path, split=options.pieces == "split")
            tally.placed(record.name, *standing_out(nuclei.image, nuclei.labels, dark=True))
            stated = listed.pixel_size_um or options.pixel_size or nuclei.pixel_size_um
            nuclei = at_scale(nuclei, stated or PIXEL_SIZE_UM, options.at_pixel_size)
            count += int(nuclei.labels.max(initial=0))
            numbers = range(1, int(nuclei.labels.max(initial=0)) + 1)
            tally.image((nuclei.types or {}).get(number, "" if listed.classes else UNTYPED[0]) for number in numbers)
            if options.outlined == "some":
                nuclei = only_near(nuclei, options.at_pixel_size)
            items.append(replace(_store(record, nuclei, name, out), origin=path_in_source(record.path, source)))
            if nuclei.types is not None:
                beside.append(_table_of(items[-1].target))
                typed += len(nuclei.types)
            pixels += nuclei.labels.size
            if nuclei.unknown is not None:
                beside.append(unknown_of(items[-1].target))
                hidden += int((nuclei.unknown & (nuclei.labels == 0)).sum())
            if stated is None and record is listed.records[0]:
                print(f"{name}: no pixel size is known; {PIXEL_SIZE_UM} um is assumed (--pixel-size)", file=sys.stderr)
        facts.append(
            {
                "name": name,
                "format": layout,
                "items": len(listed.records),
                "nuclei": count,
                "typed": typed,
                "licence": licence_of(name, layout),
            }
        )
        print(f"{name}: {len(listed.records)} items, {count} nuclei, {typed} with a type", file=sys.stderr)
        if hidden:
            print(f"{name}: {hidden / pixels:.1%} of the pixels are not annotated", file=sys.stderr)
        tell(name, tally)
    fixed = [item.fixed_fold for item in items if item.fixed_fold is not None]
    items = regroup(items, options.group_by)
    items, splits = divided(items, options.splits, held_out=options.hold_out, table=options.split_table)
    write_dataset(
        out,
        items,
        assay="histo",
        classes=list(declared or UNTYPED),
        sources=facts,
        pixel_size_um=options.at_pixel_size,
        seed=options.seed,
        splits=splits,
        folds=options.folds or (max(fixed) + 1 if fixed else 0),
        extra={"tissues": _tissues(found)} if any(r.tissue for _, _, s in found for r in s.records) else None,
        beside=beside,
    )
    write_preview(out, items, partial(_shown, out, declared))
    return 0


def _shown(out: Path, classes: tuple[str, ...], item: Item) -> Shown:
    """Read an item for the preview: a layer per type, and one for nuclei without."""
    pixels, labels = read(out / item.image).pixels, read_label_image(out / item.target).values
    table = out / _table_of(item.target)
    types = dict(zip(*(pd.read_csv(table, keep_default_na=False)[name] for name in ("id", "class")), strict=True)) if (
        table.is_file()
    ) else {}  # fmt: skip
    untyped = np.isin(labels, list(types), invert=True)
    layers = [np.where(untyped, labels, 0)]
    layers += [
        np.where(np.isin(labels, [n for n, type_ in types.items() if type_ == name]), labels, 0) for name in classes
    ]
    if (mask := out / unknown_of(item.target)).is_file():
        layers.append((read(mask).pixels[..., 0] > 0).astype(np.int32))
    return Shown(pixels, layers, caption=f"{int(labels.max(initial=0))} nuclei")


def at_scale(nuclei: Annotated, pixel_size_um: float, wanted_um: float = PIXEL_SIZE_UM) -> Annotated:
    """Resample an annotated image to the size of pixels that is wanted; one within `SAME_SCALE` of it stays as it is.

    Nuclei that become too small to have a pixel are gone.
    """
    factor = pixel_size_um / wanted_um
    if abs(factor - 1) <= SAME_SCALE:
        return nuclei
    height, width = nuclei.labels.shape
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    image = cv2.resize(nuclei.image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    # Numbers below 2**24 are exact in float32, the widest type OpenCV resizes; nearest_exact has no half-pixel shift.
    drawn = cv2.resize(nuclei.labels.astype(np.float32), size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.int32)
    kept = np.unique(drawn)
    new: Mapping[int, int] = {int(number): place for place, number in enumerate(kept[kept > 0], 1)}
    types = nuclei.types
    if types is not None:
        types = {new[number]: type_ for number, type_ in types.items() if number in new}
    unknown = nuclei.unknown
    if unknown is not None:
        unknown = cv2.resize(unknown.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT) > 0
    return Annotated(image, relabel(drawn), types, wanted_um, unknown)


def only_near(nuclei: Annotated, pixel_size_um: float) -> Annotated:
    """Take for known what lies within `NEAR_UM` of an outlined nucleus: others may be there that nobody outlined."""
    side = 2 * round(NEAR_UM / pixel_size_um) + 1
    near = cv2.dilate((nuclei.labels > 0).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    unknown = near == 0 if nuclei.unknown is None else nuclei.unknown | (near == 0)
    return replace(nuclei, unknown=unknown)


def _common_classes(found: list[tuple[str, str, Source]]) -> tuple[str, ...]:
    """Give the types that all typed sources share.

    Raises
    ------
    DatasetError
        If two typed sources differ.
    """
    typed = [(name, source.classes) for name, _, source in found if source.classes]
    for name, classes in typed[1:]:
        if classes != typed[0][1]:
            raise DatasetError(
                f"{typed[0][0]} has the types {', '.join(typed[0][1])} but {name} has {', '.join(classes)}; prepare "
                "them apart, or leave the types of one out"
            )
    return typed[0][1] if typed else ()


def _table_of(target: str) -> str:
    return target.removesuffix(".tif") + ".csv"


def _store(record: Record, nuclei: Annotated, source: str, out: Path) -> Item:
    """Write one record's files; give its row."""
    image, target = f"images/{source}/{record.name}.png", f"targets/{source}/{record.name}.tif"
    write_png(out / image, nuclei.image)
    write_labels(out / target, nuclei.labels)
    for leftover in (_table_of(target), unknown_of(target)):  # of a `prepare` that did not come to its end
        (out / leftover).unlink(missing_ok=True)
    if nuclei.types is not None:
        write_csv(out / _table_of(target), pd.DataFrame(sorted(nuclei.types.items()), columns=["id", "class"]))
    if nuclei.unknown is not None:
        write_png(out / unknown_of(target), np.where(nuclei.unknown & (nuclei.labels == 0), 255, 0).astype(np.uint8))
    # A TCGA patient is the same one in every source: KUMAR's images are in MoNuSeg too.
    group = record.group if CASE.fullmatch(record.group) else f"{source}/{record.group}"
    return Item(
        id=f"{source}/{record.name}",
        group=group,
        image=image,
        target=target,
        fixed_split=record.fixed_split,
        fixed_fold=record.fixed_fold,
        facts={"organ": record.tissue.lower(), **record.facts},
    )


def _tissues(found: list[tuple[str, str, Source]]) -> dict[str, str]:
    return {
        f"{name}/{record.name}": record.tissue
        for name, _, source in found
        for record in source.records
        if record.tissue
    }
