"""One input on its way through the stages, and its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cellscope.io.annotations.label_image import LabelImage
    from cellscope.io.image import Image
    from cellscope.models.card import ModelCard


State = TypeVar("State", covariant=True)


@dataclass(frozen=True, eq=False)
class Features:
    """What a network's layer said of an image, on the way.

    Attributes
    ----------
    values : (F,) float32
        Mean over the network's items.
    weight : float
        Of all of them together.
    """

    values: np.ndarray
    weight: float


@dataclass(eq=False)
class Subject(Generic[State]):
    """One input on its way through the stages.

    Attributes
    ----------
    name
        The contract's ``image``: unique within a run.
    image
        Pixels and pixel size. Stages must not write into ``image.pixels``.
    kind
        What the input was taken for, one of the assay's ``kinds``.
    options
        The assay's predict options (a dataclass instance), the same object for every subject.
    cards
        Model card per part: classes, thresholds, normalisation, pixel size.
    state
        What the stages leave for the next stage and ``conclude``: an instance of the assay's ``state``, picklable. Made
        by the engine where it is None.
    seconds
        Wall time spent on this subject so far; kept by the engine.
    beside
        What the assay's ``beside`` named, read.
    loaded_pixels
        Pixels that the assay's ``load`` read besides those of ``image``, for the bounds on memory.
    truth
        In an evaluation: what is known of the item.
    piece
        Its number, where this is a piece of a larger subject (see `cellscope.engine.large.Pieces`); else None.
    features
        Part -> features of the stages whose items are weighed, where the part's model has a description; kept by the
        engine.
    """

    name: str
    image: Image
    kind: str
    options: Any
    cards: Mapping[str, ModelCard]
    state: State = None  # type: ignore[assignment]
    seconds: float = 0.0
    beside: dict[str, LabelImage] = field(default_factory=dict)
    loaded_pixels: int = 0
    truth: Any = None
    piece: int | None = None
    features: dict[str, Features] = field(default_factory=dict)

    @property
    def pixels(self) -> int:
        """Pixels held in memory."""
        return self.image.height * self.image.width + self.loaded_pixels


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of ``objects.csv`` that are made only when they are written: more than memory should hold.

    Attributes
    ----------
    count
        Of all rows.
    frames
        ``frames()`` -> the rows in frames, in order; all of the same columns, and at least one frame.
    """

    count: int
    frames: Callable[[], Iterator[pd.DataFrame]]

    def __len__(self) -> int:
        return self.count


@dataclass(eq=False)
class Result:
    """What one input came to.

    Attributes
    ----------
    objects
        One row per object: ``label, class, score, review``, one ``p_<class>`` per class (none for a one-class model),
        then measurements. No ``image`` column. Labels are unique positive integers. No rows is a result.
    summary
        Values for the assay's ``summary_columns``; a missing one stays empty.
    artefacts
        Suffix -> payload, written to ``OUT/<stem><suffix>``: ``*.tif`` integer (H, W) array; ``*.png`` uint8 array or
        ``(array, dpi)``; ``*.gallery.json`` what `cellscope.report.gallery` describes, shown for review in the report;
        ``*.json`` / ``*.geojson`` (or the same with ``.gz``) JSON-ready object; other suffixes text
        or bytes. Written as they are made: `cellscope.io.stream.Bands` (label images), `cellscope.io.stream.Features`
        (GeoJSON). A piece's artefacts are arrays, kept until the subject is joined.
    warnings
        One line each, shown in the report and kept in ``run.json``.
    tables
        Rows for the assay's extra tables: name without ``.csv`` -> frame without an ``image`` column.
    rows
        From ``join``, in place of ``objects``: rows made as they are written, where there may be more than memory
        should hold.
    """

    objects: pd.DataFrame
    summary: dict[str, Any] = field(default_factory=dict)
    artefacts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    rows: Rows | None = None

    @property
    def count(self) -> int:
        """Number of objects."""
        return len(self.objects) if self.rows is None else len(self.rows)
