"""Crops of single cells in folders named by class: ``normal/``, ``micronucleus/`` (and what people call them)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cellscope.assays.micronucleus.classes import parse_class
from cellscope.assays.micronucleus.datasets.sources.record import CropRecord
from cellscope.assays.micronucleus.field.field import grey_of, to_integers
from cellscope.errors import DatasetError, InputError
from cellscope.io.choice import Choice, Wants
from cellscope.io.read import SUFFIXES, read


def detect(source: Path) -> bool:
    """Tell whether `source` has a sub-folder named after a class."""
    return source.is_dir() and any(parse_class(folder.name) for folder in source.iterdir() if folder.is_dir())


def read_source(source: Path, options: Any) -> Iterator[CropRecord]:
    """Yield the crops.

    The group is the sub-folder of the class folder (slide, donor); a crop directly in the class folder is a group of
    its own.

    Raises
    ------
    DatasetError
        For a crop that cannot be read.
    """
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        class_ = parse_class(folder.name)
        if class_ is None:
            continue
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
            relative = path.relative_to(folder)
            try:
                image = read(path, choice=Choice.of(options), wants=Wants.STAIN)
                grey = grey_of(image.pixels, path.name)
            except InputError as error:
                raise DatasetError(str(error)) from error
            name = "-".join((class_, *relative.with_suffix("").parts))
            group = relative.parent.as_posix() if len(relative.parts) > 1 else name
            yield CropRecord(name, source.resolve().name, to_integers(grey, image.pixels.dtype), class_, group)
