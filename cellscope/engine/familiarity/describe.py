"""Describe the training images of a model, so that `predict` can tell those that are unlike them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellscope.engine.assay import Assay, Subject
from cellscope.engine.device import pick_device
from cellscope.engine.familiarity.tap import Tap, first_layer
from cellscope.engine.find import find_assay, find_predict_options
from cellscope.engine.loading import LoadedModels, load_models
from cellscope.engine.predict.outcome import Failure
from cellscope.engine.predict.read import Reader
from cellscope.engine.predict.stages import run_subjects
from cellscope.errors import UsageError, error_line
from cellscope.io.inputs import Input
from cellscope.io.leave_out import in_turn, is_left_out, origins
from cellscope.io.prepared import PreparedDataset
from cellscope.metrics.familiarity import FEWEST, describe
from cellscope.models.described import save_described
from cellscope.models.file import read_card
from cellscope.options.common import AUTO, RunOptions
from cellscope.options.resolve import with_thresholds

if TYPE_CHECKING:
    from cellscope.models.card import ModelCard

MOST = 400
"""Images of a kind that a description is made from, unless the user says otherwise."""

WINDOW = 8
SAID_EVERY = 50


def describe_model(
    model: Path,
    dataset: Path,
    out: Path,
    *,
    layer: str | None = None,
    limit: int = MOST,
    leave_out: str | None = None,
    kind: str | None = None,
    device: str = "auto",
    assay: Assay | None = None,
    options: Any = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Write a model with a description of its training images.

    The items go through the assay's stages as `predict` takes them, those of the splits ``train`` and ``val`` but for
    what the training left out; the other parts of the assay are the built-in ones.

    Parameters
    ----------
    model, dataset, out : Path
        The model file, the prepared dataset it was trained on, and the file to write; it may be the model's.
    layer : str, optional
        The layer whose features are taken; the assay's usual one by default.
    limit : int
        Images of each kind at most, spread evenly over the sources.
    leave_out : str, optional
        ``KEY=VALUE``: items that are not to be described; by default what the model card says.
    kind : str, optional
        The only kind of input to describe; all by default.
    device : str
    assay, options : optional
        In place of those that the model card's name stands for.
    say : callable
        Takes progress lines.

    Returns
    -------
    dict
        What the model card says of it.

    Raises
    ------
    UsageError
        No such layer or kind, or too few items.
    ModelError, DatasetError
        The model or the dataset cannot be used.
    """
    card = read_card(model)
    assay = up_to(assay or find_assay(card.assay), card.part)
    prepared = PreparedDataset.open(dataset, assay=card.assay)
    items = training_items(prepared, card, leave_out)
    if kind is not None:
        items = _of_kind(assay, items, kind)
    rows = chosen_items(items, limit)
    loaded = load_models(assay, [str(model)], pick_device(device))
    name = layer or first_layer(loaded.modules[card.part], assay.layers.get(card.part, ()))
    if name is None:
        raise UsageError(f"no layer of {card.arch} is known to describe images by; name one with --layer")
    seen = features_of(
        assay, prepared, rows, loaded, card.part, Tap(loaded.modules[card.part], name), say=say,
        options=options or find_predict_options(assay.name), device=device,
    )  # fmt: skip
    descriptions, kinds = {}, {}
    for name_of_kind, found in seen.items.groupby("kind"):
        groups = found["group"].nunique()
        if len(found) < FEWEST or groups < 2:
            say(f"{name_of_kind}: {len(found)} images of {groups} groups are too few to describe")
            continue
        features = np.stack([seen.features[item] for item in found["id"]])
        centres = found["source"]
        if card.part in assay.by_class:
            centres = found["class"].where(found["class"] != "", centres)
        descriptions[str(name_of_kind)] = describe(features, list(centres), list(found["group"]))
        counts = found["source"].value_counts().sort_index()
        kinds[str(name_of_kind)] = {"images": len(found), "groups": groups, "sources": counts.to_dict()}
    if not descriptions:
        reason = f"; {seen.failed[0]}" if seen.failed else ""
        raise UsageError(f"{dataset} holds too few images that pass through {name} to describe{reason}")
    about = {"layer": name, "dataset_hash": prepared.hash, "kinds": kinds}
    save_described(out, model, descriptions, about)
    return about


def up_to(assay: Assay, part: str) -> Assay:
    """Give an assay that ends with the last stage whose items describe an image to a part, and the models it needs."""
    last = max(
        (n for n, stage in enumerate(assay.stages) if stage.part == part and stage.weigh is not None), default=-1
    )
    if last < 0:
        raise UsageError(f"images are not described by the part {part} of {assay.name}")
    stages = assay.stages[: last + 1]
    return replace(assay, stages=stages, parts=tuple(one for one in assay.parts if one in {s.part for s in stages}))


def training_items(prepared: PreparedDataset, card: ModelCard, leave_out: str | None = None) -> pd.DataFrame:
    """Give the items that a model was trained, or validated, on: all but the split ``test`` and what was left out.

    Validation items count among the known: they are of the same origin, and no network has learnt them by heart. Of a
    turn of a cross-validation ``test`` is the fold that is measured.
    """
    spec = leave_out or card.training.get("leave_out")
    if spec and not in_turn(spec):
        prepared = prepared.leaving_out(is_left_out(prepared.items, spec))
    fold = card.training.get("fold")
    if fold is not None:
        prepared = prepared.folded(int(fold), val_fold=card.training.get("val_fold"))
    items = prepared.items
    return items[items["split"].isin(["train", "val"])]


def chosen_items(items: pd.DataFrame, limit: int) -> pd.DataFrame:
    """Choose items evenly over sources, at most `limit` of those with a class of their own and of those without."""
    chosen: list[Any] = []
    for _, rows in items.groupby(items["class"] == ""):
        sources = [each for _, each in rows.groupby(origins(rows)["source"])]
        left = limit
        for number, each in enumerate(sorted(sources, key=len)):
            share = left // (len(sources) - number)
            at = np.unique(np.linspace(0, len(each) - 1, min(share, len(each))).round().astype(int))
            chosen += list(each.index[at])
            left -= len(at)
    return items.loc[sorted(chosen)]


@dataclass(frozen=True, eq=False)
class Seen:
    """Features of the items of a dataset.

    Attributes
    ----------
    items : DataFrame
        ``id``, ``kind``, ``source``, ``group`` and ``class`` of those that have features, in the dataset's order.
    features : dict
        Id -> (F,) float32.
    failed : list of str
        What went wrong with others, one line each.
    """

    items: pd.DataFrame
    features: dict[str, np.ndarray]
    failed: list[str]


def features_of(
    assay: Assay,
    prepared: PreparedDataset,
    rows: pd.DataFrame,
    loaded: LoadedModels,
    part: str,
    tap: Tap,
    *,
    options: Any,
    device: str = "auto",
    say: Callable[[str], None] = lambda text: None,
) -> Seen:
    """Take items of a dataset through the stages of an assay, as `predict` does, and keep their features.

    Parameters
    ----------
    assay, loaded, part
        Whose network is listened to; an assay cut off behind it (`up_to`) saves time.
    prepared, rows
        The dataset, and rows of its ``items.csv``.
    tap : Tap
        On that network.
    options
        The assay's predict options.
    device : str
        The one on which the models were loaded.
    say : callable

    Returns
    -------
    Seen
    """
    if assay.read_options is not None:
        options = assay.read_options(options)
    options = with_thresholds(options, [card.thresholds for card in loaded.cards.values()])
    known = origins(rows).assign(**{"class": rows["class"]}).set_index(rows["id"])
    found, features, failed, number = {}, {}, [], 0
    for kind, few in rows.groupby(kinds_of(assay, rows), sort=False):
        run = RunOptions(input=str(kind), pixel_size=prepared.info.get("pixel_size_um"), device=device)
        inputs = [Input(prepared.root / row.image, str(row.id)) for row in few.itertuples()]
        reader = Reader(assay, inputs, run=run, options=options, cards=loaded.cards)
        outcomes = run_subjects(
            assay, reader, loaded.modules, run=run, device=pick_device(device), dtype=None, window=WINDOW,
            conclude=_nothing, taps={part: tap},
        )  # fmt: skip
        with contextlib.closing(reader):
            for outcome in outcomes:
                number += 1
                if isinstance(outcome, Failure):
                    failed.append(f"{outcome.name}: {error_line(outcome.error)}")
                elif part in outcome.subject.features:
                    name = outcome.subject.name
                    features[name] = outcome.subject.features[part].values
                    origin = known.loc[name]
                    found[name] = (name, outcome.subject.kind, *origin[["source", "group", "class"]])
                if number % SAID_EVERY == 0:
                    say(f"described {number} of {len(rows)}")
    listed = [found[name] for name in rows["id"] if name in found]
    return Seen(pd.DataFrame(listed, columns=["id", "kind", "source", "group", "class"]), features, failed)


def kinds_of(assay: Assay, rows: pd.DataFrame) -> pd.Series:
    """Tell the kind of items of a dataset: one of the assay's, or `AUTO` where only the image tells."""
    tell = assay.inputs.kind_of_item
    kinds = [AUTO if tell is None else tell(row) for _, row in rows.iterrows()]
    return pd.Series(kinds, index=rows.index, dtype=str)


def _of_kind(assay: Assay, items: pd.DataFrame, kind: str) -> pd.DataFrame:
    if kind not in assay.inputs.kinds:
        raise UsageError(f"{assay.name} has no inputs of the kind {kind!r}; there are {', '.join(assay.inputs.kinds)}")
    if assay.inputs.kind_of_item is None:
        raise UsageError(f"a dataset of {assay.name} does not tell kinds of input apart")
    return items[kinds_of(assay, items) == kind]


def _nothing(_subject: Subject) -> None:
    """Conclude nothing: the features are all that is wanted."""
