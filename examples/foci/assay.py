"""The foci assay for the engine: one stage, a small convolutional network, connected components."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from skimage.measure import label as components
from skimage.segmentation import find_boundaries

from cellscope.engine.assay import Assay, InputSpec, Result, Stage, Subject, all_alike
from cellscope.imaging.labels import label_table, relabel, remove_small
from cellscope.imaging.measure import add_physical
from cellscope.io.choice import Wants
from cellscope.io.image import Image
from cellscope.io.read import SUFFIXES
from cellscope.models.card import ModelCard, rebuilding

PART, KIND, CLASSES = "foci", "field", ("focus",)


@dataclass(eq=False)
class State:
    """What the stage leaves for `conclude`: the (H, W) probability map."""

    probability: np.ndarray = field(init=False)


def network() -> torch.nn.Module:
    """Make the network: (N, 1, H, W) normalised intensities -> (N, 1, H, W) logits."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 5, padding=2), torch.nn.ReLU(),
        torch.nn.Conv2d(16, 16, 5, padding=2), torch.nn.ReLU(),
        torch.nn.Conv2d(16, 1, 1),
    )  # fmt: skip


def normalised(pixels: np.ndarray) -> np.ndarray:
    """Scale an (H, W, 1) image to a (1, H, W) float32 array: median 0, 99.9th percentile 1."""
    low, high = np.percentile(pixels, (50, 99.9))
    return ((pixels[None, ..., 0] - low) / max(high - low, 1e-6)).astype(np.float32)


def kind_of(image: Image) -> str:
    """Give the only input type."""
    return KIND


def cut(subject: Subject) -> list[np.ndarray]:
    """Give the whole image to the network."""
    return [normalised(subject.image.pixels)]


def forward(module: torch.nn.Module, batch: list[torch.Tensor]) -> list[np.ndarray]:
    """Run the network: an (H, W) float32 probability map per item."""
    return list(module(torch.stack(batch)).float().sigmoid()[:, 0].cpu().numpy())


def finish(subject: Subject, outputs: list[Any]) -> None:
    """Keep the probability map."""
    subject.state.probability = outputs[0]


def conclude(subject: Subject) -> Result:
    """Turn the map into labels, rows and pictures."""
    pixels, probability = subject.image.pixels, subject.state.probability
    labels = relabel(remove_small(components(probability > 0.5), subject.options.min_area), by_position=True)
    table = label_table(labels, np.dstack([pixels, probability]), channels={0: "image", 1: "probability"})
    table = add_physical(table, subject.image.pixel_size_um)
    table.insert(1, "class", CLASSES[0])
    table.insert(2, "score", table.pop("intensity_mean_probability"))
    table.insert(3, "review", table["score"] < subject.options.review_below)
    view = np.repeat(np.clip(normalised(pixels)[0, ..., None] * 255, 0, 255).astype(np.uint8), 3, -1)
    view[find_boundaries(labels)] = (255, 160, 0)
    return Result(table, {"n_review": int(table["review"].sum())}, {".labels.tif": labels, ".overlay.png": view})


def build(card: ModelCard, tensors: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Rebuild the network from its model file."""
    with rebuilding(card):
        module = network()
        module.load_state_dict(tensors)
    return module.eval()


ASSAY = Assay(
    name="foci", inputs=InputSpec((KIND,), SUFFIXES, kind_of, Wants.STAIN), layers={PART: ("3",)},
    state=State, parts=(PART,), build=build, stages=(Stage(PART, (KIND,), 8, cut, forward, finish, weigh=all_alike),),
    conclude=conclude, class_part=PART, summary_columns=("n_review",), figures={KIND: (".overlay.png",)},
)  # fmt: skip
