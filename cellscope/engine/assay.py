"""The protocol between the engine and an assay: plain data and pure functions, nothing that opens a file.

An assay is a short list of stages. For every stage the engine calls ``cut`` (one subject -> network inputs), pools the
inputs of several subjects into batches for ``forward``, and hands the outputs of one subject to ``finish``. When the
last stage is done, ``conclude`` turns what the stages left in ``subject.state`` into a `Result`; the engine writes it
down.

Every function in an `Assay` or a `Stage` must live at the top level of a module, so that an assay can be pickled for
worker processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cellscope.engine.input_spec import InputSpec
from cellscope.engine.large import Large, Pieces
from cellscope.engine.subject import Result, Rows, Subject

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch

    from cellscope.models.card import ModelCard

__all__ = [
    "IMAGE_COLUMNS",
    "LAST_IMAGE_COLUMNS",
    "OBJECT_COLUMNS",
    "RGB",
    "Assay",
    "Editor",
    "InputSpec",
    "Large",
    "Pieces",
    "Portable",
    "Ranking",
    "Result",
    "Rows",
    "RunSummary",
    "Stage",
    "Subject",
    "all_alike",
    "probability_columns",
]

OBJECT_COLUMNS = ("image", "label", "class", "score", "review")
"""The columns every ``objects.csv`` starts with."""

IMAGE_COLUMNS = ("image", "status", "error", "kind", "n_objects", "seconds")
"""The columns every ``images.csv`` starts with."""

LAST_IMAGE_COLUMNS = ("familiarity", "unfamiliar", "read", "warnings")
"""The columns every ``images.csv`` ends with: how like the training images the input is and whether it is unlike them
(empty where no model has a description), what was read of the file, number of warnings."""


@dataclass(frozen=True)
class Stage:
    """One *cut, network, postprocess* step.

    Attributes
    ----------
    part
        The model part whose network runs in this stage; one of the assay's ``parts``.
    kinds
        The kinds of input this stage applies to; other subjects pass it by.
    batch_size
        Items per batch unless the user says otherwise.
    cut
        ``cut(subject)`` -> list of (C, H, W) float32 arrays; an empty list is fine (``finish`` then gets an empty
        list).
    forward
        ``forward(module, batch)`` -> one output per item, in order, as numpy arrays or plain Python values (no tensors
        on a device; autocast may give bfloat16, which numpy lacks: call ``.float()``). ``batch`` is a list of (C, H, W)
        float32 tensors on the run's device, *all of the same shape*: the engine never mixes shapes, so that no item is
        padded for the sake of another and results do not depend on its neighbours. It runs under
        ``torch.inference_mode`` and the run's autocast.
    finish
        ``finish(subject, outputs)``: takes the outputs of all items of this subject, in the order of ``cut``, and
        leaves the results in ``subject.state``.
    cpu_batch
        Items that ``forward`` gets at once on a CPU, which large ones keep busy one at a time; on other devices, as
        many as a batch holds. Blank items (zeros) make up the number, always: libraries choose their algorithms by it,
        and the last bits of a result with them, which must not depend on how items were pooled.
    weigh
        ``weigh(subject, n)`` -> the weights of the n items just cut in the features that say how familiar the image is
        (`cellscope.engine.familiarity`); 0 for an item that shows again what another shows. None for a stage whose
        items do not stand for the image, such as those seen at a first guess of the scale. Of several stages with one
        part's network the last that cuts an item counts.
    """

    part: str
    kinds: tuple[str, ...]
    batch_size: int
    cut: Callable[[Subject], list[np.ndarray]]
    forward: Callable[[torch.nn.Module, list[torch.Tensor]], Sequence[Any]]
    finish: Callable[[Subject, list[Any]], None]
    cpu_batch: int = 1
    weigh: Callable[[Subject, int], Sequence[float]] | None = None


def all_alike(_subject: Subject, count: int) -> list[float]:
    """Weigh all items of a stage the same."""
    return [1.0] * count


@dataclass(eq=False)
class RunSummary:
    """What all inputs of a run came to together.

    Attributes
    ----------
    tables
        Name without ``.csv`` -> frame, written to ``OUT/<name>.csv`` and shown in the report.
    artefacts
        File name (``dose.png``, ``cases.json``) -> payload as in `Result`, written to ``OUT/<file name>``.
    figures
        The artefacts shown at the top of the report (PNG), in order.
    warnings
        One line each, shown at the top of the report.
    headline
        (name, value): the results that people look for, shown first in the report.
    """

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    artefacts: dict[str, Any] = field(default_factory=dict)
    figures: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)
    headline: list[tuple[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Editor:
    """A part of the report in which a person changes what was found in one image, and saves it as a file.

    Attributes
    ----------
    suffix
        The artefact (JSON) that is edited; it is embedded in the page.
    package, script, style
        Where the browser's part lives: a package and two files in it. The script finds its places by
        ``details[data-widget="<package>"]``; each holds the artefact as JSON and the input as a grey picture.
    title
        Of the part that opens.
    """

    suffix: str
    package: str
    script: str
    style: str
    title: str


@dataclass(frozen=True)
class Ranking:
    """By what the option ``best`` of an assay chooses among inputs.

    Attributes
    ----------
    by
        The summary column: the higher, the better; empty for inputs that are not ranked.
    columns
        The summary columns that an input keeps which is not chosen, `by` among them.
    said_in
        The summary column that says that it was not.
    """

    by: str
    columns: tuple[str, ...]
    said_in: str


RGB = ("red", "green", "blue")


@dataclass(frozen=True)
class Portable:
    """A network as other programs run it: images in, maps or scores out.

    Attributes
    ----------
    maps
        ``maps(module, images, card)``: (N, I, H, W) float32 tensor -> (N, C, h, w) maps, h and w smaller than H and
        W by the same margin on each side, or (N, C) scores, float32.
    channels
        ``channels(card)`` -> the names of the C maps or scores.
    window
        ``window(card, module)`` -> (H, W).
    scale
        ``scale(card)`` -> what the images must be like, for people.
    inputs
        Names of the I channels. Colours are in [0, 1].
    step
        H and W may be any multiples of this, too; 0 where they are fixed.
    """

    maps: Callable[[torch.nn.Module, torch.Tensor, ModelCard], torch.Tensor]
    channels: Callable[[ModelCard], tuple[str, ...]]
    window: Callable[[ModelCard, torch.nn.Module], tuple[int, int]]
    scale: Callable[[ModelCard], str]
    inputs: tuple[str, ...] = RGB
    step: int = 0


@dataclass(frozen=True)
class Assay:
    """All the engine knows about an assay.

    Attributes
    ----------
    name
        As on the command line, e.g. ``nucleus-seg``.
    inputs
        What the assay reads, and how.
    stages
        In order.
    state
        ``state()`` -> an empty ``subject.state``: a dataclass that declares what the stages leave for one another.
        Instances must be picklable.
    parts
        Model parts, e.g. ``("detect", "classify")``; one model file each.
    summary_columns
        Columns the assay adds to ``images.csv``. A name with ``{class}``, behind the others, stands for a column per
        class of the model, and for none where it has one class.
    large
        How subjects too large to hold are divided and joined, or None.
    class_part
        The part whose model's classes give the ``p_<class>`` columns of ``objects.csv``; None for no such columns.
    build
        ``build(card, tensors)`` -> the part's network with its weights, in eval mode, on the CPU. Raises ModelError.
    conclude
        ``conclude(subject)`` -> `Result`.
    figures
        kind -> suffixes of the artefacts shown in the report (PNG), in order.
    tables
        Extra tables: name without ``.csv`` -> its leading columns after ``image``.
    table_options
        Extra table -> the predict option that asks for it; without the option it is not written.
    editors
        kind -> what a person can edit in the report.
    summarise
        ``summarise(images, objects, options, cards)`` -> `RunSummary`, or None for an assay without one. Called when a
        run ends and when shards are merged, never for one shard, so that shards give what one run gives. ``images`` and
        ``objects`` are the frames of ``images.csv`` (``group`` is its last column with ``--group-by``, text, empty for
        an input without one) and ``objects.csv``, as read back from the files; ``options`` holds the assay's predict
        options as attributes, as ``run.json`` keeps them (tuples as lists, paths as text); ``cards`` is part -> model
        card. With `summarises_images` the frame of objects is empty: an assay may have more than memory holds.
    summarises_images
        ``summarise`` looks at the images alone.
    weightless
        Built-in methods without weights that ``-m`` takes by name: their cards; ``build`` gets no tensors.
    read_options
        ``read_options(options)`` -> the predict options of a run once the files they name were read, before any work.
        UsageError says what is wrong with one.
    layers
        Part -> names of submodules of its networks, the first that a network has is listened to for its features; see
        `cellscope.engine.familiarity.tap.Tap`.
    by_class
        Parts whose training images of a known class are described class by class instead of source by source: those of
        classifiers of many classes, whose features are those of the class before anything else.
    ranking
        For an assay whose predict options have ``best``: how many inputs keep their results (`engine.predict.best`).
    described_as
        Kind -> the kind whose training images its inputs are like: a slide is described by tiles.
    portable
        Parts whose networks mean something to other programs: those that take an image as it is.
    """

    name: str
    inputs: InputSpec
    stages: tuple[Stage, ...]
    state: Callable[[], Any]
    parts: tuple[str, ...]
    summary_columns: tuple[str, ...]
    class_part: str | None
    build: Callable[[ModelCard, dict[str, torch.Tensor]], torch.nn.Module]
    conclude: Callable[[Subject], Result]
    figures: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    table_options: Mapping[str, str] = field(default_factory=dict)
    editors: Mapping[str, Editor] = field(default_factory=dict)
    summarises_images: bool = False
    summarise: Callable[[pd.DataFrame, pd.DataFrame, Any, Mapping[str, ModelCard]], RunSummary] | None = None
    weightless: Mapping[str, ModelCard] = field(default_factory=dict)
    large: Large | None = None
    read_options: Callable[[Any], Any] | None = None
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    by_class: tuple[str, ...] = ()
    described_as: Mapping[str, str] = field(default_factory=dict)
    ranking: Ranking | None = None
    portable: Mapping[str, Portable] = field(default_factory=dict)

    def classes_columns(self, cards: Mapping[str, ModelCard]) -> tuple[str, ...]:
        """Return the ``p_<class>`` columns of ``objects.csv``, present even when a run finds no object."""
        return () if self.class_part is None else probability_columns(cards[self.class_part].classes)

    def summaries(self, cards: Mapping[str, ModelCard]) -> tuple[str, ...]:
        """Return all columns the assay adds to ``images.csv`` when it runs with these models."""
        classes = () if self.class_part is None else cards[self.class_part].classes
        names = classes if len(classes) > 1 else ()
        found: list[str] = []
        for column in self.summary_columns:
            found += [column.replace("{class}", name) for name in names] if "{class}" in column else [column]
        return tuple(found)

    def tables_of(self, options: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        """Return the extra tables that a run with these predict options writes."""
        unasked = {name for name, option in self.table_options.items() if not options.get(option)}
        return {name: columns for name, columns in self.tables.items() if name not in unasked}

    def stages_of(self, kind: str) -> tuple[Stage, ...]:
        """Return the stages that apply to an input of this kind, in order."""
        return tuple(stage for stage in self.stages if kind in stage.kinds)


def probability_columns(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the ``p_<class>`` columns for a model's classes: none for one class."""
    return tuple(f"p_{name}" for name in classes) if len(classes) > 1 else ()
