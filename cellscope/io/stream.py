"""Results larger than memory: label images written band by band, GeoJSON written feature by feature."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.io.write import atomic

TILE = 512
"""Side of the tiles of a large label image, pixels."""


@dataclass(frozen=True, eq=False)
class Bands:
    """A label image in bands of rows.

    Attributes
    ----------
    shape : (height, width)
    dtype : numpy dtype
        uint16 or uint32.
    bands
        ``bands()`` -> arrays (rows, width) of any heights, from top to bottom, `height` rows in all.
    """

    shape: tuple[int, int]
    dtype: np.dtype
    bands: Callable[[], Iterable[np.ndarray]]


@dataclass(frozen=True, eq=False)
class Features:
    """GeoJSON features made as they are written.

    Attributes
    ----------
    features
        ``features()`` -> the features, in order.
    """

    features: Callable[[], Iterable[Mapping[str, Any]]]


def write_bands(path: str | os.PathLike[str], image: Bands) -> None:
    """Write a label image as a tiled, deflate-compressed TIFF (BigTIFF where it may pass 4 GB).

    Raises
    ------
    ValueError
        The bands do not make up the image.
    CellscopeError
        The file cannot be written.
    """
    import tifffile

    height, width = image.shape
    with atomic(path) as temporary:
        tifffile.imwrite(
            temporary,
            _tiles(image),
            shape=image.shape,
            dtype=image.dtype,
            tile=(TILE, TILE),
            photometric="minisblack",
            compression="zlib",  # without a predictor: ImageJ knows none for 32 bits
            software="cellscope",
            metadata=None,
            bigtiff=height * width * np.dtype(image.dtype).itemsize >= 2**32,
            maxworkers=1,
        )


def _tiles(image: Bands) -> Iterator[np.ndarray]:
    """Cut the bands into tiles, row by row; those at the end are filled up."""
    height, width = image.shape
    across = -(-width // TILE)
    row = np.zeros((TILE, across * TILE), image.dtype)
    filled = total = 0
    for band in image.bands():
        if band.ndim != 2 or band.shape[1] != width:
            raise ValueError(f"a band of shape {band.shape} for an image of {image.shape}")
        total += len(band)
        at = 0
        while at < len(band):
            take = min(TILE - filled, len(band) - at)
            row[filled : filled + take, :width] = band[at : at + take]
            at += take
            filled += take
            if filled == TILE:
                yield from _row(row)
                filled = 0
    if total != height:
        raise ValueError(f"bands of {total} rows for an image of {height}")
    if filled:
        row[filled:] = 0
        yield from _row(row)


def _row(row: np.ndarray) -> Iterator[np.ndarray]:
    for left in range(0, row.shape[1], TILE):
        yield np.ascontiguousarray(row[:, left : left + TILE])


def write_features(path: str | os.PathLike[str], source: Features) -> None:
    """Write a GeoJSON FeatureCollection, one feature a line; compressed where the name ends in ``.gz``.

    Raises
    ------
    ValueError
        NaN or infinity in a feature.
    CellscopeError
        The file cannot be written.
    """
    with atomic(path) as temporary, Path(temporary).open("wb") as stream:
        if os.fspath(path).endswith(".gz"):
            # No name and no time stamp: the same result is the same bytes.
            with gzip.GzipFile("", "wb", compresslevel=5, fileobj=stream, mtime=0) as packed:
                packed.writelines(_lines(source.features()))
        else:
            stream.writelines(_lines(source.features()))


def _lines(features: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    yield b'{"type":"FeatureCollection","features":['
    separator = "\n"
    for feature in features:
        yield (separator + json.dumps(feature, allow_nan=False, separators=(",", ":"))).encode()
        separator = ",\n"
    yield b"\n]}\n"
