"""What every assay's training needs around `engine.train.fit`: draws, loaders, starting weights, the record."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch.utils.data import DataLoader, Dataset

from cellscope.engine.memory import free_memory
from cellscope.engine.train.draws import WeightedDraws
from cellscope.errors import ModelError, UsageError
from cellscope.io.leave_out import is_left_out
from cellscope.io.pages import Pages
from cellscope.io.prepared import CHOSEN_ON, PreparedDataset
from cellscope.models.file import load_model, read_card
from cellscope.models.registry import locate


def say(text: str) -> None:
    """Print a progress line on stderr; of several training processes only the first speaks."""
    if getattr(rank_zero_only, "rank", 0) == 0:
        print(text, file=sys.stderr, flush=True)


class Indices(Dataset):
    """The numbers 0..N-1, for training and validation that find their items themselves."""

    def __init__(self, count: int):
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        return index


class DrawSampler(WeightedDraws):
    """Draws (item, number), strata weighted whatever the number of their items.

    Parameters
    ----------
    strata : sequence of str
        What each item is balanced by: its source, or source and class.
    weights : mapping
        Stratum -> how often it is drawn, 1 where it is not named.
    draws, seed, start
        As for `cellscope.engine.train.draws.WeightedDraws`.
    """

    def __init__(self, strata: Sequence[str], weights: Mapping[str, float], draws: int, seed: int, start: int = 0):
        count = Counter(strata)
        super().__init__(np.array([weights.get(name, 1.0) / count[name] for name in strata]), draws, seed, start)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield (item, draw) from `start` to `draws`: a dataset varies an item by the number of the draw."""
        return self.numbered()


def source_weights(text: str, *, what: str = "source_weights") -> dict[str, float]:
    """Read ``name=2,other=0.5``.

    Raises
    ------
    UsageError
        If the text is not of that form.
    """
    if not text:
        return {}
    try:
        return {name.strip(): float(value) for name, value in (pair.split("=") for pair in text.split(","))}
    except ValueError:
        raise UsageError(f"{what} {text!r} is not of the form name=2,other=0.5") from None


def drawn_batches(
    dataset: Dataset,
    strata: Sequence[str],
    options: Any,
    *,
    weights: Mapping[str, float] | None = None,
    collate: Callable[[list], Any] | None = None,
) -> Callable[[int], DataLoader]:
    """Give the function that makes the training loader from the number of steps already taken.

    Parameters
    ----------
    dataset : Dataset
        ``dataset[item, draw]`` gives one training example; its augmentation follows from the draw alone.
    strata, weights
        As in `DrawSampler`.
    options : TrainingOptions
        Uses ``steps``, ``batch_size``, ``accumulate``, ``num_workers`` and ``seed``.
    collate : callable, optional
    """
    steps, batch_size, workers = options.steps or 1, options.batch_size or 1, options.num_workers or 0
    per_step = batch_size * options.accumulate

    def loader(done: int) -> DataLoader:
        sampler = DrawSampler(strata, weights or {}, steps * per_step, options.seed, done * per_step)
        return DataLoader(
            dataset,
            batch_size,
            sampler=sampler,
            num_workers=workers,
            collate_fn=collate,
            persistent_workers=workers > 0,
            pin_memory=pins_memory(options),
        )

    return loader


def pins_memory(options: Any) -> bool:
    """Tell whether batches are put into memory that a GPU reads at once: where the training runs on one."""
    return (options.device == "auto" or options.device.startswith("cuda")) and torch.cuda.is_available()


def initialise(
    network: torch.nn.Module, options: Any, *, assay: str, part: str, classes: Sequence[str] | None = None
) -> None:
    """Load ``--init MODEL`` into a network; layers of another shape (a changed class list) start anew and are named.

    Parameters
    ----------
    network : Module
    options : TrainingOptions
        Uses ``init``.
    assay, part : str
    classes : sequence of str, optional
        Of the network: classes of the model that it will no longer tell are named.

    Raises
    ------
    ModelError
        If less than half of the network's tensors fit.
    """
    if options.init in ("none", "imagenet"):
        return
    card, tensors = load_model(locate(options.init), assay=assay, part=part)
    missing = load_matching(network, tensors, options.init, card.arch)
    say(f"started from {options.init}" + (f"; new: {', '.join(missing[:6])}" if missing else ""))
    if classes is not None:
        say_lost(card.classes, classes, options.init)


def say_lost(before: Sequence[str], classes: Sequence[str], model: str) -> None:
    """Say which classes of the starting model the new one will not tell any more."""
    lost = [name for name in before if name not in classes]
    if lost:
        say(f"warning: the classes {', '.join(lost)} of {model} are lost; the dataset's are {', '.join(classes)}")


def load_matching(network: torch.nn.Module, tensors: Mapping[str, torch.Tensor], model: str, arch: str) -> list[str]:
    """Load the tensors that fit a network's, and name the others of the network.

    Raises
    ------
    ModelError
        If less than half of the network's tensors fit; it speaks of the `model` and its architecture.
    """
    own = network.state_dict()
    fitting = {name: value for name, value in tensors.items() if name in own and own[name].shape == value.shape}
    if len(fitting) < len(own) // 2:
        raise ModelError(f"{model} is a {arch} and does not fit; train with --arch {arch}")
    network.load_state_dict(fitting, strict=False)
    return sorted(set(own) - set(fitting))


def paged(prepared: PreparedDataset, options: Any, out: Path) -> PreparedDataset:
    """Give a dataset whose images take no more than ``memory_share`` of the memory that is free.

    The share is divided among the processes of ``--devices``; what is beyond it lies in a file beside `out`.
    """
    budget = int(options.memory_share * free_memory() / options.devices)
    return replace(prepared, pages=Pages(budget, Path(out)))


def open_dataset(path: Path, assay: str, options: Any, out: Path) -> PreparedDataset:
    """Open a dataset for training, without what ``--leave-out`` and ``--fold`` keep out of it; `paged`."""
    prepared = paged(PreparedDataset.open(path, assay=assay), options, out)
    if options.leave_out is not None:
        chosen = is_left_out(prepared.items, options.leave_out)
        say(f"{int(chosen.sum())} of {len(chosen)} items are left out ({options.leave_out})")
        prepared = prepared.leaving_out(chosen)
    return prepared if options.fold is None else prepared.folded(options.fold, val_fold=options.val_fold)


def run_record(prepared: PreparedDataset, part: str) -> dict[str, Any]:
    """Give what ``run.json`` says about the dataset."""
    return {
        "dataset": {"path": str(prepared.root), "hash": prepared.hash, "sources": prepared.info["sources"]},
        "part": part,
    }


def _turn(options: Any) -> dict[str, Any]:
    """Say what a turn of a cross-validation left out, and what chose its weights."""
    if options.fold is None:
        return {}
    inner = "groups of the other folds" if options.val_fold is None else f"fold {options.val_fold}"
    return {"fold": options.fold, "val_fold": options.val_fold, CHOSEN_ON: inner}


def training_facts(prepared: PreparedDataset, options: Any, n_items: int) -> dict[str, Any]:
    """Give what the model card says about its training; of weights that are only tuned anew, also their own."""
    left_out = {"leave_out": options.leave_out} if options.leave_out else {}
    weights = {} if options.steps else {"weights": read_card(locate(options.init)).training}
    return {
        "data": prepared.info["sources"],
        "dataset_hash": prepared.hash,
        "splits": prepared.info["splits"],
        "split_seed": prepared.info["seed"],
        "n_items": n_items,
        "steps": options.steps,
        "batch_size": options.batch_size,
        **({"accumulate": options.accumulate} if options.accumulate > 1 else {}),
        "seed": options.seed,
        "init": options.init,
        **left_out,
        **_turn(options),
    } | weights
