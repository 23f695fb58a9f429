"""`cellscope nucleus-seg prepare`: public layouts and own pairs in, one prepared dataset out."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from skimage.measure import label as components

from cellscope.assays.nucleus_seg.classes import CODES, CYTOPLASM, NUCLEUS, PIXEL_CLASSES, cells_of, nuclei_of
from cellscope.assays.nucleus_seg.datasets.known import LABORATORIES, LICENCES, alike
from cellscope.assays.nucleus_seg.datasets.sources import FORMATS, Record
from cellscope.assays.nucleus_seg.options import NucleusPrepareOptions
from cellscope.engine.regroup import regroup
from cellscope.imaging.labels import relabel
from cellscope.io.annotations.label_image import read_label_image
from cellscope.io.annotations.placed import standing_out
from cellscope.io.annotations.tally import Tally
from cellscope.io.prepared import write_dataset
from cellscope.io.read import read
from cellscope.io.sources import OWN, store_sources
from cellscope.io.splits import Item, divided, path_in_source
from cellscope.io.write import write_labels, write_png
from cellscope.report.preview import Shown, write_preview

#: What is counted in a mask: connected pieces of these codes.
COUNTED = {"nucleus": NUCLEUS, "cytoplasm": CYTOPLASM}


def prepare(
    sources: list[Path],
    out: Path,
    options: NucleusPrepareOptions,
) -> int:
    """Turn sources into one prepared dataset: RGB images and masks in the codes of `classes`, PNG.

    Where an annotation parts nuclei in another way than the mask does (touching ones that are two, lobes apart that are
    one), a label image of the nuclei lies beside the mask: ``.nuclei.tif``.

    Images that are the same pixel for pixel, also in two sources, form one group and so stay on one side of a split;
    so do the pairs of public sets that are known to show the same cell.

    Parameters
    ----------
    sources : list of Path
        Folders in any of the layouts of `cellscope.assays.nucleus_seg.datasets.sources`, or CSV files.
    out : Path
        The dataset folder to make.
    options : NucleusPrepareOptions

    Returns
    -------
    int
        Exit code 0.

    Raises
    ------
    DatasetError, UsageError
        If a source is not recognised or broken, one to hold out is not there, or `out` already holds a dataset.
    """
    out = Path(out)
    digests: list[str] = []

    beside: list[str] = []

    def store(record: Record, source: Path, name: str, tally: Tally) -> list[Item]:
        item, digest, more = _store(record, name, out, tally)
        digests.append(digest)
        beside.extend(more)
        return [replace(item, origin=path_in_source(record.path, source))]

    items, facts = store_sources(
        sources,
        out,
        options,
        FORMATS,
        store,
        folders=("images", "targets"),
        licence=lambda name, _: LICENCES.get(name, OWN),
    )
    items = regroup(items, options.group_by)
    same_as: dict[str, str] = {}
    first: dict[str, str] = {}  # what an image's pixels are -> the group of the first image with them
    twins = [(first.setdefault(digest, item.group), item.group) for item, digest in zip(items, digests, strict=True)]
    for one, other in (*twins, *alike(item.group for item in items)):
        known, own = _joined(one, same_as), _joined(other, same_as)
        if known != own:
            same_as[own] = known
    if same_as:
        print(f"{len(same_as)} groups hold an image of another one and were joined to it", file=sys.stderr)
    items = [replace(item, group=_joined(item.group, same_as)) for item in items]
    items, splits = divided(items, options.splits, held_out=options.hold_out, table=options.split_table)
    write_dataset(
        out,
        items,
        assay="nucleus-seg",
        classes=list(PIXEL_CLASSES),
        sources=facts,
        pixel_size_um=None,
        seed=options.seed,
        splits=splits,
        folds=options.folds,
        extra={
            "mask_codes": {"background": 0, "outside, cytoplasm unknown": 64, "cytoplasm": 128, "nucleus": 255},
            "hold_out": options.hold_out,
        },
        beside=beside,
    )
    write_preview(out, items, partial(_shown, out))
    return 0


def _shown(out: Path, item: Item) -> Shown:
    """Read an item for the preview: nuclei in one colour, cytoplasm in another."""
    mask = read_label_image(out / item.target).values
    layers = [components(mask == code, connectivity=2) for code in (NUCLEUS, CYTOPLASM)]
    if (numbers := out / nuclei_of(item.target)).is_file():
        layers[0] = relabel(read_label_image(numbers).values)
    return Shown(read(out / item.image).pixels, layers, caption=f"{layers[0].max()} nuclei")


def _joined(group: str, same_as: dict[str, str]) -> str:
    while group in same_as:
        group = same_as[group]
    return group


def _store(record: Record, source: str, out: Path, tally: Tally) -> tuple[Item, str, list[str]]:
    """Write one record's files; give its row, a hash of its pixels, and what was written beside its target."""
    annotated = record.load()
    pixels, mask, nuclei = annotated.image, annotated.mask, annotated.nuclei
    assert np.isin(mask, CODES).all()
    counts = {name: int(components(mask == code, connectivity=2).max()) for name, code in COUNTED.items()}
    if nuclei is not None:
        counts["nucleus"] = len(np.unique(nuclei[mask == NUCLEUS]))
    tally.placed(record.name, *standing_out(pixels, components(mask == NUCLEUS, connectivity=2), dark=True))
    tally.image(name for name, count in counts.items() for _ in range(count))
    name = f"{source}-{record.part}" if record.part else source
    image, target = f"images/{name}/{record.name}.png", f"targets/{name}/{record.name}.png"
    for path, array in ((image, pixels), (target, mask)):
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        write_png(out / path, array)
    digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    facts = {"laboratory": LABORATORIES.get(name, "")}
    item = Item(f"{name}/{record.name}", f"{source}/{record.group}", image, target, facts=facts)
    (out / nuclei_of(target)).unlink(missing_ok=True)  # of a `prepare` that did not come to its end
    if nuclei is None or _same_parts(nuclei, cells_of(mask), mask == NUCLEUS):
        return item, digest, []
    write_labels(out / nuclei_of(target), np.where(mask == NUCLEUS, nuclei, 0).astype(np.int32))
    return item, digest, [nuclei_of(target)]


def _same_parts(one: np.ndarray, other: np.ndarray, where: np.ndarray) -> bool:
    """Tell whether two label images part the same pixels in the same way."""
    pairs = np.unique(np.stack([one[where], other[where]]), axis=1)
    return all(len(np.unique(row)) == pairs.shape[1] for row in pairs)
