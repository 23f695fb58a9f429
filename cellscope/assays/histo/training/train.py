"""`cellscope histo train`: two phases, averaged weights, validation on whole tiles, the model card."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader, Sampler

from cellscope import __version__
from cellscope.assays.histo.classes import PART
from cellscope.assays.histo.datasets.tiles import Tile, Windows, load_tiles, stratum_weights
from cellscope.assays.histo.networks.registry import (
    MEAN,
    STD,
    arguments_of,
    build_network,
    geometry,
    normalise,
    takes_drop_path,
)
from cellscope.assays.histo.nuclei.sizes import sizes_at
from cellscope.assays.histo.options import TrainOptions
from cellscope.assays.histo.training.kept_types import KeptTypes, types_to_keep
from cellscope.assays.histo.training.losses import branch_losses
from cellscope.assays.histo.training.tune import tune
from cellscope.assays.histo.training.validation import score_tiles
from cellscope.engine.train.averaging import Averaging
from cellscope.engine.train.data import (
    DrawSampler,
    Indices,
    initialise,
    open_dataset,
    pins_memory,
    run_record,
    say,
    source_weights,
    training_facts,
)
from cellscope.engine.train.fit import fit
from cellscope.engine.train.phases import Phases
from cellscope.engine.train.schedule import decay_groups, optimiser_and_schedule
from cellscope.errors import DatasetError, UsageError
from cellscope.models.file import ModelCard


def train(dataset: Path, out: Path, options: TrainOptions, *, argv: list[str]) -> int:
    """Train the network on a prepared dataset.

    Parameters
    ----------
    dataset : Path
        From ``cellscope histo prepare``.
    out : Path
        The run folder.
    options : TrainOptions
    argv : list of str
        The command, for the record.

    Returns
    -------
    int
        Exit code 0; errors and signals raise.
    """
    prepared = open_dataset(dataset, "histo", options, out)
    start = types_to_keep(options, tuple(prepared.info["classes"]))
    classes = start.classes if start is not None else tuple(prepared.info["classes"])
    tiles = load_tiles(prepared, "train", classes, limit=options.limit)
    validation: list[Tile] = []
    with contextlib.suppress(DatasetError):  # there may be none
        validation = load_tiles(prepared, "val", classes, limit=options.limit)
    if options.learn_from == "train+val":
        tiles, validation = tiles + validation, []
    arguments = arguments_of(str(options.arch), len(classes))
    core, margin, step = geometry(arguments)
    if step:
        core, margin = options.core, options.margin
        if (core + 2 * margin) % step or margin % 2:
            raise UsageError(f"core: {core} and twice the margin {margin}, which is even, must be a multiple of {step}")
    windows = Windows(tiles, core, margin, options)
    options = options.in_steps(len(windows))
    L.seed_everything(options.seed, verbose=False)
    network = _start(options, arguments, classes)
    typed = sum(tile.typed for tile in tiles)
    say(f"{len(tiles)} images to train on, {typed} with types; {len(validation)} to validate on")
    weights = stratum_weights(
        windows.strata,
        options.sampling,
        source_weights(options.source_weights),
        rates=type_rates(options.type_rates, classes),
        power=options.source_power,
    )
    phases = Phases(options)
    learner = Learner(network, options, validation, classes, start, phases, prepared.info["pixel_size_um"])
    if step:
        learner.set_margin(margin)
    fit(
        learner,
        window_batches(windows, weights, phases),
        DataLoader(Indices(1), 1) if validation else None,  # what validates whole tiles knows them itself
        out,
        options=options,
        card=lambda metrics: ModelCard(
            assay="histo",
            part=PART,
            arch=str(options.arch),
            arch_args=arguments,
            classes=classes,
            channels=("red", "green", "blue"),
            normalisation={"kind": "fixed", "mean": list(MEAN), "std": list(STD)},
            pixel_size_um=prepared.info["pixel_size_um"],
            thresholds=learner.calibrated(),
            training=training_facts(prepared, options, len(tiles))
            | {"preset": options.preset, "typed_items": typed}
            | ({"types_of": options.init} if start is not None else {}),
            metrics=metrics,
            cellscope_version=__version__,
        ),
        network=learner.network,
        argv=argv,
        record=run_record(prepared, PART),
        say=say,
        phases=phases,
    )
    return 0


def type_rates(text: str, classes: tuple[str, ...]) -> dict[int, float]:
    """Read ``name=4,other=3``: the number of a type, counted from 1, -> how much more often it is drawn.

    Names that the dataset does not have count for nothing, so that one text serves several datasets.

    Raises
    ------
    UsageError
        If the text is not of that form.
    """
    rates = source_weights(text, what="type_rates")
    return {number: rates[name] for number, name in enumerate(classes, 1) if name in rates}


def _start(options: TrainOptions, arguments: dict[str, Any], classes: tuple[str, ...]) -> torch.nn.Module:
    """Make the network with the weights to start from."""
    more = {"drop_path": options.drop_path} if takes_drop_path(arguments) else {}
    network = build_network(arguments | more, pretrained=options.init == "imagenet", weights=options.imagenet)
    initialise(network, options, assay="histo", part=PART, classes=classes)
    return network


class _Batches(Sampler):
    """Batches of draws, of another size in the first phase; a resumed training goes on where it was.

    With ``accumulate`` a step's draws are divided into so many batches.

    When the first phase ends early, the few batches that worker processes have asked for ahead keep its size.
    """

    def __init__(self, windows: Windows, weights: dict[str, float], phases: Phases, done: int):
        self.phases, self.done = phases, done
        self.strata, self.weights = windows.strata, weights

    def _draws(self, steps: int) -> int:
        options = self.phases.options
        first = options.frozen_batch_size or options.batch_size or 1
        batches = min(steps, options.frozen_steps) * first
        batches += max(steps - options.frozen_steps, 0) * (options.batch_size or 1)
        return batches * options.accumulate

    def __len__(self) -> int:
        return (self.phases.options.steps or 1) * self.phases.options.accumulate

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        seed, done = self.phases.options.seed, self.done
        steps, parts = self.phases.options.steps or 1, self.phases.options.accumulate
        draws = iter(DrawSampler(self.strata, self.weights, self._draws(steps), seed, self._draws(done)))
        for step in count(done):
            if step >= (self.phases.options.steps or 1):
                return
            size = (self._draws(step + 1) - self._draws(step)) // parts
            for _ in range(parts):
                yield [next(draws) for _ in range(size)]


def window_batches(windows: Windows, weights: dict[str, float], phases: Phases) -> Callable[[int], DataLoader]:
    """Give the function that makes the training loader from the number of steps already taken."""
    workers = phases.options.num_workers or 0

    def loader(done: int) -> DataLoader:
        batches = _Batches(windows, weights, phases, done)
        return DataLoader(
            windows, batch_sampler=batches, num_workers=workers, persistent_workers=workers > 0,
            pin_memory=pins_memory(phases.options),
        )  # fmt: skip

    return loader


class Learner(Averaging):
    """Losses, optimiser and validation.

    Parameters
    ----------
    network : Module
    options : TrainOptions
        Settled.
    validation : list of Tile
    classes : tuple of str
    start : ModelCard, optional
        Of the model whose types are kept, see `types_to_keep`: `network` has its weights.
    phases : Phases, optional
        Of the same options.
    pixel_size_um : float, optional
        Of the tiles.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        options: TrainOptions,
        validation: list[Tile],
        classes: tuple[str, ...],
        start: ModelCard | None = None,
        phases: Phases | None = None,
        pixel_size_um: float | None = None,
    ):
        super().__init__(network, options.ema)
        self.options, self.validation, self.classes = options, validation, classes
        self.phases, self.pixel = phases or Phases(options), pixel_size_um
        self.kept = KeptTypes(network, start) if start is not None else None

    def set_margin(self, margin: int) -> None:
        """Learn from windows with another margin than that of prediction."""
        for network in (self.student, *([self.kept.teacher] if self.kept else [])):
            setattr(network, "margin", margin)  # noqa: B010  a module's attributes are typed as modules

    def on_train_batch_start(self, *_: Any) -> None:
        """Keep the encoder as it is in the first phase."""
        if self.options.frozen_steps:
            frozen = self.global_step < self.options.frozen_steps
            encoder = self.student.get_submodule("encoder")
            encoder.requires_grad_(not frozen)
            encoder.train(not frozen)

    def training_step(self, batch: dict[str, torch.Tensor], _index: int) -> torch.Tensor:
        """Losses of the three branches of one batch of windows."""
        images = normalise(batch["image"]).contiguous(memory_format=torch.channels_last)
        options = self.options
        outputs = self.student(images).float()
        parts = branch_losses(
            outputs,
            batch,
            np_loss=options.np_loss,
            tp_loss=options.tp_loss,
            gamma_positive=options.gamma_positive,
            gamma_negative=options.gamma_negative,
            focal_gamma=options.focal_gamma,
        )
        if self.kept is not None:
            parts["tp"] = self.kept.loss(images, outputs[:, 4:], batch["nucleus"] >= 0)
        loss = parts["np"] + options.hv_weight * (parts["hv_mse"] + parts["hv_msge"]) + options.tp_weight * parts["tp"]
        logged = {f"loss_{name}": value.detach() for name, value in parts.items()}
        self.log_dict({"loss": loss.detach(), **logged}, batch_size=len(images))
        return loss

    def validation_step(self, _batch: Any, _index: int) -> None:
        """Find the nuclei of whole tiles and compare; ``val_score`` is 0.5 AJI + 0.5 mean F1 over the types."""
        self.log_dict(score_tiles(self.network, self.validation, self.classes, self.options.score_types, self.pixel))

    def calibrated(self) -> dict[str, float]:
        """Give the thresholds for the model card: sizes at its scale, the rest from the validation tiles."""
        before = sizes_at(self.pixel) | (self.kept.calibration if self.kept is not None else {})
        return before | (tune(self.network.eval(), self.validation, self.pixel) if self.options.tune_thresholds else {})

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule by options; no weight decay on norms and biases."""
        return optimiser_and_schedule(decay_groups(self.student), self.options, phases=self.phases)
