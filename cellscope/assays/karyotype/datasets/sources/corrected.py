"""A run that a person reviewed: metaphases with the chromosomes that stand there now, and single ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cellscope.assays.karyotype.cell.assignment import UNASSIGNED
from cellscope.assays.karyotype.cell.document import read_karyotype
from cellscope.assays.karyotype.datasets.sources.metaphase_record import Instance, Record
from cellscope.assays.karyotype.detect.inputs import CHROMOSOME
from cellscope.errors import DatasetError, InputError
from cellscope.io.annotations.tally import note
from cellscope.io.corrections import Reviewed, corrected_rows, is_corrected_run, reviewed_images
from cellscope.io.document import read_json
from cellscope.io.text import one_line


def detect(folder: Path) -> bool:
    """Tell whether `folder` is a run of karyotype with corrections."""
    return is_corrected_run(folder, "karyotype")


def read(folder: Path) -> Iterator[Record]:
    """Yield the images that were marked as reviewed; those in one sub-folder are one group.

    A chromosome that stands as unassigned teaches the detector, and no class; a single one teaches nothing then.

    Raises
    ------
    DatasetError
        No image was reviewed, or one is not there or damaged.
    """
    calls = corrected_rows(folder, "objects")
    for one in reviewed_images(folder):
        if one.kind == CHROMOSOME:
            yield from _single(one, calls.get(one.image, []))
            continue
        found = one.file(".karyotype.json")
        if found is None:
            continue
        try:
            cell = read_karyotype(read_json(found), review_below=0.0)
        except InputError as error:
            raise DatasetError(f"{found}: {error}") from None
        instances = []
        for chromosome in cell.chromosomes:
            x0, y0, x1, y1 = map(float, chromosome.detection.bbox)
            class_ = None if chromosome.class_ == UNASSIGNED else chromosome.class_
            instances.append(Instance((x0, y0, x1 - x0, y1 - y0), chromosome.detection.mask, class_))
        name, group = _named(one.image)
        yield Record(name, one.path, group, instances, shape=cell.shape, source=found)


def _single(one: Reviewed, rows: list[dict[str, str]]) -> Iterator[Record]:
    for row in rows:
        if row["class"] == UNASSIGNED:
            note(f"{one_line(one.image)}: the chromosome is unassigned, and it is left out")
            continue
        name, group = _named(one.image)
        yield Record(name, one.path, group, class_=row["class"])


def _named(image: str) -> tuple[str, str]:
    name = PurePosixPath(image).with_suffix("")
    return str(name), str(name.parent) if len(name.parts) > 1 else str(name)
