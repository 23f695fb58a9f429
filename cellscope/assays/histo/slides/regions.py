"""Large images and whole slides: the regions to segment, window by window on a grid anchored at the origin."""

from __future__ import annotations

import numpy as np

from cellscope.assays.histo.nuclei.baseline import otsu_threshold
from cellscope.assays.histo.options import PredictOptions
from cellscope.assays.histo.slides.plan import Pixels, Plan, shrink
from cellscope.assays.histo.slides.state import Source, State
from cellscope.assays.histo.slides.windows import Box, Frame, model_shape, resample, scale_between, working_um
from cellscope.engine.assay import Pieces, Subject
from cellscope.errors import InputError
from cellscope.imaging.regions import Regions
from cellscope.imaging.tissue import tissue_mask
from cellscope.io.image import Image
from cellscope.io.inputs import stem
from cellscope.io.regions import read_regions
from cellscope.io.wsi import Slide

#: Pixels at the model's scale around a window's core: a nucleus with its centroid in the core lies in the window.
SEAM = 96
#: Longest side of the picture of a slide, and of the one in which tissue is detected, pixels.
PICTURE, MASK = 4096, 2048
#: Pixels read around what is needed, for interpolation.
_EDGE = 3


def regions_of(options: PredictOptions, name: str) -> Regions | None:
    """Read the regions of an image: those of ``--roi``, or of the file of the image's name in that folder.

    Raises
    ------
    InputError, UsageError
        There is none for this image, or it cannot be read.
    """
    if options.roi is None:
        return None
    if not options.roi.is_dir():
        return read_regions(options.roi)
    for suffix in (".geojson", ".geojson.gz"):
        path = options.roi / f"{stem(name)}{suffix}"
        if path.is_file():
            return read_regions(path)
    raise InputError(f"{name}: {options.roi} holds no {stem(name)}.geojson with its regions")


def make_plan(subject: Subject[State], *, model_um: float | None, baseline: bool) -> Plan:
    """Detect the tissue of a large image and lay out its windows.

    Parameters
    ----------
    subject : Subject
        Its image is a `Slide` or an `Image`.
    model_um : float or None
        Pixel size of the model.
    baseline : bool
        Find the baseline's threshold, one for all windows.
    """
    image, options = subject.image, subject.options
    shape = (image.height, image.width)
    scale = scale_between(working_um(image), model_um)
    pixels = Pixels(image)
    level = 0 if pixels.slide is None else pixels.slide.level_for(1 / scale)
    picture = pixels.picture(PICTURE)
    small = shrink(picture, MASK)
    factor = small.shape[0] / shape[0]
    mask: np.ndarray | None = None
    if options.tissue and isinstance(image, Slide):
        mask = tissue_mask(small, image.pixel_size_um / factor if image.pixel_size_um else None)
    found, regions = mask, subject.state.regions
    if regions is not None:
        drawn = regions.mask(small.shape[:2], factor)
        mask = drawn if mask is None else mask & drawn
    seen = small if mask is None or not mask.any() else small[mask][None]
    return Plan(
        frames=[frame for frame in windows(shape, scale, options.block) if touches(mask, frame.core, frame)],
        level=level,
        level_scale=scale * pixels.levels[level].downsample,
        pixels=pixels,
        picture=picture,
        mask=mask,
        tissue=found,
        area=float(shape[0] * shape[1]) * (1.0 if mask is None else float(mask.mean())),
        otsu=otsu_threshold(seen) if baseline and (mask is None or mask.any()) else None,
    )


def windows(shape: tuple[int, int], scale: float, block: int) -> list[Frame]:
    """Lay out the windows of an image, row by row: cores of `block` model pixels anchored at the origin."""
    whole = model_shape(shape, scale)
    return [
        Frame(shape, scale, core.grown(SEAM, whole), core)
        for top in range(0, whole[0], block)
        for left in range(0, whole[1], block)
        for core in [Box(top, left, min(top + block, whole[0]), min(left + block, whole[1]))]
    ]


def touches(mask: np.ndarray | None, box: Box, frame: Frame) -> bool:
    """Tell whether a box of model pixels holds any of a mask of the whole image."""
    if mask is None:
        return True
    whole = model_shape(frame.shape, frame.scale)
    factors = (mask.shape[0] / whole[0], mask.shape[1] / whole[1])
    top, left = (int(edge * factor) for edge, factor in zip(box[:2], factors, strict=True))
    bottom, right = (int(np.ceil(edge * factor)) for edge, factor in zip(box[2:], factors, strict=True))
    return bool(mask[max(top, 0) : max(bottom, 1), max(left, 0) : max(right, 1)].any())


def pieces_of(subject: Subject[State], plan: Plan, margin: int) -> Pieces:
    """Give the windows as pieces for the engine.

    Parameters
    ----------
    subject : Subject
    plan : Plan
    margin : int
        Context the network needs, model pixels.
    """

    def read(number: int) -> Subject:
        frame = plan.frames[number]
        scale = plan.level_scale
        reach = frame.window.grown(margin)
        box = Box(
            int(np.floor(reach.top / scale)) - _EDGE,
            int(np.floor(reach.left / scale)) - _EDGE,
            int(np.ceil(reach.bottom / scale)) + _EDGE,
            int(np.ceil(reach.right / scale)) + _EDGE,
        )
        before = plan.pixels.corrupt.copy()
        rgb, box = plan.pixels.region(plan.level, box)
        state = State(
            regions=subject.state.regions,
            frame=frame,
            source=Source(scale, (box.top, box.left)),
            mask=plan.mask,
            otsu=plan.otsu,
            corrupt=sorted(plan.pixels.corrupt - before),
        )
        image = Image(rgb, subject.image.pixel_size_um, subject.image.name)
        return Subject(subject.name, image, subject.kind, subject.options, subject.cards, state, piece=number)

    return Pieces(len(plan.frames), read, plan.pixels.close)


def input_pixels(rgb: np.ndarray, frame: Frame, source: Source, box: Box) -> np.ndarray:
    """Give a box of input pixels out of what was read, (h, w, 3) uint8."""
    return resample(rgb, source.scale / frame.scale, box, source.origin)
