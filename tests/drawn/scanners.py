"""Generated slides in scanners' own formats, whose files cannot be had here: Hamamatsu's NDPI and 3DHISTECH's MIRAX.

Both are laid out as real files are, as far as OpenSlide looks at them.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage

#: Side of a tile, pixels; sides of an image must be multiples of it at every level.
TILE = 64
_SHORT, _LONG, _RATIONAL, _SLONG, _FLOAT, _ASCII = 3, 4, 5, 9, 11, 2
_SIZES = {_SHORT: 2, _LONG: 4, _RATIONAL: 8, _SLONG: 4, _FLOAT: 4, _ASCII: 1}


def jpeg(image: np.ndarray, *, restart_blocks: int = 0) -> bytes:
    """Encode (H, W, 3) uint8; every `restart_blocks` blocks of 8 x 8 a marker where a decoder may begin."""
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, "JPEG", quality=95, subsampling=0, restart_marker_blocks=restart_blocks)
    return buffer.getvalue()


def halved(image: np.ndarray, levels: int) -> list[np.ndarray]:
    """Give an image and its halves."""
    return [
        cv2.resize(image, (image.shape[1] >> level, image.shape[0] >> level), interpolation=cv2.INTER_AREA)
        for level in range(levels)
    ]


def write_ndpi(path: Path, image: np.ndarray, *, pixel_size_um: float = 0.25, levels: int = 2) -> list[np.ndarray]:
    """Write an NDPI: TIFF with places of 64 bits, one JPEG per level whose restart intervals are the tiles.

    Returns
    -------
    list of (h, w, 3) uint8
        The levels as their JPEGs decode.
    """
    body = bytearray(struct.pack("<2sHQ", b"II", 42, 0))
    link = 4  # where the place of the next directory is to be written
    decoded = []
    for number, level in enumerate(halved(image, levels)):
        assert not any(side % TILE for side in level.shape[:2])
        code = jpeg(level, restart_blocks=TILE // 8)
        decoded.append(np.asarray(PillowImage.open(io.BytesIO(code))))
        start = len(body)
        body += code
        per_cm = (round(1e4 / pixel_size_um * 1000) >> number, 1000)
        tags: list[tuple[int, int, tuple | bytes]] = [
            (256, _LONG, (level.shape[1],)),
            (257, _LONG, (level.shape[0],)),
            (258, _SHORT, (8, 8, 8)),
            (259, _SHORT, (7,)),
            (262, _SHORT, (6,)),
            (271, _ASCII, b"Hamamatsu\0"),
            (273, _LONG, (start,)),
            (277, _SHORT, (3,)),
            (278, _LONG, (level.shape[0],)),
            (279, _LONG, (len(code),)),
            (282, _RATIONAL, per_cm),
            (283, _RATIONAL, per_cm),
            (296, _SHORT, (3,)),
            (65420, _LONG, (1,)),  # the mark of the format
            (65421, _FLOAT, (40.0 / 2**number,)),  # magnification of the level; -1 would be the macro image
            (65424, _SLONG, (0,)),  # focal plane
        ]
        link = _add_directory(body, tags, link)
    path.write_bytes(body)
    return decoded


def _add_directory(body: bytearray, tags: list, link: int) -> int:
    """Append a directory and return where it says what comes next; high halves of the values follow it."""
    entries = b""
    for tag, kind, value in tags:
        letter = {_SHORT: "H", _LONG: "I", _RATIONAL: "I", _SLONG: "i", _FLOAT: "f"}.get(kind)
        packed = value if kind == _ASCII else struct.pack(f"<{len(value)}{letter}", *value)
        count = len(packed) // _SIZES[kind]
        if len(packed) > 4 or kind == _ASCII:  # text is never in the entry itself
            place = len(body)
            body += packed + b"\0" * (-len(packed) % 8)
            packed = struct.pack("<I", place)
        entries += struct.pack("<HHI", tag, kind, count) + packed.ljust(4, b"\0")
    here = len(body)
    struct.pack_into("<Q", body, link, here)
    body += struct.pack("<H", len(tags)) + entries + struct.pack("<Q", 0) + b"\0" * (4 * len(tags))
    return here + 2 + len(entries)


def write_mrxs(
    path: Path, image: np.ndarray, *, pixel_size_um: float = 0.25, levels: int = 2, unscanned: tuple[int, ...] = ()
) -> list[np.ndarray]:
    """Write a MIRAX slide: a small picture of that name, and a folder of index and data.

    Parameters
    ----------
    path : Path
        Ends in ``.mrxs``; the folder beside it has its stem.
    image : (H, W, 3) uint8
    unscanned : tuple of int
        Tiles of level 0, counted row by row, that the scanner left out; the coarser levels have them all.

    Returns
    -------
    list of (h, w, 3) uint8
        The levels as their JPEGs decode, white where nothing was scanned.
    """
    folder = path.with_suffix("")
    folder.mkdir()
    PillowImage.fromarray(image).resize((64, 64)).save(path, "JPEG")
    across, down = image.shape[1] // TILE, image.shape[0] // TILE
    name = "0123456789ABCDEF0123456789ABCDEF"
    data, pages, decoded = bytearray(b"\0" * 16), [], []
    for number, level in enumerate(halved(image, levels)):
        assert not any(side % TILE for side in level.shape[:2])
        records, back = [], np.full_like(level, 255)
        for row in range(0, level.shape[0], TILE):
            for column in range(0, level.shape[1], TILE):
                index = ((row // TILE) * across + column // TILE) << number  # named by their tile of level 0
                if number == 0 and index in unscanned:
                    continue
                code = jpeg(level[row : row + TILE, column : column + TILE])
                back[row : row + TILE, column : column + TILE] = PillowImage.open(io.BytesIO(code))
                records.append((index, len(data), len(code), 0))
                data += code
        pages.append(records)
        decoded.append(back)
    (folder / "Data0000.dat").write_bytes(data)
    (folder / "Index.dat").write_bytes(_mirax_index(name, pages))
    (folder / "Slidedat.ini").write_text(_mirax_facts(name, across, down, pixel_size_um, levels), encoding="utf-8")
    return decoded


def _mirax_index(name: str, pages: list[list[tuple[int, ...]]]) -> bytes:
    """Version, name, two roots; the first leads to a pointer per level, each to the head of a list of pages."""
    index = bytearray(b"01.02" + name.encode())
    table = len(index) + 8
    index += struct.pack("<2i", table, table)
    index += b"\0" * (4 * len(pages))
    for level, records in enumerate(pages):
        struct.pack_into("<i", index, table + 4 * level, len(index))
        index += struct.pack("<2i", 0, len(index) + 8)
        index += struct.pack("<2i", len(records), 0)
        for record in records:
            index += struct.pack("<4i", *record)
    return bytes(index)


def _mirax_facts(name: str, across: int, down: int, pixel_size_um: float, levels: int) -> str:
    lines = ["[GENERAL]", "SLIDE_VERSION=01.02", f"SLIDE_ID={name}", f"IMAGENUMBER_X={across}", f"IMAGENUMBER_Y={down}"]
    lines += ["OBJECTIVE_MAGNIFICATION=40", "CameraImageDivisionsPerSide=1"]
    lines += ["[HIERARCHICAL]", "HIER_COUNT=1", "NONHIER_COUNT=0", "INDEXFILE=Index.dat"]
    lines += ["HIER_0_NAME=Slide zoom level", f"HIER_0_COUNT={levels}"]
    lines += [f"HIER_0_VAL_{level}_SECTION=LAYER_0_LEVEL_{level}_SECTION" for level in range(levels)]
    lines += ["[DATAFILE]", "FILE_COUNT=1", "FILE_0=Data0000.dat"]
    for level in range(levels):
        size = pixel_size_um * 2**level
        lines += [f"[LAYER_0_LEVEL_{level}_SECTION]", "OVERLAP_X=0", "OVERLAP_Y=0", "IMAGE_FORMAT=JPEG"]
        lines += [f"MICROMETER_PER_PIXEL_X={size}", f"MICROMETER_PER_PIXEL_Y={size}", "IMAGE_FILL_COLOR_BGR=16777215"]
        lines += [f"DIGITIZER_WIDTH={TILE}", f"DIGITIZER_HEIGHT={TILE}", f"IMAGE_CONCAT_FACTOR={int(level > 0)}"]
    return "\n".join(lines) + "\n"
