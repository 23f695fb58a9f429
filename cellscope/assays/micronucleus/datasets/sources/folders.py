"""Crops of single cells in folders named by class: ``normal/``, ``micronucleus/`` (and what people call them)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cellscope.assays.micronucleus.classes import parse_class
from cellscope.assays.micronucleus.datasets.sources.field_record import CropRecord
from cellscope.assays.micronucleus.field.field import grey_of, to_integers
from cellscope.errors import DatasetError, InputError
from cellscope.io.annotations.picture import read_picture
from cellscope.io.annotations.tally import note
from cellscope.io.choice import Wants
from cellscope.io.leftovers import files_below, folders_below
from cellscope.io.read import SUFFIXES
from cellscope.io.text import one_line


def detect(source: Path) -> bool:
    """Tell whether `source` has a sub-folder named after a class."""
    return source.is_dir() and any(parse_class(folder.name) for folder in folders_below(source))


def read_source(source: Path, options: Any) -> Iterator[CropRecord]:
    """Yield the crops.

    The group is the sub-folder of the class folder (slide, donor); a crop directly in the class folder is a group of
    its own.

    Raises
    ------
    DatasetError
        For a crop that cannot be read.
    """
    for folder in folders_below(source):
        class_ = parse_class(folder.name)
        files = files_below(folder, SUFFIXES)
        if class_ is None:
            note(
                f"the folder {one_line(folder.name)!r} ({len(files)} images) names neither class and is left out; "
                "call it normal or micronucleus, or merge it with one of them"
            )
            continue
        for path in files:
            relative = path.relative_to(folder)
            try:
                image = read_picture(path, Wants.STAIN)
                grey = grey_of(image.pixels, path.name)
            except InputError as error:
                raise DatasetError(str(error)) from error
            name = "-".join((class_, *relative.with_suffix("").parts))
            group = relative.parent.as_posix() if len(relative.parts) > 1 else name
            yield CropRecord(name, source.resolve().name, to_integers(grey, image.pixels.dtype), class_, group)
