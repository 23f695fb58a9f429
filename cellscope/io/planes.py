"""From what was chosen of a file to the pixels of one image: planes decoded, projected, put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellscope.io.choice import FOCUS, MAX, RED_GREEN_BLUE, Selection, Unchosen
from cellscope.io.convert import Decoded, check_size, over_background, standard_type, upright
from cellscope.io.scene import CHANNEL, COLOUR, SLICE, TIME, UNNAMED, Scene, Source
from cellscope.io.select import listed

BRIGHT_FIELD = 0.4
"""Median of each of three channels, as a share of white, from which they are taken for colours of a bright field."""
BLUR = 1.5
"""Sigma of the Gaussian before sharpness is measured, pixels: noise is as sharp as edges without it."""


@dataclass(frozen=True)
class Taken:
    """One image out of a file.

    Attributes
    ----------
    pixels : (H, W, C) uint8, uint16 or float32
    z : int
        The slice taken, where there is one.
    warnings : tuple of str
    turned : bool
        By its EXIF orientation.
    """

    pixels: np.ndarray
    z: int
    warnings: tuple[str, ...]
    turned: bool = False


def check_scene(scene: Scene, selection: Selection, max_pixels: int) -> None:
    """Refuse, before decoding, what is larger than the limit."""
    samples = len(selection.samples) or scene.size(COLOUR)
    check_size(scene.width, scene.height, max(len(selection.channels), 1) * samples, max_pixels)


def take(source: Source, selection: Selection, *, frame: int | None = None, z: int | None = None) -> Taken:
    """Decode one image.

    Parameters
    ----------
    source : Source
    selection : Selection
        From `cellscope.io.choice.select`.
    frame : int, optional
        Of a movie; else the selection's own.
    z : int, optional
        The slice, where it is known already.

    Raises
    ------
    Refused, Unchosen
        A plane cannot be decoded; what it shows does not bear out what it was taken for.
    """
    scene = source.scenes[selection.scene]
    at = {selection.time or TIME: selection.frame if frame is None else frame, UNNAMED: selection.page}
    if z is None and selection.z == FOCUS:
        z = sharpest(source, selection, at)
    wanted: Sequence[int]
    if selection.z == MAX and z is None:
        wanted = range(_size(scene, SLICE, selection))
    else:
        wanted = [z if z is not None else int(selection.z)]
    warnings: dict[str, None] = {}
    parts, clear, turned = [], 0.0, False
    for channel in selection.channels:
        projected: np.ndarray | None = None
        for number in wanted:
            decoded = source.plane(selection.scene, _place(selection, at, channel, number))
            pixels, share = _pixels(decoded, selection, warnings)
            clear, turned = max(clear, share), turned or decoded.orientation in range(2, 9)
            projected = pixels if projected is None else np.maximum(projected, pixels)
        assert projected is not None
        parts.append(projected)
    joined = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
    if not selection.certain:
        joined = _borne_out(joined, scene, selection)
    pixels, notes = standard_type(joined)
    warnings |= dict.fromkeys(notes)
    if clear:
        where = "white" if pixels.shape[2] >= 3 else "the background's grey"
        warnings[f"{_percent(clear)} of the pixels are transparent (alpha); they were taken as {where}"] = None
    return Taken(np.ascontiguousarray(pixels), wanted[0], tuple(warnings), turned)


def _pixels(decoded: Decoded, selection: Selection, warnings: dict[str, None]) -> tuple[np.ndarray, float]:
    warnings |= dict.fromkeys(decoded.warnings)
    pixels, clear = decoded.pixels, 0.0
    if decoded.alpha is not None:
        kept, notes = standard_type(decoded.pixels)
        warnings |= dict.fromkeys(notes)
        pixels, clear = over_background(
            Decoded(kept, alpha=standard_type(decoded.alpha)[0], premultiplied=decoded.premultiplied)
        )
    pixels = upright(pixels if pixels.ndim == 3 else pixels[..., None], decoded.orientation)
    return (pixels[..., list(selection.samples)] if selection.samples else pixels), clear


def _place(selection: Selection, at: dict[str, int], channel: int, z: int) -> dict[str, int]:
    place = {**at, CHANNEL: channel}
    if selection.time != SLICE:
        place[SLICE] = z
    if role := selection.roles.get(UNNAMED):
        place[UNNAMED] = place[role]
    return place


def _size(scene: Scene, axis: str, selection: Selection) -> int:
    return scene.size(UNNAMED) if selection.roles.get(UNNAMED) == axis else scene.size(axis)


def sharpest(source: Source, selection: Selection, at: dict[str, int]) -> int:
    """Find the slice with the strongest edges in the first channel: the mean squared gradient after a Gaussian.

    The measure of Tenenbaum (Krotkov, International Journal of Computer Vision 1, 1988), here behind a blur, without
    which noise counts as edges.
    """
    import cv2

    best, place = -1.0, 0
    for z in range(_size(source.scenes[selection.scene], SLICE, selection)):
        decoded = source.plane(selection.scene, _place(selection, at, selection.channels[0], z))
        pixels, _ = _pixels(decoded, selection, {})
        grey = pixels.astype(np.float32).mean(2)
        smooth = cv2.GaussianBlur(grey, (0, 0), BLUR)
        down, across = np.gradient(smooth)
        edges = float(np.mean(down**2 + across**2))
        if edges > best:
            best, place = edges, z
    return place


def _borne_out(pixels: np.ndarray, scene: Scene, selection: Selection) -> np.ndarray:
    """Check several channels that nobody chose among: colours of a bright field, or all the same."""
    if selection.composed:
        from cellscope.imaging.white import white_level

        usual = np.median(pixels.reshape(-1, pixels.shape[2]), axis=0)
        if float(usual.min()) >= BRIGHT_FIELD * white_level(pixels):
            return pixels
        raise Unchosen(
            "the file holds 3 channels that do not look like red, green and blue of a bright field (they are dark); if "
            f"they are, name them with --channel 0,1,2: {listed(scene)}"
        )
    first = pixels[..., :1]
    if all(np.array_equal(first[..., 0], pixels[..., other]) for other in range(1, pixels.shape[2])):
        return first
    raise Unchosen(
        f"the file holds {len(selection.channels)} channels; say which one is meant with --channel NAME or N: "
        f"{listed(scene)}"
    )


def told(scene: Scene, selection: Selection, scenes: int, taken: Taken | None = None) -> str:
    """Say what was taken: for the column ``read`` of ``images.csv``."""
    words = []
    if scenes > 1:
        name = f" ({scene.name})" if scene.name else ""
        words.append(f"scene {selection.scene} of {scenes}{name}")
    count = _size(scene, CHANNEL, selection)
    if count > 1:
        names = [f"{n} ({scene.channel_name(n)})" if scene.channel_name(n) else str(n) for n in selection.channels]
        words.append(f"channel {', '.join(names)} of {count}")
    elif selection.samples:
        names = [sorted(RED_GREEN_BLUE[n], key=len)[-1] if n < 3 else str(n) for n in selection.samples]
        words.append(f"{', '.join(names)} of the colours")
    elif scene.size(COLOUR) > 1:
        words.append("colour")
    slices = _size(scene, SLICE, selection)
    if slices > 1 and selection.time != SLICE:
        if selection.z == MAX:
            words.append(f"largest of {slices} slices")
        else:
            where = selection.z if taken is None else taken.z
            words.append(f"sharpest of {slices} slices" if where == FOCUS else f"slice {where} of {slices}")
    times = _size(scene, selection.time or TIME, selection)
    if selection.time:
        words.append(f"{times} frames" + (" (its slices, for want of time points)" if selection.time == SLICE else ""))
    elif times > 1:
        words.append(f"frame {selection.frame} of {times}")
    if scene.size(UNNAMED) > 1 and not selection.roles:
        words.append(f"page {selection.page} of {scene.size(UNNAMED)}")
    height, width = (scene.height, scene.width) if taken is None else taken.pixels.shape[:2]
    return "; ".join([*words, f"{width} x {height} pixels"])


def frame_count(scene: Scene, selection: Selection) -> int:
    """Count the frames of a movie."""
    return _size(scene, selection.time or TIME, selection)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else f"{share:.2%}"
