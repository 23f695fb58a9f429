"""The page on which a person scores a random sample of cells, by mouse or number keys, and saves the scores."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup

from cellscope.report.thumbnails import encode


def audit_page(cells: Sequence[tuple[str, int, np.ndarray]]) -> str:
    """Make one self-contained page that loads nothing from elsewhere.

    Parameters
    ----------
    cells : sequence of (image, label, picture)
        In the order in which they are scored; a picture is (H, W, 3) uint8.
    """
    here = Path(__file__).parent
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(here), autoescape=True, trim_blocks=True)
    style, script = ((here / f"audit.{suffix}").read_text(encoding="utf-8") for suffix in ("css", "js"))
    shown = [{"image": image, "label": label, "picture": encode(picture)} for image, label, picture in cells]
    return environment.get_template("audit.html.j2").render(
        cells=shown, style=Markup(style), script=Markup(script), style_hash=_hash(style), script_hash=_hash(script)
    )


def _hash(text: str) -> str:
    """Name a text for the page's Content-Security-Policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
