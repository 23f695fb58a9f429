"""What the open options of a karyotype training come to: a default recipe for each part, the paper's, stronger ones."""

from __future__ import annotations

from typing import Any

from cellscope.options.recipes import Recipe

#: Section III-A: images 256 x 256, flipped with probability 0.5, 50,000 iterations from ImageNet weights. Everything
#: else is detectron2's: momentum, learning rate 0.02 at 16 images, a thousand steps of warm-up from a thousandth; its
#: schedule lowers the rate at 60,000 and 80,000 iterations, which are not reached.
_DETECT: dict[str, Any] = {
    "part": "detect",
    "arch": "chrrender-50",
    "init": "imagenet",
    "square": 256,
    "flip": 0.5,
    "frozen_norm": True,
    "conventions": "detectron2",
    "steps": 50_000,
    "batch_size": 16,
    "optimiser": "sgd",
    "learning_rate": 0.02,
    "weight_decay": 1e-4,
    "warmup_steps": 1000,
    "warmup_ratio": 1e-3,
    "schedule": "constant",
    "clip_gradient": 0.0,
    "val_every": 1000,
    "val_limit": 0,
}
#: Section II-B: views of 224 x 224, flipped in training, of individual chromosome images alone. The paper names neither
#: steps nor optimiser: plain Adam at a constant rate.
_CLASSIFY: dict[str, Any] = {
    "part": "classify",
    "view": (224, 224),
    "vary": "flips",
    "label_smoothing": 0.0,
    "polarity_weight": 0.0,
    "from_metaphases": False,
    "centre_reduction": "sum",
    "optimiser": "adam",
    "schedule": "constant",
    "warmup_steps": 0,
    "clip_gradient": 0.0,
    "steps": 20_000,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "val_every": 1000,
}
_PRETRAINED: dict[str, Any] = {"arch": "resnet50", "init": "imagenet", "learning_rate": 1e-4}

#: Table II: (a) nothing, (b) ImageNet, (c) and rotate and crop, (d) and centre loss, (e) those two alone. Table I,
#: left: strategies A and B train on chromosomes as they lie; C is paper-e.
_TABLES: dict[str, dict[str, Any]] = {
    "paper-a": {**_CLASSIFY, "arch": "resnet50", "rotate": "none"},
    "paper-b": {**_CLASSIFY, **_PRETRAINED, "rotate": "none"},
    "paper-c": {**_CLASSIFY, **_PRETRAINED, "rotate": "hough"},
    "paper-d": {**_CLASSIFY, **_PRETRAINED, "rotate": "hough", "centre_loss": 0.5},
    "paper-e": {**_CLASSIFY, "arch": "chrnet4", "rotate": "hough", "centre_loss": 0.5},
    "paper-unrotated": {**_CLASSIFY, "arch": "chrnet4", "rotate": "none", "centre_loss": 0.5},
}
#: Longer and wider than the defaults, for a GPU: the paper's detector on rotated, scaled crops at one scale.
_STRONG: dict[str, dict[str, Any]] = {
    "strong-detect": {
        "part": "detect",
        "arch": "chrrender-50",
        "crop": 512,
        "steps": 20_000,
        "batch_size": 16,
        "learning_rate": 3e-4,
        "warmup_steps": 1000,
        "val_every": 1000,
    },
    "strong-classify": {
        "part": "classify",
        "arch": "chrnet4",
        "steps": 30_000,
        "batch_size": 128,
        "centre_loss": 0.05,
        "warmup_steps": 500,
        "val_every": 1000,
    },
}

PRESETS = {
    "paper-detect": Recipe(_DETECT, {"preset": "paper-detect"}, "Render-Attention-Architecture, section III-A"),
    **{
        name: Recipe(values, {"preset": name}, "Render-Attention-Architecture, section II-B, Tables I and II")
        for name, values in _TABLES.items()
    },
    **{name: Recipe(values, {"preset": name}) for name, values in _STRONG.items()},
}
DETECT = Recipe(
    {"arch": "chrrender-18s", "steps": 1500, "batch_size": 4, "learning_rate": 5e-4, "weight_decay": 1e-4},
    {"part": "detect"},
)
CLASSIFY = Recipe(
    {"arch": "chrnet4-slim", "steps": 4000, "batch_size": 32, "learning_rate": 1e-3, "weight_decay": 0.02},
    {"part": "classify"},
)

RECIPES = (*PRESETS.values(), Recipe({"part": "detect"}), DETECT, CLASSIFY, Recipe({"num_workers": 1}))
