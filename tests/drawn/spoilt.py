"""Small files of every kind that is read, and what reading a spoilt one may come to."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image as PilImage

from cellscope.errors import InputError
from cellscope.io.read import read

rng = np.random.default_rng(5)
PIXELS = np.kron(rng.integers(0, 255, (12, 15, 3)), np.ones((4, 4, 1))).astype(np.uint8)


def refusal(path, **options):
    with pytest.raises(InputError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) - len(str(path)) < 300
    return message


def attempt(path, **options):
    """The image, or None where it is properly refused."""
    try:
        return read(path, **options)
    except InputError as error:
        message = str(error)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return None


def encoded(kind, pixels=PIXELS, **options):
    out = io.BytesIO()
    PilImage.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def tiff(pixels=PIXELS, **options):
    out = io.BytesIO()
    options = {"photometric": "rgb" if pixels.ndim == 3 else "minisblack", "metadata": None, **options}
    tifffile.imwrite(out, pixels, **options)
    return out.getvalue()


GOOD = {
    "raw.tif": tiff(),
    "strips.tif": tiff(rowsperstrip=5),
    "lzw.tif": tiff(compression="lzw", rowsperstrip=5),
    "deflate-tiles.tif": tiff(compression="zlib", tile=(16, 16)),
    "zstd.tif": tiff(compression="zstd"),
    "packbits.tif": tiff(compression="packbits"),
    "jpeg.tif": tiff(compression="jpeg", rowsperstrip=16),
    "big.tif": tiff(bigtiff=True),
    "libtiff.tif": encoded("TIFF", compression="tiff_lzw"),
    "a.png": encoded("PNG"),
    "sixteen.png": encoded("PNG", PIXELS[..., 0].astype(np.uint16) * 257),
    "a.jpg": encoded("JPEG"),
    "progressive.jpg": encoded("JPEG", progressive=True),
    "cmyk.jpg": (lambda o: (PilImage.fromarray(PIXELS).convert("CMYK").save(o, "JPEG"), o.getvalue())[1])(io.BytesIO()),
    "a.bmp": encoded("BMP"),
    "a.webp": encoded("WEBP", quality=80),
    "lossless.webp": encoded("WEBP", lossless=True),
    "grey.bmp": encoded("BMP", PIXELS[..., 0]),
}
