"""TIFF, BigTIFF and what is built on them: OME-TIFF, ImageJ, MetaMorph STK, Zeiss LSM, QPTIFF, Micro-Manager."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tifffile import TiffFileError

from cellscope.io.convert import Decoded, Refused
from cellscope.io.formats.tiff_facts import channel_names, interval, pixel_size, z_step
from cellscope.io.formats.tiff_open import open_tiff
from cellscope.io.formats.tiff_page import check_kind, decode_page
from cellscope.io.formats.tiff_stacks import Stack, stacks_of
from cellscope.io.scene import CHANNEL, Scene
from cellscope.io.text import reason

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
FORMATS = {
    "is_ome": "OME-TIFF", "is_stk": "MetaMorph STK", "is_lsm": "Zeiss LSM", "is_svs": "Aperio SVS",
    "is_qpi": "QPTIFF", "is_ndpi": "Hamamatsu NDPI", "is_scn": "Leica SCN", "is_bif": "Ventana BIF",
    "is_micromanager": "Micro-Manager TIFF", "is_imagej": "ImageJ TIFF", "is_fluoview": "FluoView TIFF",
    "is_scanimage": "ScanImage TIFF",
}  # fmt: skip
"""By tifffile's names, the most telling first."""


class TiffSource:
    """An open TIFF (see `cellscope.io.scene.Source`).

    Raises
    ------
    Refused
        Not a TIFF, damaged, without an image, or of axes that cannot be told.
    """

    def __init__(self, path: Path):
        try:
            self._tif = open_tiff(path)
        except TiffFileError as error:
            raise Refused(f"the TIFF is damaged or cut short ({reason(error)}); copy or export it again") from error
        try:
            self.format = next((name for flag, name in FORMATS.items() if getattr(self._tif, flag)), "TIFF")
            self._stacks = self._find()
            self.scenes = tuple(self._scene(stack) for stack in self._stacks)
        except BaseException:
            self._tif.close()
            raise

    def _find(self) -> list[Stack]:
        try:
            stacks = stacks_of(self._tif)
        except (TiffFileError, IndexError, KeyError) as error:
            raise Refused(f"the TIFF is damaged or cut short ({reason(error)}); copy or export it again") from error
        said = (self._tif.imagej_metadata or {}).get("images", 1) if self._tif.is_imagej else 1
        there = sum(len(stack.planes) for stack in stacks)
        if isinstance(said, int) and said > there:
            raise Refused(f"the file is cut short: it says {said} images and holds {there}; copy it again")
        return stacks

    def _scene(self, stack: Stack) -> Scene:
        size, said, notes = pixel_size(self._tif, stack)
        sizes = stack.axes
        return Scene(
            sizes=sizes,
            dtype=str(stack.key.dtype),
            name=stack.name,
            channels=channel_names(self._tif, stack, dict(sizes).get(CHANNEL, 1)),
            pixel_size_um=size,
            pixel_size_from=said if size else "",
            interval_s=interval(self._tif, stack),
            z_step_um=z_step(self._tif, stack),
            overview=stack.overview,
            warnings=notes,
        )

    def series(self, scene: int) -> int:
        """Return the number of the series a scene is in."""
        return self._stacks[scene].number

    def plane(self, scene: int, at: Mapping[str, int]) -> Decoded:
        """Decode one plane (see `cellscope.io.scene.Source`)."""
        stack = self._stacks[scene]
        check_kind(stack.key, stored=stack.stored)
        place = stack.plane(dict(at))
        if place.page is None:
            raise Refused("the file lacks a plane that its metadata name; copy all files that belong to it")
        handle = place.page.parent.filehandle
        if handle.closed:  # another file of a set
            handle.open()
        decoded = decode_page(place.page, place.offset, stored=stack.stored)
        if stack.samples == CHANNEL and decoded.pixels.ndim == 3:
            return replace(decoded, pixels=decoded.pixels[..., at.get(CHANNEL, 0)])
        return decoded

    def close(self) -> None:
        """Let go of the file."""
        self._tif.close()
