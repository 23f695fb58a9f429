"""From nuclei to results: of an image, of a window of a slide, and of the slide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.histo.classes import PART
from cellscope.assays.histo.measure.figures import as_geojson, draw_overlay, features
from cellscope.assays.histo.measure.rois import COLUMN as ROI
from cellscope.assays.histo.measure.rois import TABLE as ROIS
from cellscope.assays.histo.measure.rois import RegionCounts, names_at
from cellscope.assays.histo.measure.rows import context, count_unsure, measure_nuclei
from cellscope.assays.histo.measure.summary import shift_summary, summarise
from cellscope.assays.histo.nuclei.postprocess import Nuclei
from cellscope.assays.histo.slides.plan import Pixels, Plan
from cellscope.assays.histo.slides.regions import input_pixels
from cellscope.assays.histo.slides.seams import bands, label_type, resolve
from cellscope.assays.histo.slides.stage import find, frame_of, rgb_of
from cellscope.assays.histo.slides.state import Source, State
from cellscope.assays.histo.slides.windows import Box, Frame
from cellscope.engine.assay import Result, Rows, Subject
from cellscope.imaging.regions import Regions
from cellscope.io.stream import Bands, Features
from cellscope.io.wsi import Slide

#: Beyond its core a window keeps nuclei with their centroid this near, model pixels: the next window may see the
#: centroid on the other side of the border. Those found twice are resolved in `seams`.
SLACK = 8
#: From this many pixels on GeoJSON is compressed.
LARGE = 2**28


def conclude(subject: Subject[State]) -> Result:
    """Turn a finished subject into its rows, pictures and files; a window of a slide into what `join` needs."""
    if subject.piece is not None:
        return conclude_piece(subject)
    return result_of(subject, find(subject))


def result_of(subject: Subject[State], nuclei: Nuclei) -> Result:
    """Turn the nuclei of an image in one piece into its rows, pictures and files."""
    shape = (subject.image.height, subject.image.width)
    return with_rows(subject, *_own(subject, rgb_of(subject), nuclei, (0, 0), shape, subject.state.regions))


def with_rows(subject: Subject[State], labels: np.ndarray, table: pd.DataFrame) -> Result:
    """Give an image's pictures and files to its label image (H, W) and its rows, one per label."""
    card, regions = subject.cards[PART], subject.state.regions
    rgb, pixel = rgb_of(subject), subject.image.pixel_size_um
    shape = (subject.image.height, subject.image.width)
    area = shape[0] * shape[1] if regions is None else float(regions.mask(shape, 1.0).sum())
    summary, notes = summarise(
        subject, table["class"].value_counts().to_dict(), int(table["review"].sum()), area, count_unsure(table)
    )
    shift = subject.state.shift
    columns, more = shift_summary([shift] if shift else [])
    artefacts = {
        ".labels.tif": labels,
        ".overlay.png": draw_overlay(rgb, labels, table, card.classes, pixel, regions),
        ".geojson": as_geojson(labels, table, subject.name, card.classes),
    }
    tables = {}
    if regions is not None:
        counts = RegionCounts(regions, card.classes)
        counts.add(table)
        tables[ROIS] = counts.table(shape, pixel)
    return Result(objects=table, summary=summary | columns, tables=tables, artefacts=artefacts, warnings=notes + more)


def conclude_piece(subject: Subject[State]) -> Result:
    """Keep of a window the nuclei that may be its own: their rows, and their labels cut to where they lie."""
    frame = frame_of(subject)
    place = frame.inputs
    assert subject.state.source is not None
    rgb = input_pixels(subject.image.pixels, frame, subject.state.source, place)
    labels, table = _own(
        subject, rgb, find(subject), (place.top, place.left), frame.shape, subject.state.regions, frame
    )
    rows, columns = np.nonzero(labels.any(1))[0], np.nonzero(labels.any(0))[0]
    top, left = (int(each[0]) if len(each) else 0 for each in (rows, columns))
    patch = labels[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1] if len(rows) else labels[:1, :1]
    return Result(
        objects=table,
        summary={"shift": subject.state.shift, "corrupt": subject.state.corrupt},
        artefacts={
            "labels": patch.astype(label_type(len(table))),
            "place": np.array([place.top + top, place.left + left]),
        },
    )


def _own(
    subject: Subject[State], rgb: np.ndarray, nuclei: Nuclei, origin: tuple[int, int], shape: tuple[int, int],
    regions: Regions | None, frame: Frame | None = None,
) -> tuple[np.ndarray, pd.DataFrame]:  # fmt: skip
    """Measure nuclei and keep those inside the regions and, in a window, of its core; numbered 1..n."""
    table = measure_nuclei(
        rgb, nuclei, subject.cards[PART].classes, subject.image.pixel_size_um,
        origin=origin, shape=shape, review_below=subject.options.review_below,
    )  # fmt: skip
    rows, columns = (table[f"centroid-{axis}"].to_numpy(float) for axis in (0, 1))
    keep = np.ones(len(table), bool)
    if frame is not None:
        core = frame.core.grown(SLACK)
        y, x = ((centre + 0.5) * frame.scale for centre in (rows, columns))
        keep &= (y >= core.top) & (y < core.bottom) & (x >= core.left) & (x < core.right)
    if regions is not None:
        keep &= regions.contains(rows, columns)
        table[ROI] = names_at(regions, rows, columns)
    if keep.all():
        return nuclei.labels, table
    numbers = np.zeros(len(nuclei.score) + 1, np.int32)
    kept = table[keep].reset_index(drop=True)
    numbers[kept["label"].to_numpy(int)] = np.arange(1, len(kept) + 1)
    kept["label"] = np.arange(1, len(kept) + 1)
    return numbers[nuclei.labels], kept


def join(subject: Subject[State], results: Sequence[Result]) -> Result:
    """Put a slide together from its windows: seams resolved, rows, labels and GeoJSON made as they are written."""
    return joined(subject, Whole(subject, results))


def joined(subject: Subject[State], whole: Whole) -> Result:
    """Give the rows, labels and GeoJSON of a slide, made as they are written."""
    from cellscope.assays.histo.slides.overview import Overview  # draws with matplotlib, which takes long to load

    results = whole.results
    plan, shape, classes = whole.plan, whole.shape, subject.cards[PART].classes
    regions, pixel = subject.state.regions, subject.image.pixel_size_um
    overview = Overview(plan.picture, plan.picture.shape[1] / shape[1], classes, pixel, regions)
    of_regions = RegionCounts(regions, classes) if regions is not None else None
    counts: dict[str, int] = dict.fromkeys(classes, 0)
    unsure = 0
    for table, labels, origin in whole.windows():
        overview.add(table, labels, origin)
        if of_regions is not None:
            of_regions.add(table)
        for name, count in table["class"].value_counts().items():
            counts[str(name)] += int(count)
        unsure += count_unsure(table)
    summary, notes = summarise(subject, counts, overview.reviewed, plan.area, unsure)
    columns, more = shift_summary([result.summary["shift"] for result in results if result.summary["shift"]])
    artefacts: dict[str, Any] = {}
    if subject.options.labels or subject.kind == "image":
        drawn = bands(results, whole.tops, shape, whole.resolved)
        artefacts[".labels.tif"] = Bands(shape, label_type(whole.resolved.count), drawn)
    artefacts[".overlay.png"] = overview.overlay()
    artefacts[".density.png"] = overview.density()
    artefacts[".geojson.gz" if shape[0] * shape[1] > LARGE else ".geojson"] = Features(whole.features)
    return Result(
        objects=pd.DataFrame(),
        rows=Rows(whole.count(), whole.tables),
        summary=summary | columns,
        tables={} if of_regions is None else {ROIS: of_regions.table(shape, pixel, plan.tissue)},
        artefacts=artefacts,
        warnings=notes + more + _slide_warnings(subject, plan, results),
    )


class Whole:
    """A slide whose windows are all done: their nuclei, each once, in order.

    Parameters
    ----------
    subject : Subject
        Its state holds the plan.
    results : sequence of Result
        Of `conclude_piece`, read anew whenever they are asked for.
    """

    def __init__(self, subject: Subject[State], results: Sequence[Result]):
        self.subject = subject
        self.results = results
        assert subject.state.plan is not None
        self.plan = subject.state.plan
        self.shape = (subject.image.height, subject.image.width)
        self.tops = [frame.inputs.top for frame in self.plan.frames]
        self.resolved = resolve(results, self.tops, self.shape)
        self._again = self._measured_again()

    def count(self) -> int:
        """Count the nuclei."""
        return self.resolved.count

    def tables(self) -> Iterator[pd.DataFrame]:
        """Give the rows of every window under the labels of the whole; at least one table."""
        if not len(self.results):
            types = len(self.subject.cards[PART].classes)
            nothing = Nuclei(np.zeros((2, 2), np.int32), np.zeros((0, types), np.float32), np.zeros(0, np.float32))
            table = self._measure(np.zeros((2, 2, 3), np.uint8), nothing, (0, 0))
            yield table if self.subject.state.regions is None else table.assign(**{ROI: ""})
        for number, result in enumerate(self.results):
            table = self._own(number, result)
            yield table.assign(label=self.resolved.numbers[number][table["label"].to_numpy(int)])

    def windows(self) -> Iterator[tuple[pd.DataFrame, np.ndarray, tuple[int, int]]]:
        """Give every window's rows and label image, both under the window's own labels, and its first pixel."""
        for number, result in enumerate(self.results):
            row, column = result.artefacts["place"].tolist()
            patch = self.resolved.patch(number, result.artefacts["labels"])
            yield self._own(number, result), patch, (row, column)

    def features(self) -> Iterator[Mapping[str, Any]]:
        """Give the GeoJSON features."""
        classes = self.subject.cards[PART].classes
        for number, (table, patch, origin) in enumerate(self.windows()):
            numbers = self.resolved.numbers[number][table["label"].to_numpy(int)].tolist()
            yield from features(patch, table, self.subject.name, classes, origin, numbers=numbers)

    def _own(self, number: int, result: Result) -> pd.DataFrame:
        """Give the rows of a window that are kept, under its own labels."""
        table = result.objects
        again = self._again.get(number)
        if again is not None:
            table = pd.concat([table[~table["label"].isin(again["label"])], again], ignore_index=True)
            table = table.sort_values("label", kind="stable")
        kept = self.resolved.numbers[number][table["label"].to_numpy(int)] > 0
        return table[kept].reset_index(drop=True)

    def _measure(self, rgb: np.ndarray, nuclei: Nuclei, origin: tuple[int, int]) -> pd.DataFrame:
        return measure_nuclei(
            rgb, nuclei, self.subject.cards[PART].classes, self.subject.image.pixel_size_um,
            origin=origin, shape=self.shape, review_below=self.subject.options.review_below,
        )  # fmt: skip

    def _measured_again(self) -> dict[int, pd.DataFrame]:
        """Measure anew the nuclei that gave pixels to a neighbour at a seam: window -> their rows."""
        pixels = Pixels(self.subject.image)
        found = {}
        for number, cut in enumerate(self.resolved.cut):
            if cut:
                result = self.results[number]
                patch = self.resolved.patch(number, result.artefacts["labels"])
                row, column = result.artefacts["place"].tolist()
                table = result.objects
                rows = [self._one(pixels, table, patch, label, (row, column), at) for label, at in cut.items()]
                found[number] = pd.concat(rows, ignore_index=True)[list(table.columns)]
        pixels.close()
        return found

    def _one(
        self, pixels: Pixels, table: pd.DataFrame, patch: np.ndarray, label: int, place: tuple[int, int],
        at: tuple[np.ndarray, np.ndarray],
    ) -> pd.DataFrame:  # fmt: skip
        """Measure one nucleus of a window's patch anew."""
        around = context(self.subject.image.pixel_size_um)
        top, left = (max(int(axis.min()) - around, 0) for axis in at)
        bottom, right = (int(axis.max()) + around + 1 for axis in at)
        view = patch[top:bottom, left:right]
        labels = np.where(view == label, 1, np.where(view > 0, 2, 0)).astype(np.int32)  # 2: its neighbours
        row = table[table["label"] == label]
        names = [name for name in table if name.startswith("p_")]
        probabilities = np.repeat(row[names].to_numpy(np.float32) if names else np.ones((1, 1), np.float32), 2, 0)
        nuclei = Nuclei(labels, probabilities, np.repeat(row["score"].to_numpy(np.float32), 2))
        origin = (place[0] + top, place[1] + left)
        box = Box(*origin, origin[0] + labels.shape[0], origin[1] + labels.shape[1])
        measured = self._measure(_input_rgb(pixels, self.plan, box), nuclei, origin)
        if ROI in row:
            measured[ROI] = row[ROI].iloc[0]
        return measured[measured["label"] == 1].assign(label=label)


def _input_rgb(pixels: Pixels, plan: Plan, box: Box) -> np.ndarray:
    frame = plan.frames[0]
    scale = plan.level_scale / frame.scale  # input pixels per pixel of the level
    wide = Box(*(int(edge / scale) for edge in box[:2]), *(int(np.ceil(edge / scale)) for edge in box[2:])).grown(3)
    rgb, inside = pixels.region(plan.level, wide)
    return input_pixels(rgb, frame, Source(plan.level_scale, (inside.top, inside.left)), box)


def _slide_warnings(subject: Subject[State], plan: Plan, results: Sequence[Result]) -> list[str]:
    said = []
    if not plan.frames:
        where = "no tissue was found" if subject.state.regions is None else "no tissue was found in the regions"
        said.append(f"{where}, so no nuclei were segmented (--no-tissue processes the whole slide)")
    corrupt = sorted({tuple(tile) for result in results for tile in result.summary["corrupt"]})
    if corrupt:
        levels = subject.image.levels if isinstance(subject.image, Slide) else ()
        places = [
            f"({round(row * levels[level].downsample)}, {round(column * levels[level].downsample)})"
            for level, row, column in corrupt[:3]
        ]
        more = ", ..." if len(corrupt) > 3 else ""
        said.append(
            f"{len(corrupt)} tiles of the slide are corrupt and were treated as empty, at row and column "
            f"{', '.join(places)}{more}; copy the slide again"
        )
    return said
