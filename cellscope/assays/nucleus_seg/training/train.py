"""`cellscope nucleus-seg train`: losses, averaged weights, validation, the model card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from cellscope import __version__
from cellscope.assays.nucleus_seg.classes import CLASSES, NUCLEUS
from cellscope.assays.nucleus_seg.networks.registry import (
    MEAN,
    STD,
    arguments_of,
    build_network,
    has_distance,
    normalise,
)
from cellscope.assays.nucleus_seg.options import TrainOptions
from cellscope.assays.nucleus_seg.training.crops import Crops, Smear, Whole, load_smears
from cellscope.engine.train.averaging import Averaging
from cellscope.engine.train.data import (
    drawn_batches,
    initialise,
    open_dataset,
    run_record,
    say,
    source_weights,
    training_facts,
)
from cellscope.engine.train.fit import fit
from cellscope.engine.train.schedule import decay_groups, optimiser_and_schedule
from cellscope.errors import ModelError
from cellscope.models.file import ModelCard, read_card
from cellscope.models.registry import locate

PART = "nuclei"


def train(dataset: Path, out: Path, options: TrainOptions, *, argv: list[str]) -> int:
    """Train the network on a prepared dataset.

    Parameters
    ----------
    dataset : Path
        From ``cellscope nucleus-seg prepare``.
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
    prepared = open_dataset(dataset, "nucleus-seg", options, out)
    n_items = len(prepared.split("train"))
    options = options.in_steps(min(n_items, options.limit or n_items))
    L.seed_everything(options.seed, verbose=False)
    arch, arguments = str(options.arch), arguments_of(str(options.arch), options.pixel_classes)
    if arch == "msff-segnext":
        arguments |= {"edge": options.edge, "hamburgers": options.hamburgers, "hamburger": options.hamburger}
    _check_form(arguments, options.init)
    network = build_network(arch, arguments, pretrained=options.init == "imagenet", weights=options.imagenet)
    initialise(network, options, assay="nucleus-seg", part=PART)
    smears = load_smears(prepared, "train", limit=options.limit, diameter=options.diameter)
    validation = load_smears(prepared, "val", limit=options.limit, diameter=options.diameter)
    say(f"{len(smears)} images to train on, {len(validation)} to validate on")
    strata = [smear.source if options.balance else "all" for smear in smears]
    names = tuple(
        name for name in ("background", "cytoplasm", "nucleus") if options.pixel_classes == 3 or name[0] != "c"
    )
    fit(
        Learner(network, options, validation),
        drawn_batches(Crops(smears, options), strata, options, weights=source_weights(options.source_weights)),
        DataLoader(Whole(validation, options.diameter), 1) if validation else None,
        out,
        options=options,
        card=lambda metrics: ModelCard(
            assay="nucleus-seg",
            part=PART,
            arch=arch,
            arch_args=arguments,
            classes=CLASSES,
            channels=("red", "green", "blue"),
            normalisation={
                "kind": "fixed", "mean": MEAN, "std": STD, "diameter": options.diameter, "pixel_classes": list(names),
            },
            pixel_size_um=None,
            thresholds={},
            training=training_facts(prepared, options, len(smears)) | {"preset": options.preset},
            metrics=metrics,
            cellscope_version=__version__,
        ),
        network=network,
        argv=argv,
        record=run_record(prepared, PART),
        say=say,
    )  # fmt: skip
    return 0


def _check_form(arguments: Mapping[str, Any], init: str) -> None:
    """Refuse a starting model whose Hamburger module has another form: its tensors would fit and mean something else.

    Raises
    ------
    ModelError
    """
    if "hamburger" not in arguments or init in ("none", "imagenet"):
        return
    card = read_card(locate(init))
    form = str(card.arch_args.get("hamburger", "published"))
    if card.arch == "msff-segnext" and form != arguments["hamburger"]:
        raise ModelError(f"{init} has the Hamburger module in its {form} form; train with --set hamburger={form}")


class Learner(Averaging):
    """Losses, optimiser and validation.

    Parameters
    ----------
    network : Module
    options : TrainOptions
        Settled.
    validation : list of Smear
    """

    def __init__(self, network: torch.nn.Module, options: TrainOptions, validation: list[Smear]):
        super().__init__(network, options.ema)
        self.options, self.validation = options, validation
        self._scores: dict[str, list[tuple[float, float]]] = {}

    def training_step(self, batch: Any, _index: int) -> torch.Tensor:
        """Cross entropy, Dice and distance losses of one batch of crops."""
        images, classes, distance, touching = batch
        images = normalise(images).contiguous(memory_format=torch.channels_last)
        outputs = self.student(images).float()
        loss, parts = segmentation_loss(
            outputs,
            classes,
            distance,
            distance_head=has_distance(self.student),
            dice_weight=self.options.dice_weight,
            distance_weight=self.options.distance_weight,
            emphasis=1 + self.options.contact_weight * touching,
        )
        self.log_dict(parts, batch_size=len(images))
        return loss

    def validation_step(self, batch: Any, _index: int) -> None:
        """Segment whole images at the true scale."""
        images, index = batch
        smear = self.validation[int(index)]
        truth = torch.from_numpy(smear.mask == NUCLEUS)
        probability = nucleus_probability(self.network(normalise(images)).float(), self.network)
        zoom = self.options.diameter / smear.diameter if self.options.diameter else 1.0
        height, width = (max(round(side * zoom), 1) for side in smear.mask.shape)
        cut = probability[:, :, :height, :width]
        mask = F.interpolate(cut, size=smear.mask.shape, mode="bilinear", align_corners=False)[0, 0].cpu() > 0.5
        both, total = float((mask & truth).sum()), float(mask.sum() + truth.sum())
        self._scores.setdefault(smear.source, []).append(
            (2 * both / total if total else 1.0, both / max(total - both, 1.0) if total else 1.0)
        )

    def on_validation_epoch_end(self) -> None:
        """Log nucleus Dice and IoU per image, their means over the sources, and the worst image's Dice."""
        means = {name: torch.tensor(values).mean(0) for name, values in self._scores.items()}
        worst = min(value[0] for values in self._scores.values() for value in values)
        together = torch.stack(list(means.values())).mean(0)
        logged = {"val_score": together[0], "val_miou": together[1], "val_worst": torch.tensor(worst)}
        logged |= {f"val_dice_{name}": value[0] for name, value in means.items()}
        self._scores = {}
        self.log_dict(logged)

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule by options; no weight decay on norms and biases."""
        return optimiser_and_schedule(decay_groups(self.student), self.options)


def nucleus_probability(outputs: torch.Tensor, network: torch.nn.Module) -> torch.Tensor:
    """(N, classes[+ 1], H, W) logits -> (N, 1, H, W) probability of nucleus, the last class."""
    logits = outputs[:, :-1] if has_distance(network) else outputs
    return logits.softmax(1)[:, -1:]


def segmentation_loss(
    outputs: torch.Tensor,
    classes: torch.Tensor,
    distance: torch.Tensor,
    *,
    distance_head: bool,
    dice_weight: float,
    distance_weight: float,
    emphasis: torch.Tensor | None = None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Cross entropy + Dice over pixel classes, and smooth L1 on the distance inside the cell.

    Parameters
    ----------
    outputs : (N, K[+ 1], H, W) float
        Class logits, then the distance's logit where there is one.
    classes : (N, H, W) int64
        0 background, 1 cytoplasm, 2 nucleus, 3 not nucleus but which is unknown. With two classes 0, 1 and 3 are one.
    distance : (N, H, W) float
        In [0, 1]; -1 where unknown.
    distance_head : bool
    dice_weight, distance_weight : float
    emphasis : (N, H, W) float, optional
        Weights of the pixels in the distance's loss; all alike when not given.

    Returns
    -------
    loss : () float
    parts : dict
        Detached, by name.
    """
    logits = outputs[:, :-1] if distance_head else outputs
    count = logits.shape[1]
    nucleus = classes == 2
    log_p = logits.log_softmax(1)
    if count == 2:
        target = torch.stack([~nucleus, nucleus], 1).float()
        entropy = -(target * log_p).sum(1).mean()
    else:
        unknown = classes == 3
        outside = torch.logsumexp(log_p[:, :2], 1)  # background or cytoplasm, whichever
        known = -log_p.gather(1, classes.clamp(max=2)[:, None])[:, 0]
        entropy = torch.where(unknown, -outside, known).mean()
        target = F.one_hot(classes.clamp(max=2), 3).movedim(-1, 1).float()
    loss, parts = entropy, {"loss_entropy": entropy.detach()}
    if dice_weight:
        p = log_p.exp()
        if count == 3:  # where only "not nucleus" is known, what the network says of the other two counts as right
            target = torch.where(unknown[:, None], p.detach() * torch.tensor([1.0, 1, 0])[:, None, None], target)
        overlap, size = (p * target).sum((0, 2, 3)), (p + target).sum((0, 2, 3))
        dice = 1 - ((2 * overlap + 1) / (size + 1)).mean()
        loss = loss + dice_weight * dice
        parts["loss_dice"] = dice.detach()
    if distance_head and distance_weight:
        known_distance = distance >= 0
        if known_distance.any():
            error = F.smooth_l1_loss(outputs[:, -1].sigmoid(), distance.clamp(min=0), beta=0.1, reduction="none")
            if emphasis is not None:
                error = error * emphasis
            away = error[known_distance].mean()
            loss = loss + distance_weight * away
            parts["loss_distance"] = away.detach()
    return loss, parts | {"loss": loss.detach()}
