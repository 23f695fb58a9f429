"""Write result files under a temporary name in the same folder, renamed when complete."""

from __future__ import annotations

import errno
import json
import os
import secrets
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellscope.errors import CellscopeError
from cellscope.io.json_text import indented, plain
from cellscope.io.text import no_formula, one_line

if TYPE_CHECKING:
    import pandas as pd

_IHDR_END = 33  # the PNG signature and the header chunk, which must come first
_INCHES_PER_M = 1 / 0.0254
#: With the filter "up" (most pictures are enlarged, and a row is most like the one above it) two fifths of the time of
#: level 4 with filters that the library chooses row by row, or less, for files up to 11 % larger.
_PNG_LEVEL = 2
_MANY_DIGITS = 1e5


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file under a temporary name in its folder; rename it when the block ends, remove it when the block fails.

    Parameters
    ----------
    path : path
        Where the file shall appear. Missing folders are made.

    Yields
    ------
    Path
        The hidden temporary file to write; it has the suffix of `path`.

    Raises
    ------
    CellscopeError
        The folder or the file cannot be written: read-only, disk full, a folder of that name in the way.
    """
    target = Path(path)
    # short, because a name built from the target's could pass the file system's limit
    temporary = target.with_name(f".cellscope-{secrets.token_hex(8)}{target.suffix[:16]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        reason = one_line(error.strerror or str(error))
        advice = "choose another folder"
        if error.errno == errno.ENAMETOOLONG:
            advice = f"{len(os.fsencode(target.name))} bytes are too long for a name: rename the input, shorter"
        raise CellscopeError(f"{one_line(target)}: cannot be written ({reason}); {advice}") from error
    finally:
        with suppress(OSError):  # the error that led here says more than this one
            temporary.unlink(missing_ok=True)


def write_labels(path: str | os.PathLike[str], labels: np.ndarray, *, pixel_size_um: float | None = None) -> None:
    """Write a label image as a deflate-compressed TIFF that any viewer opens.

    Parameters
    ----------
    path : path
    labels : (H, W) integer or bool, >= 0
        0 is background. Stored as uint16 when the largest label fits, else as uint32.
    pixel_size_um : float, optional
        Stored as the resolution when given.

    Raises
    ------
    ValueError
        Not a two-dimensional image of labels.
    CellscopeError
        The file cannot be written.
    """
    import tifffile

    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.size == 0 or labels.dtype.kind not in "bui":
        raise ValueError(f"labels must be a two-dimensional integer array, not {labels.dtype} of shape {labels.shape}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= 2**32:
        raise ValueError(f"labels must lie in 0 .. {2**32 - 1}, not {low} .. {high}")
    dtype = np.uint16 if high < 2**16 else np.uint32
    resolution: dict[str, Any] = {}
    if pixel_size_um is not None:
        resolution = {"resolution": (1e4 / pixel_size_um,) * 2, "resolutionunit": "CENTIMETER"}
    with atomic(path) as temporary:
        tifffile.imwrite(
            temporary,
            labels.astype(dtype, copy=False),
            photometric="minisblack",
            compression="zlib",  # without a predictor: ImageJ knows none for 32 bits
            software="cellscope",
            metadata=None,
            **resolution,
        )


def write_png(path: str | os.PathLike[str], pixels: np.ndarray, dpi: float | None = None) -> None:
    """Write a PNG.

    Parameters
    ----------
    path : path
    pixels : (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) uint8, uint16 or bool
    dpi : float, optional
        Print resolution to store.

    Raises
    ------
    ValueError
        Pixels of another type or shape.
    CellscopeError
        The file cannot be written.
    """
    encoded = encode_png(pixels)
    with atomic(path) as temporary, temporary.open("wb") as handle:
        handle.write(encoded[:_IHDR_END])
        if dpi is not None:
            handle.write(_physical_size(dpi))
        handle.write(memoryview(encoded)[_IHDR_END:])


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode pixels as a PNG; they are as for `write_png`, which raises what this raises."""
    import imagecodecs

    pixels = np.asarray(pixels)
    if pixels.dtype == np.bool_:
        pixels = pixels.view(np.uint8) * np.uint8(255)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    colour = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if not colour or pixels.size == 0 or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"a PNG needs grey, RGB or RGBA of 8 or 16 bits, not {pixels.dtype} of shape {pixels.shape}")
    encoded = imagecodecs.png_encode(np.ascontiguousarray(pixels), level=_PNG_LEVEL, filter=imagecodecs.PNG.FILTER.UP)
    return bytes(encoded)


def _physical_size(dpi: float) -> bytes:
    per_metre = round(dpi * _INCHES_PER_M)
    chunk = b"pHYs" + struct.pack(">IIB", per_metre, per_metre, 1)
    return struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))


def write_json(path: str | os.PathLike[str], obj: Any, *, indent: int | None = 2) -> None:
    """Write JSON: UTF-8, keys in the order given, a newline at the end.

    Parameters
    ----------
    path : path
    obj : what JSON can hold, also numpy scalars and arrays, tuples and paths
    indent : int, optional
        None writes one line, for large files.

    Raises
    ------
    ValueError
        NaN or infinity anywhere; an undefined value is None.
    TypeError
        Something JSON cannot hold.
    CellscopeError
        The file cannot be written.
    """
    write_text(path, (indented(obj) if indent == 2 else _dumps(plain(obj), indent)) + "\n")


def _dumps(obj: Any, indent: int | None) -> str:
    return json.dumps(obj, indent=indent, ensure_ascii=False, allow_nan=False)


def as_written(frame: pd.DataFrame) -> pd.DataFrame:
    """Round the floats of a table as `write_csv` does, so that it can be compared with one that was read back."""
    rounded = frame.copy()
    for name in frame.columns[[kind.kind == "f" for kind in frame.dtypes]]:
        rounded[name] = [float(_compact(value)) if np.isfinite(value) else value for value in frame[name].tolist()]
    return rounded


def write_csv(path: str | os.PathLike[str], frame: pd.DataFrame) -> None:
    """Write a table: UTF-8, one header line, no index, missing values empty, ``True`` and ``False``.

    Floats have six significant digits, ten from 100,000 on, so that areas and coordinates of slides keep their pixels.
    A text that a spreadsheet would take for a formula gets an apostrophe; `from_cell` takes it away.

    Parameters
    ----------
    path : path
    frame : DataFrame

    Raises
    ------
    ValueError
        An infinite number in the table.
    CellscopeError
        The file cannot be written.
    """
    infinite = [str(name) for name, column in frame.items() if column.dtype.kind == "f" and np.isinf(column).any()]
    if infinite:
        raise ValueError(f"infinite values in column {', '.join(infinite)}; an undefined value is empty")
    safe = frame.copy(deep=False)
    for name, column in frame.items():
        if column.dtype.kind not in "biufcmM":
            safe[name] = column.map(lambda cell: no_formula(cell) if isinstance(cell, str) else cell)
    with atomic(path) as temporary:
        safe.to_csv(
            temporary,
            index=False,
            float_format=_compact,
            lineterminator="\n",
            encoding="utf-8",
            errors="backslashreplace",
        )


def _compact(value: float) -> str:
    return f"{value:.6g}" if abs(value) < _MANY_DIGITS else f"{value:.10g}"


def write_text(path: str | os.PathLike[str], text: str | Iterable[str]) -> None:
    """Write text, whole or piece by piece, as UTF-8 with the line ends it has.

    Undecodable bytes of file names, which Python keeps as lone surrogates, are written escaped (as JSON does it).

    Raises
    ------
    CellscopeError
        The file cannot be written.
    """
    pieces = [text] if isinstance(text, str) else text
    with atomic(path) as temporary, temporary.open("wb") as file:
        file.writelines(piece.encode("utf-8", "backslashreplace") for piece in pieces)
