"""The fake assay with a network that has a layer to listen to, its data set, and images of two kinds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fake_assay
import numpy as np
import tifffile
import torch
from fake_assay import FakeOptions, options_for

from cellscope.engine.assay import all_alike
from cellscope.engine.predict.plan import predict
from cellscope.io.prepared import write_dataset
from cellscope.io.splits import Item
from cellscope.models.file import ModelCard, save_model

PredictOptions = FakeOptions
LAYER = "features"


class Network(torch.nn.Module):
    """Passes images on as they are, past a layer of four filters."""

    def __init__(self):
        super().__init__()
        self.features = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU())

    def forward(self, x):
        self.features(x)
        return x


def build(card, tensors):
    module = Network() if card.part == "find" else torch.nn.Conv2d(1, 1, 1)
    module.load_state_dict(tensors)
    return module.eval()


find, classify = fake_assay.ASSAY.stages
ASSAY = replace(
    fake_assay.ASSAY,
    build=build,
    stages=(replace(find, weigh=all_alike, cpu_batch=8), classify),
    layers={"find": (LAYER,)},
)


def write_models(folder: Path) -> list[str]:
    torch.manual_seed(0)
    paths = []
    for part, network in (("find", Network()), ("classify", torch.nn.Conv2d(1, 1, 1))):
        card = ModelCard("fake", part, "conv", {}, ("dim", "bright"), ("grey",), {}, None, {}, {}, {}, "0")
        paths.append(str(folder / f"{part}.safetensors"))
        save_model(paths[-1], network.state_dict(), card)
    return paths


def spotted(seed: int) -> np.ndarray:
    """Bright spots on noise: what the models know."""
    drawn = np.random.default_rng(seed)
    pixels = drawn.normal(30, 4, (40, 40))
    for row, column in drawn.integers(2, 36, (6, 2)):
        pixels[row : row + 3, column : column + 3] = drawn.integers(150, 250)
    pixels[0, 0] = 0  # the fake assay's corner, which asks for trouble
    return pixels.clip(0, 255).astype(np.uint8)


def striped(seed: int) -> np.ndarray:
    """Stripes: what they do not know."""
    drawn = np.random.default_rng(seed)
    wave = 120 + 80 * np.sin(np.arange(40) / drawn.uniform(0.6, 2) + drawn.uniform(0, 6))
    pixels = wave[None] + drawn.normal(0, 6, (40, 40))
    pixels[0, 0] = 0
    return pixels.clip(0, 255).astype(np.uint8)


def write_kind(folder: Path, draw, seeds) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        tifffile.imwrite(folder / f"{draw.__name__}{seed:03}.tif", draw(seed))
    return folder


def write_data(root: Path, count: int = 48) -> Path:
    """Write a prepared dataset of spotted images in groups of two."""
    write_kind(root / "images", spotted, range(count))
    items = [Item(f"toy/{seed:03}", f"toy/g{seed // 2}", f"images/spotted{seed:03}.tif") for seed in range(count)]
    write_dataset(
        root, items, assay="fake", classes=["dim", "bright"], sources=[{"name": "toy", "items": count}],
        pixel_size_um=None, seed=0, splits=(0.8, 0.1, 0.1), folds=0,
    )  # fmt: skip
    return root


def run(folder: Path, out: Path, models: list[str], assay=ASSAY, **changes):
    return predict(
        assay, [str(folder)], out, run=options_for(**changes), options=FakeOptions(), models=models, argv=["fake"]
    )
