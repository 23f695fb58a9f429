"""What every assay's training needs around `engine.train.fit`: draws, loaders, starting weights, the record."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch.utils.data import DataLoader, Dataset, Sampler

from cellscope.errors import ModelError, UsageError
from cellscope.io.prepared import PreparedDataset
from cellscope.models.file import load_model
from cellscope.models.registry import locate


def say(text: str) -> None:
    """Print a progress line on stderr; of several training processes only the first speaks."""
    if getattr(rank_zero_only, "rank", 0) == 0:
        print(text, file=sys.stderr, flush=True)


class DrawSampler(Sampler):
    """Reproducible draws (item, number), strata weighted; skips what a resumed training has seen.

    Of several training processes each takes every n-th draw.

    Parameters
    ----------
    strata : sequence of str
        What each item is balanced by: its source, or source and class.
    weights : mapping
        Stratum -> how often it is drawn, 1 where it is not named; whatever the number of its items.
    draws : int
        Of one process, from the first step to the last.
    seed : int
    start : int
        Draws that the process has made before.
    """

    def __init__(self, strata: Sequence[str], weights: Mapping[str, float], draws: int, seed: int, start: int = 0):
        count = Counter(strata)
        weight = np.array([weights.get(name, 1.0) / count[name] for name in strata])
        self.probability, self.draws, self.seed, self.start = weight / weight.sum(), draws, seed, start

    def __len__(self) -> int:
        """Count all draws, also those before `start`: Lightning counts a resumed loader from the beginning."""
        return self.draws

    def __iter__(self) -> Any:
        """Yield (item, draw) from `start` to `draws`."""
        together = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank, world = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if together else (0, 1)
        order = np.random.default_rng([self.seed, 7]).choice(
            len(self.probability), self.draws * world, p=self.probability
        )
        for position in range(self.start, self.draws):
            draw = position * world + rank
            yield int(order[draw]), draw


def source_weights(text: str) -> dict[str, float]:
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
        raise UsageError(f"source_weights {text!r} is not of the form name=2,other=0.5") from None


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
        Uses ``steps``, ``batch_size``, ``num_workers`` and ``seed``.
    collate : callable, optional
    """
    steps, batch_size, workers = options.steps or 1, options.batch_size or 1, options.num_workers or 0

    def loader(done: int) -> DataLoader:
        sampler = DrawSampler(strata, weights or {}, steps * batch_size, options.seed, done * batch_size)
        return DataLoader(
            dataset,
            batch_size,
            sampler=sampler,
            num_workers=workers,
            collate_fn=collate,
            persistent_workers=workers > 0,
        )

    return loader


def initialise(network: torch.nn.Module, options: Any, *, assay: str, part: str) -> None:
    """Load ``--init MODEL`` into a network; layers of another shape (a changed class list) start anew and are named.

    Raises
    ------
    ModelError
        If less than half of the network's tensors fit.
    """
    if options.init in ("none", "imagenet"):
        return
    card, tensors = load_model(locate(options.init), assay=assay, part=part)
    own = network.state_dict()
    fitting = {name: value for name, value in tensors.items() if name in own and own[name].shape == value.shape}
    if len(fitting) < len(own) // 2:
        raise ModelError(f"{options.init} is a {card.arch} and does not fit; train with --arch {card.arch}")
    network.load_state_dict(fitting, strict=False)
    missing = sorted(set(own) - set(fitting))
    say(f"started from {options.init}" + (f"; new: {', '.join(missing[:6])}" if missing else ""))


def run_record(prepared: PreparedDataset, part: str) -> dict[str, Any]:
    """Give what ``run.json`` says about the dataset."""
    return {
        "dataset": {"path": str(prepared.root), "hash": prepared.hash, "sources": prepared.info["sources"]},
        "part": part,
    }


def training_facts(prepared: PreparedDataset, options: Any, n_items: int) -> dict[str, Any]:
    """Give what the model card says about its training."""
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
