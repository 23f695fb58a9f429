"""The review gallery: thumbnails of objects that a person accepts or rejects on the page, and saves as corrections.

A stage for it leaves an artefact ending in ``.gallery.json`` per input: ``image``, ``classes`` (two), ``total`` and
``cells``, each with ``label``, ``centroid-0``, ``centroid-1``, ``class``, ``probability``, ``review`` and
``picture``, a ``data:`` URI. To accept a cell is to confirm its class, to reject it is to give it the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SUFFIX = ".gallery.json"

MOST = 600
"""Thumbnails on one page at most: more would make it slow to open."""


@dataclass
class Gallery:
    """What the page shows for review.

    Attributes
    ----------
    cells : list of dict
        As in the artefact, each with its ``image`` and the ``other`` class.
    total : int
        How many there were to show.
    """

    cells: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0


def read_galleries(paths: Iterable[Path], most: int = MOST) -> Gallery:
    """Gather the galleries of a run; unsure cells come first when there are more than fit.

    A file that cannot be read is left out: it was written by this run, and the page must come all the same.
    """
    gallery = Gallery()
    for path in paths:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        gallery.total += int(content["total"])
        for cell in content["cells"]:
            other = next((name for name in content["classes"] if name != cell["class"]), cell["class"])
            gallery.cells.append({"image": content["image"], "other": other, **cell})
    if len(gallery.cells) > most:
        ranked = sorted(gallery.cells, key=lambda cell: (not cell["review"], -cell["probability"]))
        chosen = {id(cell) for cell in ranked[:most]}
        gallery.cells = [cell for cell in gallery.cells if id(cell) in chosen]
    return gallery
