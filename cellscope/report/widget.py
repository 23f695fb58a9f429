"""An interactive widget on a card of the report: script, style, document and picture, all embedded."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from markupsafe import Markup
from PIL import Image as PillowImage

from cellscope.errors import InputError, UsageError
from cellscope.imaging.tone import to_grey
from cellscope.io.choice import Choice, Wants
from cellscope.io.document import read_json
from cellscope.io.read import read

MAX_SIDE = 4096
"""Larger pictures are not embedded, and their cards have no widget."""

_QUALITY = 90


@dataclass(frozen=True)
class Code:
    """What runs in the browser."""

    script: str
    style: str


@dataclass(frozen=True)
class Widget:
    """One card's widget.

    Attributes
    ----------
    package : str
        Whose code runs it; the page holds the code of each package once.
    code : Code
    title : str
    document : Markup
        JSON that is safe inside a ``<script>`` element.
    picture : str
        ``data:`` URI of the input as a grey picture of the same size.
    source : str
        Where the input was read.
    """

    package: str
    code: Code
    title: str
    document: Markup
    picture: str
    source: str


def make_widget(
    *,
    package: str,
    script: str,
    style: str,
    title: str,
    document: Path,
    picture: Path,
    choice: Choice = Choice(),  # noqa: B008  frozen
) -> Widget | None:
    """Make a widget from files.

    Parameters
    ----------
    package, script, style : str
        A package and two files in it.
    title : str
    document : Path
        A JSON file.
    picture : Path
        The image it belongs to.
    choice : Choice
        What was read of it.

    Returns
    -------
    Widget or None
        None when the document or the image cannot be read (any more), or the image is larger than `MAX_SIDE`.
    """
    try:
        content = read_json(document)
        grey = to_grey(read(picture, choice=choice, wants=Wants.STAIN).pixels)
    except (InputError, UsageError):
        return None
    if max(grey.shape) > MAX_SIDE:
        return None
    return Widget(package, _code(package, script, style), title, _embeddable(content), _picture(grey), str(picture))


@lru_cache(maxsize=8)
def _code(package: str, script: str, style: str) -> Code:
    here = files(package)
    return Code(*((here / name).read_text(encoding="utf-8").strip() for name in (script, style)))


def _embeddable(content: object) -> Markup:
    """Write JSON so that nothing in it can end the element it stands in."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _picture(grey: np.ndarray) -> str:
    low, high = np.percentile(grey, [0.1, 99.9])
    pixels = np.clip((grey - low) * (255.0 / max(float(high - low), 1e-6)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
