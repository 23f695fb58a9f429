"""From nuclei to results: of an image, of a window of a slide, and of the slide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.histo.figures import as_geojson, draw_overlay, features
from cellscope.assays.histo.measure import context, measure_nuclei
from cellscope.assays.histo.postprocess import Nuclei
from cellscope.assays.histo.seams import Resolved, bands, resolve
from cellscope.assays.histo.slides import Pixels, Plan, input_pixels, regions_of
from cellscope.assays.histo.stages import PART, find, frame_of, rgb_of
from cellscope.assays.histo.windows import Box, Frame
from cellscope.engine.assay import Result, Rows, Subject
from cellscope.io.image import Image
from cellscope.io.stream import Bands, Features
from cellscope.io.wsi import Slide
from cellscope.models.card import ModelCard

#: Further from the model's resolution than this, either way, results are doubtful.
FAR = 2.5
#: Beyond its core a window keeps nuclei with their centroid this near, model pixels: the next window may see the
#: centroid on the other side of the border. Those seen twice are told in `seams`.
SLACK = 8
#: From this many pixels on GeoJSON is compressed.
LARGE = 2**28


def conclude(subject: Subject) -> Result:
    """Turn a finished subject into its rows, pictures and files; a window of a slide into what `join` needs."""
    if subject.piece is not None:
        return conclude_piece(subject)
    card = subject.cards[PART]
    rgb, pixel = rgb_of(subject), subject.image.pixel_size_um
    shape = (subject.image.height, subject.image.width)
    labels, table = _own(subject, rgb, find(subject), (0, 0), shape, regions_of(subject.options, subject.name))
    regions = regions_of(subject.options, subject.name)
    area = shape[0] * shape[1] if regions is None else float(regions.mask(shape, 1.0).sum())
    summary, notes = summarise(subject, table["class"].value_counts().to_dict(), int(table["review"].sum()), area)
    shift = subject.state.get("shift")
    columns, more = shift_summary([shift] if shift else [])
    artefacts = {
        ".labels.tif": labels,
        ".overlay.png": draw_overlay(rgb, labels, table, card.classes, pixel),
        ".geojson": as_geojson(labels, table, subject.name, card.classes),
    }
    return Result(objects=table, summary=summary | columns, artefacts=artefacts, warnings=notes + more)


def conclude_piece(subject: Subject) -> Result:
    """Keep of a window the nuclei that may be its own: their rows, and their labels cut to where they lie."""
    frame = frame_of(subject)
    place = frame.inputs
    rgb = input_pixels(subject.image.pixels, frame, subject.state["source"], place)
    labels, table = _own(
        subject, rgb, find(subject), (place.top, place.left), frame.shape, subject.state["regions"], frame
    )
    rows, columns = np.nonzero(labels.any(1))[0], np.nonzero(labels.any(0))[0]
    top, left = (int(each[0]) if len(each) else 0 for each in (rows, columns))
    patch = labels[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1] if len(rows) else labels[:1, :1]
    dtype = np.uint16 if len(table) < 2**16 else np.uint32
    return Result(
        objects=table,
        summary={"shift": subject.state.get("shift"), "corrupt": subject.state["corrupt"]},
        artefacts={"labels": patch.astype(dtype), "place": np.array([place.top + top, place.left + left])},
    )


def _own(
    subject: Subject, rgb: np.ndarray, nuclei: Nuclei, origin: tuple[int, int], shape: tuple[int, int], regions: Any,
    frame: Frame | None = None,
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
    if keep.all():
        return nuclei.labels, table
    numbers = np.zeros(len(nuclei.score) + 1, np.int32)
    kept = table[keep].reset_index(drop=True)
    numbers[kept["label"].to_numpy(int)] = np.arange(1, len(kept) + 1)
    kept["label"] = np.arange(1, len(kept) + 1)
    return numbers[nuclei.labels], kept


def join(subject: Subject, results: Sequence[Result]) -> Result:
    """Put a slide together from its windows: seams settled, rows, labels and GeoJSON made as they are written."""
    plan: Plan = subject.state["plan"]
    card, shape = subject.cards[PART], (subject.image.height, subject.image.width)
    tops = [frame.inputs.top for frame in plan.frames]
    resolved = resolve(results, tops, shape)
    again = _measured_again(subject, plan, results, resolved)

    def tables() -> Iterator[pd.DataFrame]:
        if not len(results):
            yield _no_rows(card, subject.image.pixel_size_um, shape)
        for number, result in enumerate(results):
            yield _table(result, resolved.numbers[number], again.get(number, {}))

    def every() -> Iterator[Mapping[str, Any]]:
        for number, result in enumerate(results):
            table = _table(result, resolved.numbers[number], again.get(number, {}), own=True)
            patch = resolved.patch(number, result.artefacts["labels"])
            place = tuple(result.artefacts["place"].tolist())
            numbers = resolved.numbers[number][table["label"].to_numpy(int)].tolist()
            yield from features(patch, table, subject.name, card.classes, place, numbers=numbers)

    from cellscope.assays.histo.overview import Overview  # draws with matplotlib, which takes long to load

    overview = Overview(
        plan.picture, plan.picture.shape[1] / shape[1], card.classes, subject.image.pixel_size_um
    )  # fmt: skip
    counts: dict[str, int] = dict.fromkeys(card.classes, 0)
    for table in tables():
        overview.add(table)
        for name, count in table["class"].value_counts().items():
            counts[str(name)] += int(count)
    summary, notes = summarise(subject, counts, overview.reviewed, plan.area)
    columns, more = shift_summary([result.summary["shift"] for result in results if result.summary["shift"]])
    artefacts: dict[str, Any] = {}
    if subject.options.labels or subject.kind == "image":
        dtype = np.dtype(np.uint16 if resolved.count < 2**16 else np.uint32)
        artefacts[".labels.tif"] = Bands(shape, dtype, bands(results, tops, shape, resolved))
    artefacts[".overlay.png"] = overview.overlay()
    artefacts[".density.png"] = overview.density()
    artefacts[".geojson.gz" if shape[0] * shape[1] > LARGE else ".geojson"] = Features(every)
    return Result(
        objects=Rows(resolved.count, tables),
        summary=summary | columns,
        artefacts=artefacts,
        warnings=notes + more + _slide_warnings(subject, plan, results),
    )


def _no_rows(card: ModelCard, pixel_size_um: float | None, shape: tuple[int, int]) -> pd.DataFrame:
    """Give the columns of a slide without any nucleus."""
    nuclei = Nuclei(np.zeros((2, 2), np.int32), np.zeros((0, len(card.classes)), np.float32), np.zeros(0, np.float32))
    return measure_nuclei(np.full((2, 2, 3), 255, np.uint8), nuclei, card.classes, pixel_size_um, shape=shape)


def _table(
    result: Result, numbers: np.ndarray, again: Mapping[int, pd.DataFrame], *, own: bool = False
) -> pd.DataFrame:
    """Give the rows of a window that are kept, with the labels of the whole image (or the window's own)."""
    table = result.objects
    assert isinstance(table, pd.DataFrame)
    labels = table["label"].to_numpy(int)
    if again:
        table = pd.concat([table[~np.isin(labels, list(again))], *again.values()], ignore_index=True)
        table = table.sort_values("label", kind="stable")
        labels = table["label"].to_numpy(int)
    keep = numbers[labels] > 0
    table = table[keep].reset_index(drop=True)
    if not own:
        table["label"] = numbers[labels[keep]]
    return table


def _measured_again(
    subject: Subject, plan: Plan, results: Sequence[Result], resolved: Resolved
) -> dict[int, dict[int, pd.DataFrame]]:
    """Measure anew the nuclei that gave pixels to a neighbour at a seam: window -> label -> its row."""
    found: dict[int, dict[int, pd.DataFrame]] = {}
    pixels = Pixels(subject.image)
    card = subject.cards[PART]
    for number, cut in enumerate(resolved.cut):
        if not cut:
            continue
        result, frame = results[number], plan.frames[number]
        patch = resolved.patch(number, result.artefacts["labels"])
        place = result.artefacts["place"]
        table = result.objects
        for label, (rows, columns) in cut.items():
            row = table[table["label"] == label]
            around = context(subject.image.pixel_size_um)
            top, left = max(int(rows.min()) - around, 0), max(int(columns.min()) - around, 0)
            view = patch[top : int(rows.max()) + around + 1, left : int(columns.max()) + around + 1]
            one = np.where(view == label, 1, np.where(view > 0, 2, 0)).astype(np.int32)
            names = [f"p_{name}" for name in card.classes] if len(card.classes) > 1 else []
            probabilities = np.ones((2, max(len(card.classes), 1)), np.float32)
            if names:
                probabilities[:] = row[names].to_numpy(np.float32)
            corner = (int(place[0]) + top, int(place[1]) + left)
            box = Box(*corner, corner[0] + one.shape[0], corner[1] + one.shape[1])
            score = np.repeat(row["score"].to_numpy(np.float32), 2)
            measured = measure_nuclei(
                _input_rgb(pixels, plan, frame, box), Nuclei(one, probabilities, score), card.classes,
                subject.image.pixel_size_um, origin=corner, shape=frame.shape,
                review_below=subject.options.review_below,
            )  # fmt: skip
            measured = measured[measured["label"] == 1].assign(label=label)
            found.setdefault(number, {})[label] = measured[list(table.columns)]
    pixels.close()
    return found


def _input_rgb(pixels: Pixels, plan: Plan, frame: Frame, box: Box) -> np.ndarray:
    scale = plan.level_scale / frame.scale  # input pixels per pixel of the level
    wide = Box(*(int(edge / scale) for edge in box[:2]), *(int(np.ceil(edge / scale)) for edge in box[2:])).grown(3)
    rgb, inside = pixels.region(plan.level, wide)
    return input_pixels(rgb, frame, (plan.level_scale, (inside.top, inside.left)), box)


def _slide_warnings(subject: Subject, plan: Plan, results: Sequence[Result]) -> list[str]:
    said = []
    if not plan.frames:
        where = "no tissue was found" if plan.regions is None else "no tissue was found in the regions"
        said.append(f"{where}, so no nucleus was looked for (--no-tissue looks everywhere)")
    corrupt = sorted({tuple(tile) for result in results for tile in result.summary["corrupt"]})
    if corrupt:
        levels = subject.image.levels if isinstance(subject.image, Slide) else ()
        places = [
            f"({round(row * levels[level].downsample)}, {round(column * levels[level].downsample)})"
            for level, row, column in corrupt[:3]
        ]
        more = ", ..." if len(corrupt) > 3 else ""
        said.append(
            f"{len(corrupt)} tiles of the slide are corrupt and were taken for empty, at row and column "
            f"{', '.join(places)}{more}; copy the slide again"
        )
    return said


def summarise(
    subject: Subject, counts: Mapping[str, int], reviewed: int, pixels: float
) -> tuple[dict[str, Any], list[str]]:
    """Give the counts and densities of ``images.csv``, and what is doubtful about the resolution.

    Parameters
    ----------
    subject : Subject
    counts : mapping
        Class -> nuclei.
    reviewed : int
    pixels : float
        The area they were looked for in, input pixels. Densities are left out where the pixel size is not known.
    """
    card, pixel = subject.cards[PART], subject.image.pixel_size_um
    several = len(card.classes) > 1
    found: dict[str, Any] = {"n_review": reviewed}
    if several:
        found |= {f"n_{name}": int(counts.get(name, 0)) for name in card.classes}
    if pixel:
        area = pixels * pixel**2 / 1e6
        found["area_mm2"] = area
        if area > 0:
            found["density_per_mm2"] = sum(counts.values()) / area
            if several:
                found |= {f"{name}_per_mm2": counts.get(name, 0) / area for name in card.classes}
    return found, resolution_warnings(subject.image, card)


def resolution_warnings(image: Image | Slide, card: ModelCard) -> list[str]:
    """Say what is doubtful about an image's resolution."""
    model_um = card.pixel_size_um
    if not model_um:
        return []
    if not image.pixel_size_um:
        return [f"the file does not say its resolution; {model_um:g} um per pixel is assumed (--pixel-size sets it)"]
    ratio = image.pixel_size_um / model_um
    if 1 / FAR <= ratio <= FAR:
        return []
    return [
        f"its resolution of {image.pixel_size_um:.3g} um per pixel is far from the model's {model_um:g}; "
        "expect more errors, and check --pixel-size"
    ]


def shift_summary(shifts: Sequence[Mapping[str, int]]) -> tuple[dict[str, Any], list[str]]:
    """Give the summary columns of the shifted grid and, where the results differ, a warning."""
    if not shifts:
        return {}, []
    both, total, here, there = (sum(shift[name] for shift in shifts) for name in ("both", "sum", "here", "there"))
    dice = 2 * both / total if total else 1.0
    notes = []
    if here != there or dice < 0.99:
        notes = [
            f"on a grid shifted by half a tile {there} nuclei are found instead of {here}; "
            f"the masks overlap by Dice {dice:.4f}"
        ]
    return {"shifted_grid_dice": dice, "shifted_grid_count": there}, notes
