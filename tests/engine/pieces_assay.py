"""A tiny assay whose images are worked on in strips: one object per row of pixels that has bright ones."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import tifffile
from fake_assay import build, forward_find, spots

from cellscope.engine.assay import Assay, InputSpec, Large, Pieces, Result, Rows, Stage, Subject
from cellscope.errors import InputError
from cellscope.io.image import Image
from cellscope.io.stream import Bands, Features

STRIP = 8


def cut(subject):
    return [subject.image.pixels[..., 0].astype(np.float32)[None] / 255]


def finish(subject, outputs):
    subject.state.bright = outputs[0] > 0.5


def conclude(subject):
    """One object per row of pixels that has bright ones."""
    bright = subject.state.bright
    first = 0 if subject.piece is None else STRIP * subject.piece
    rows = np.nonzero(bright.any(1))[0]
    table = pd.DataFrame(
        {"label": rows + first + 1, "class": "row", "score": 1.0, "review": False, "area": bright[rows].sum(1)}
    )
    labels = np.where(bright, np.arange(len(bright))[:, None] + first + 1, 0)
    if subject.piece is not None:
        return Result(table, {"first": first}, {"labels": labels})
    return Result(table, {}, {".labels.tif": labels}, [f"{len(table)} rows"])


def divide(subject):
    if subject.image.height <= 2 * STRIP:
        return None
    if subject.image.pixels[0, 0, 0] == 99:
        raise InputError(f"{subject.name}: cannot be divided")

    def read(number):
        if subject.image.pixels[0, 0, 0] == 98 and number == 2:
            raise InputError(f"{subject.name}: this part is torn")
        image = Image(np.ascontiguousarray(subject.image.pixels[number * STRIP : (number + 1) * STRIP]))
        return Subject(subject.name, image, subject.kind, subject.options, subject.cards, piece=number)

    return Pieces(subject.image.height // STRIP, read)


def join(subject, results):
    def frames():
        for result in results:
            yield result.objects

    def features():
        for frame in frames():
            for label in frame["label"].tolist():
                yield {"type": "Feature", "properties": {"label": label}}

    count = sum(len(frame) for frame in frames())
    artefacts = {
        ".labels.tif": Bands(
            (subject.image.height, subject.image.width),
            np.dtype(np.uint16),
            lambda: (result.artefacts["labels"] for result in results),
        ),
        ".rows.json": Features(features),
    }
    return Result(pd.DataFrame(), {}, artefacts, [f"{count} rows"], rows=Rows(count, frames))


def always_a_field(image):
    return "field"


ASSAY = Assay(
    name="fake",
    inputs=InputSpec(
        kinds=("field",),
        suffixes=frozenset({".tif"}),
        kind_of=always_a_field,
    ),
    stages=(Stage("find", ("field",), 4, cut, forward_find, finish),),
    state=SimpleNamespace,
    parts=("find",),
    summary_columns=(),
    class_part=None,
    build=build,
    conclude=conclude,
    large=Large(divide, join),
)
WHOLE = dataclasses.replace(ASSAY, large=None)


def write_tall_images(folder):
    """Three images that are divided and one that is not."""
    folder.mkdir()
    for number, height in enumerate((48, 16, 32, 64)):
        places = [(4, 4, 200), (9, 20, 180), (height - 4, 2, 255)]
        tifffile.imwrite(folder / f"a{number}.tif", spots((height, 40), places))
    return folder
