"""What the room of corrections knows about an assay."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cellscope.engine.assay import Assay, Subject
from cellscope.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Edit = Mapping[str, Any]
"""A change: ``do``, and what that needs."""


@dataclass(frozen=True, eq=False)
class Original:
    """What ``predict`` found in one image.

    Attributes
    ----------
    image : str
    artefacts : mapping
        Suffix -> contents: parsed JSON, or a (H, W) label image (TIFF).
    rows : DataFrame
        Its rows of ``objects.csv``, without ``image``.
    summary : mapping
        Its cells of ``images.csv``, as text.
    tables : mapping
        Name -> its rows of the assay's other tables.
    """

    image: str
    artefacts: Mapping[str, Any]
    rows: pd.DataFrame
    summary: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Review:
    """How an assay's results are corrected.

    Attributes
    ----------
    originals
        Kind -> suffixes of the artefacts that corrections start from; other kinds cannot be reviewed.
    page
        Kind -> what the browser shows: ``karyotype``, ``objects`` or ``gallery``. A kind of `originals` without a page
        is corrected in another program, see `cellscope.review.returned`.
    corrected
        ``corrected(original, edits)`` -> the assay that takes the image through the edits: its stages carry them out
        (InputError says what is wrong with one), its ``conclude`` gives what ``predict`` would have.
    show
        ``show(subject)`` -> what the browser gets, JSON-ready: ``objects`` (``label``, ``class``, ``review``,
        ``reasons``, ``corrected``, ``outline``: rings of x, y) and ``facts``: (name, value).
    classes
        ``classes(models)`` -> the classes that a person can give; ``models`` is part -> what ``run.json`` says of it.
    tools
        The edits that the browser offers.
    parts
        The model parts that are needed again; None for all.
    complete
        ``complete(subject, edit)`` -> the edit as it is logged, where the person gave less, such as a place for an
        outline. InputError says why not. None for nothing to complete.
    reads_image
        Whether the assay needs the input again.
    outlined
        Whether objects can be corrected as outlines in a GeoJSON file.
    beside
        Kind -> suffixes of artefacts that are read too where there are such.
    picture
        ``picture(run, image, label)`` of an `OpenRun` -> (h, w, 3) uint8, what a gallery shows of an object, where that
        is not the input itself.
    sheet
        ``sheet(subject)`` -> (what the name of the file ends with, the file): what the person takes along of an image
        as it is now, to print. None for nothing.
    """

    originals: Mapping[str, Sequence[str]]
    page: Mapping[str, str]
    corrected: Callable[[Original, Sequence[Edit]], Assay]
    show: Callable[[Subject], dict[str, Any]]
    classes: Callable[[Mapping[str, Any]], Sequence[str]]
    tools: Sequence[str]
    parts: Sequence[str] | None = None
    complete: Callable[[Subject, Edit], Edit] | None = None
    reads_image: bool = True
    outlined: bool = False
    beside: Mapping[str, Sequence[str]] = field(default_factory=dict)
    picture: Callable[[Any, str, int], np.ndarray] | None = None
    sheet: Callable[[Subject], tuple[str, bytes]] | None = None


def find_review(assay: str) -> Review:
    """Find how the results of an assay are corrected.

    Raises
    ------
    UsageError
        They cannot be, so far.
    """
    name = f"cellscope.assays.{assay.replace('-', '_')}.editing.review"
    try:
        found = importlib.import_module(name).REVIEW
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        raise UsageError(f"results of {assay} cannot be reviewed in the browser") from None
    assert isinstance(found, Review)
    return found
