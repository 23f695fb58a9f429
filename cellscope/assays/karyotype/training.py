"""What the trainings of both parts share: messages, records, starting weights, batches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch.utils.data import DataLoader, Dataset

from cellscope.assays.karyotype.config import TrainOptions
from cellscope.assays.karyotype.data_detect import DrawSampler
from cellscope.errors import ModelError, UsageError
from cellscope.io.prepared import PreparedDataset
from cellscope.models.file import load_model
from cellscope.models.registry import locate


def say(text: str) -> None:
    """Print a progress line on stderr; of several training processes only the first speaks."""
    if getattr(rank_zero_only, "rank", 0) == 0:
        print(text, file=sys.stderr, flush=True)


def record_of(prepared: PreparedDataset, options: TrainOptions) -> dict[str, Any]:
    """Give what ``run.json`` says of the data."""
    return {
        "dataset": {"path": str(prepared.root), "hash": prepared.hash, "sources": prepared.info["sources"]},
        "part": options.part,
    }


def training_facts(prepared: PreparedDataset, options: TrainOptions, n_items: int) -> dict[str, Any]:
    """Give what the model card says of the training."""
    return {
        "data": prepared.info["sources"],
        "dataset_hash": prepared.hash,
        "splits": prepared.info["splits"],
        "split_seed": prepared.info["seed"],
        "n_items": n_items,
        "steps": options.steps,
        "batch_size": options.batch_size,
        "seed": options.seed,
        "init": options.init,
    }


def initialise(network: torch.nn.Module, options: TrainOptions) -> None:
    """Load ``--init MODEL`` into a network; layers of another shape (a changed class list) start anew and are named."""
    if options.init in ("none", "imagenet"):
        return
    card, tensors = load_model(locate(options.init), assay="karyotype", part=options.part)
    own = network.state_dict()
    fitting = {name: value for name, value in tensors.items() if name in own and own[name].shape == value.shape}
    if len(fitting) < len(own) // 2:
        raise ModelError(f"{options.init} is a {card.arch} and does not fit; train with --arch {card.arch}")
    network.load_state_dict(fitting, strict=False)
    missing = sorted(set(own) - set(fitting))
    say(f"started from {options.init}" + (f"; new: {', '.join(missing[:6])}" if missing else ""))


def _weights(text: str) -> dict[str, float]:
    """Read ``name=2,other=0.5``."""
    if not text:
        return {}
    try:
        return {name.strip(): float(value) for name, value in (pair.split("=") for pair in text.split(","))}
    except ValueError:
        raise UsageError(f"source_weights {text!r} is not of the form name=2,other=0.5") from None


def batches(
    dataset: Dataset, items: Sequence[Any], options: TrainOptions, collate: Callable[[list], Any] | None = None
) -> Callable[[int], DataLoader]:
    """Give the function that makes the training loader from the number of steps already taken."""
    steps, batch_size, workers = options.steps or 1, options.batch_size or 1, options.num_workers or 0
    weights = _weights(options.source_weights)

    def loader(done: int) -> DataLoader:
        sampler = DrawSampler(items, weights, steps * batch_size, options.seed, done * batch_size)
        return DataLoader(
            dataset,
            batch_size,
            sampler=sampler,
            num_workers=workers,
            collate_fn=collate,
            persistent_workers=workers > 0,
        )

    return loader
